"""Spaces of values: real[D], binary[D], categorical[K], unit[D], sphere[D]; discrete or continuous."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ibsym.errors import SpecError, unknown
from ibsym.facts import Fact

SpaceKind: TypeAlias = Literal["real", "unit", "sphere", "binary", "categorical"]
KINDS: dict[SpaceKind, bool] = {"real": False, "unit": False, "sphere": False, "binary": True, "categorical": True}
SETS = {
    "real": "R^D",
    "unit": "[0, 1]^D",
    "sphere": "{x in R^D: |x| = 1}",
    "binary": "{0, 1}^D",
    "categorical": "{0, ..., K - 1}",
}
"""The values of each kind, for `ibsym list spaces`."""
RESERVED_AXES = ("B", "S")
_SPACE = re.compile(r"\s*([A-Za-z]\w*)\s*\[\s*([^\[\]]*?)\s*\]\s*", re.ASCII)
_DIMENSION = re.compile(r"[A-Za-z]\w*|[1-9]\d{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Space:
    """A space of values with named dimensions.

    >>> Space.parse("real[C,H,W]")
    Space(kind='real', dims=('C', 'H', 'W'))
    >>> Space.parse("categorical[K]").discrete
    <Fact.TRUE: 'true'>
    """

    kind: SpaceKind
    dims: tuple[str, ...]

    @staticmethod
    def parse(text: str, key: str = "variables") -> Space:
        """The space that a text means: ``real[D]``."""
        match = _SPACE.fullmatch(text)
        kind = next((k for k in KINDS if match and match[1] == k), None)
        if match is None or kind is None:
            raise unknown("space", text, [f"{k}[D]" for k in KINDS], key=key)
        dims = tuple(d.strip() for d in match[2].split(","))
        for dim in dims:
            if not _DIMENSION.fullmatch(dim):
                raise SpecError(
                    f"{text!r} has the dimension {dim!r}, which is neither a name nor a positive number",
                    key=key,
                    remedy=f'"{match[1]}[D]"',
                )
            if dim.split("_")[0] in RESERVED_AXES:
                raise SpecError(
                    f"the dimension name {dim!r} is taken by the batch and Monte-Carlo axes", key=key, remedy="another name"
                )
        if match[1] in ("categorical", "sphere") and len(dims) != 1:
            raise SpecError(f"{match[1]} has one dimension, {text!r} has {len(dims)}", key=key, remedy=f'"{match[1]}[K]"')
        return Space(kind, dims)

    @property
    def discrete(self) -> Fact:
        """Whether values are counted, so that entropies are not negative."""
        return Fact.of(KINDS[self.kind])

    @property
    def event(self) -> tuple[str, ...]:
        """Axes of one value: a class index has none."""
        return () if self.kind == "categorical" else self.dims

    def __str__(self) -> str:
        return f"{self.kind}[{','.join(self.dims)}]"
