"""<J|R(S)> in terms of smaller sets, by what moralisation says: the checker's own use of independences, for joints of any size.

Where a and b are separated by the rest of S, log R(S) = log R(S-a) + log R(S-b) - log R(S-a-b). Nothing of the derivation's
rewriting is used here; a vector that this one brings to zero is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from ibsym.spec.graphs import Joint
from ibsym.spec.model import Spec
from ibsym.terms.vectors import Coordinate, Coordinates, LogDensity, Part, Vector, combine

Separated = Callable[[Joint, Iterable[str], Iterable[str], Iterable[str]], bool]


class Separations:
    """The rewriting of one spec's coordinates."""

    def __init__(self, spec: Spec, coordinates: Coordinates, separated: Separated):
        self.spec, self.coordinates, self.separated = spec, coordinates, separated
        self._memory: dict[Coordinate, Vector] = {}

    def reduce(self, vector: Vector) -> Vector:
        """What is left of a vector."""
        return combine(*((x, self._reduced(key)) for key, x in vector.items()))

    def _reduced(self, key: Coordinate) -> Vector:
        if key not in self._memory:
            self._memory[key] = {key: 1}
            if isinstance(key, LogDensity) and not isinstance(key.model, Part):
                smaller = next(self._smaller(key), None)
                if smaller is not None:
                    self._memory[key] = self.reduce(smaller)
        return self._memory[key]

    def _smaller(self, key: LogDensity) -> Iterator[Vector]:
        for part, model in self._owners(key):
            generated = [v for v in model.variables if v in key.scope and v not in model.external]
            for a, b in combinations(generated, 2):
                rest = [v for v in generated if v not in (a, b)]
                if self.separated(model, (a,), (b,), (*rest, *model.external)):
                    sets = (1, {*rest, a}), (1, {*rest, b}), (-1, {*rest})
                    yield combine(*((s, self._log(part, model, names)) for s, names in sets))

    def _log(self, part: Joint, model: Joint, names: Iterable[str]) -> Vector:
        scope = model.conditioned(names)
        return {self.coordinates.key(part, model, scope): 1} if scope else {}

    def _owners(self, key: LogDensity) -> Iterator[tuple[Joint, Joint]]:
        """The products and joints that a coordinate is of; all say the same of it, so that the first is enough."""
        scope = frozenset(key.scope)
        for sampler in (j for j in self.spec.joints.values() if j.rooted):
            for _, part in self.coordinates.samplers(sampler.name):
                for model in self.spec.joints.values():
                    known = scope <= set(part.variables) & set(model.variables) and model.external <= set(part.variables)
                    if known and model.conditioned(scope) == scope and self.coordinates.key(part, model, scope) == key:
                        yield part, model
                        return
