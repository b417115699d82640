"""The sizes of named dimensions, and the axes of one code of a variable."""

from __future__ import annotations

from collections.abc import Mapping

from ibsym.spec.model import Spec
from ibsym.spec.spaces import SpaceKind

DEFAULT_SIZES: dict[SpaceKind, int] = {
    "real": 8,
    "positive": 8,
    "sphere": 8,
    "unit": 10,
    "simplex": 10,
    "binary": 16,
    "count": 16,
    "categorical": 10,
}
DEFAULT_COMPONENTS = 10


def shape_of(spec: Spec, variable: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Axes of one code of the variable."""
    return tuple(size_of(d, sizes) for d in spec.variables[variable].dims)


def size_of(dimension: str, sizes: Mapping[str, int]) -> int:
    """A dimension's size, by its name or as written."""
    return int(dimension) if dimension.isdigit() else sizes[dimension]


def dimensions(spec: Spec) -> list[str]:
    """The named dimensions, and named numbers of mixture components, in the order of declaration."""
    names = [d for space in spec.variables.values() for d in space.dims if not d.isdigit()]
    options = [f.family.option("components") for f in spec.factors.values() if f.family is not None]
    names += [o for o in options if isinstance(o, str) and not o.isdigit()]
    return list(dict.fromkeys(names))
