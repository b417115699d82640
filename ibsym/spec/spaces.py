"""Spaces of values: real[D], positive[D], unit[D], simplex[K], sphere[D], binary[D], count[D], categorical[K]; discrete or continuous."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ibsym.errors import SpecError, unknown
from ibsym.facts import Fact

SpaceKind: TypeAlias = Literal["real", "positive", "unit", "simplex", "sphere", "binary", "count", "categorical"]
KINDS: dict[SpaceKind, bool] = {
    "real": False,
    "positive": False,
    "unit": False,
    "simplex": False,
    "sphere": False,
    "binary": True,
    "count": True,
    "categorical": True,
}
SETS = {
    "real": "R^D",
    "positive": "(0, inf)^D",
    "unit": "[0, 1]^D",
    "simplex": "{x in [0, 1]^K: sum x = 1}, densities in its first K - 1 coordinates",
    "sphere": "{x in R^D: |x| = 1}",
    "binary": "{0, 1}^D",
    "count": "{0, 1, 2, ...}^D",
    "categorical": "{0, ..., K - 1}",
}
"""The values of each kind, for `ibsym list spaces`."""
WHOLE = ("categorical", "simplex", "sphere")
"""The kinds whose values have one axis, along which coordinates depend on each other."""
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
        if kind in WHOLE and len(dims) != 1:
            raise SpecError(f"{kind} has one dimension, {text!r} has {len(dims)}", key=key, remedy=f'"{kind}[K]"')
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
