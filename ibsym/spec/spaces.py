"""Spaces of values: real[D], positive[D], unit[D], simplex[K], sphere[D], binary[D], count[D], categorical[K]; discrete or continuous.

``categorical[K; H,W]`` is an array of symbols, of K classes each: the number of classes, and after a semicolon the axes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ibsym.errors import SpecError, nearest, unknown
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
    "categorical": "{0, ..., K - 1}; categorical[K; H,W]: {0, ..., K - 1}^(H x W), an array of symbols",
}
"""The values of each kind, for `ibsym list spaces`."""
WHOLE = ("categorical", "simplex", "sphere")
"""The kinds whose values have one axis, along which coordinates depend on each other."""
RESERVED_AXES = ("B", "S")
_SPACE = re.compile(r"\s*([A-Za-z]\w*)\s*\[\s*([^\[\];]*?)\s*(?:;\s*([^\[\];]*?)\s*)?\]\s*", re.ASCII)
_MEANT = re.compile(r"\s*([A-Za-z]\w*)\s*[\[(^]\s*\{?\s*([^\[\](){};]+?)\s*[\])}]*\s*", re.ASCII)
_CALLED: dict[str, SpaceKind] = {
    **dict.fromkeys(("r", "reals", "continuous", "float", "vector", "normal", "gaussian"), "real"),
    **dict.fromkeys(("discrete", "class", "classes", "label", "labels", "onehot", "symbol", "symbols"), "categorical"),
    **dict.fromkeys(("bool", "bits", "bit", "bernoulli"), "binary"),
    **dict.fromkeys(("int", "integer", "counts", "natural", "poisson"), "count"),
    **dict.fromkeys(("interval", "image"), "unit"),
    **dict.fromkeys(("probability", "probabilities"), "simplex"),
    **dict.fromkeys(("hypersphere", "direction"), "sphere"),
}
"""What others call these spaces."""
_DIMENSION = re.compile(r"[A-Za-z]\w*|[1-9]\d{0,8}", re.ASCII)


def _meant(text: str) -> str:
    """The space that was meant by another name, or in other brackets; "" where there is no telling.

    >>> _meant("R^D"), _meant("real(L)"), _meant("discrete[K]"), _meant("quaternion[D]")
    ('real[D]', 'real[L]', 'categorical[K]', '')
    """
    found = _MEANT.fullmatch(text)
    if found is None:
        return ""
    name = found[1].casefold()
    kind = _CALLED.get(name) or nearest(name, KINDS)
    return f"{kind}[{found[2]}]" if kind else ""


@dataclass(frozen=True, slots=True)
class Space:
    """A space of values with named dimensions, those of symbols with their classes first.

    >>> Space.parse("real[C,H,W]")
    Space(kind='real', dims=('C', 'H', 'W'))
    >>> Space.parse("categorical[K]").discrete
    <Fact.TRUE: 'true'>
    >>> symbols = Space.parse("categorical[256; H,W]")
    >>> symbols.dims, symbols.event, symbols.axes
    (('256', 'H', 'W'), ('H', 'W'), ('H', 'W', '256'))
    """

    kind: SpaceKind
    dims: tuple[str, ...]

    @staticmethod
    def parse(text: str, key: str = "variables") -> Space:
        """The space that a text means: ``real[D]``."""
        match = _SPACE.fullmatch(text)
        kind = next((k for k in KINDS if match and match[1] == k), None)
        if match is None or kind is None:
            raise unknown("space", text, [f"{k}[D]" for k in KINDS], key=key, meant=_meant(text))
        parts = [match[2]] if match[3] is None else [match[2], match[3]]
        dims = tuple(d.strip() for part in parts for d in part.split(","))
        if len(parts) > 1 and (kind != "categorical" or "," in match[2]):
            what = f"{text!r} has a semicolon, which stands between the classes of categorical symbols and their axes"
            raise SpecError(what, key=key, remedy=f'"{_without_semicolon(kind, dims, match[3])}"')
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
        if kind in WHOLE and len(dims) != 1 and len(parts) == 1:
            remedy = f'"{kind}[K]"' + (
                f', or "categorical[{dims[0]}; {",".join(dims[1:])}]" for an array' if kind == "categorical" else ""
            )
            raise SpecError(f"{kind} has one dimension, {text!r} has {len(dims)}", key=key, remedy=remedy)
        return Space(kind, dims)

    @property
    def discrete(self) -> Fact:
        """Whether values are counted, so that entropies are not negative."""
        return Fact.of(KINDS[self.kind])

    @property
    def event(self) -> tuple[str, ...]:
        """Axes of one value: a class index has none, an array of them those of the array."""
        return self.dims[1:] if self.kind == "categorical" else self.dims

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes of one code, and of a parameter: one number a class, the classes last."""
        return (*self.dims[1:], self.dims[0]) if self.kind == "categorical" else self.dims

    def __str__(self) -> str:
        if self.kind == "categorical" and self.event:
            return f"{self.kind}[{self.dims[0]}; {','.join(self.event)}]"
        return f"{self.kind}[{','.join(self.dims)}]"


def _without_semicolon(kind: SpaceKind, dims: tuple[str, ...], axes: str) -> str:
    if kind == "categorical":
        return f"{kind}[{dims[0] or 'K'}; {axes}]"
    return f"{kind}[K]" if kind in WHOLE else f"{kind}[{','.join(dims)}]"
