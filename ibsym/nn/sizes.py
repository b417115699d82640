"""The sizes of named dimensions, where each was learned, and the axes of one code of a variable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ibsym.errors import NetworkError
from ibsym.spec.graphs import Factor
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
DEFAULT_FEATURES = 64


def shape_of(spec: Spec, variable: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Axes of one code of the variable."""
    return tuple(size_of(d, sizes) for d in spec.variables[variable].axes)


def quantised(spec: Spec, variable: str) -> Factor | None:
    """The factor whose codebook holds the vectors that a variable's classes are seen as, where there is one."""
    return next(
        (f for f in spec.factors.values() if f.of == (variable,) and f.family is not None and f.family.facts.quantised), None
    )


def seen(spec: Spec, variable: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Axes of a value as networks see it: of a code, or of the vectors of its classes."""
    own, shape = quantised(spec, variable), shape_of(spec, variable, sizes)
    if own is None or own.family is None or own.family.length is None:
        return shape
    return (*shape[:-1], size_of(own.family.length, sizes))


def size_of(dimension: str, sizes: Mapping[str, int]) -> int:
    """A dimension's size, by its name or as written."""
    return int(dimension) if dimension.isdigit() else sizes[dimension]


def dimensions(spec: Spec) -> list[str]:
    """The named dimensions, and named numbers of mixture components and of features, in the order of declaration."""
    names = [d for space in spec.variables.values() for d in space.dims if not d.isdigit()]
    options = [f.family.length for f in spec.factors.values() if f.family is not None]
    names += [o for o in options if isinstance(o, str) and not o.isdigit()]
    return list(dict.fromkeys(names))


def default_size(spec: Spec, dimension: str) -> int:
    """What a dimension is where nothing says it."""
    kinds = [space.kind for space in spec.variables.values() if dimension in space.dims]
    if kinds:
        return DEFAULT_SIZES[kinds[0]]
    features = any(f.family is not None and f.family.headed and f.family.length == dimension for f in spec.factors.values())
    return DEFAULT_FEATURES if features else DEFAULT_COMPONENTS


@dataclass
class Sizes:
    """Every dimension's size as far as it is known, and who said so; images that a flat variable is seen as by networks."""

    spec: Spec
    known: dict[str, int] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    views: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def size(self, dimension: str) -> int | None:
        """A dimension's size, if it is known."""
        return int(dimension) if dimension.isdigit() else self.known.get(dimension)

    def event(self, variable: str) -> tuple[int | None, ...]:
        """The axes of one code, as far as they are known."""
        return tuple(self.size(d) for d in self.spec.variables[variable].axes)

    def whole(self, variable: str) -> bool:
        """Whether all of them are."""
        return None not in self.event(variable)

    def shape(self, variable: str) -> tuple[int, ...]:
        """The axes of one code."""
        return shape_of(self.spec, variable, self.known)

    def view(self, variable: str) -> tuple[int, ...]:
        """The axes of one code as networks see it."""
        return self.views.get(variable, seen(self.spec, variable, self.known))

    def learn(self, dimension: str, size: int, source: str) -> None:
        """A size, held against what is known."""
        was = self.size(dimension)
        if was is not None and was != size:
            said = f", {self.origin[dimension]} said" if dimension in self.origin else ""
            raise NetworkError(f"{source}: {dimension} is {size}, and {was}{said}\n  write: networks that agree on {dimension}")
        if was is None:
            self.known[dimension], self.origin[dimension] = size, source

    def fit_symbols(self, variable: str, axes: Sequence[int], source: str) -> bool:
        """Learns the axes of an array of symbols, or of one symbol, which has none; not the number of its classes."""
        event = self.spec.variables[variable].event
        if len(event) != len(axes) or any(self.size(d) not in (None, n) for d, n in zip(event, axes, strict=True)):
            return False
        for dimension, size in zip(event, axes, strict=True):
            self.learn(dimension, size, source)
        return True

    def fit(self, variable: str, axes: Sequence[int], source: str) -> bool:
        """Learns the sizes of a variable from the axes of one value; False where they cannot be its axes.

        A variable of one dimension may be an image: its dimension is the number of pixels, and networks see the image.
        """
        dims = self.spec.variables[variable].axes
        if len(dims) == 1 and len(axes) > 1:
            total = math.prod(axes)
            if self.size(dims[0]) not in (None, total):
                return False
            self.learn(dims[0], total, source)
            self.views.setdefault(variable, tuple(axes))
            return True
        if len(dims) != len(axes) or any(self.size(d) not in (None, n) for d, n in zip(dims, axes, strict=True)):
            return False
        for dimension, size in zip(dims, axes, strict=True):
            self.learn(dimension, size, source)
        return True

    def told(self, variable: str) -> str:
        """The variable's space, with what its dimensions are and who said so."""
        space = self.spec.variables[variable]
        named = [d for d in dict.fromkeys(space.dims) if not d.isdigit() and d in self.known]
        facts = [f"{d} = {self.known[d]}" + (f" by {self.origin[d]}" if d in self.origin else "") for d in named]
        return f"{variable} is {space}" + (f" with {', '.join(facts)}" if facts else "")
