"""Coordinates that are left when a graph's independences are used: <J|R(S)> rewritten into smaller sets.

If a and b are independent given the rest of S under R, log R(S) = log R(S-a) + log R(S-b) - log R(S-a-b). A set is rewritten by the first
such pair, its parts likewise, and what is left has no such pair: of a chain pairs of neighbours, not all of its subsets. No list of
independences is ever made; those that a vector needs are said by :meth:`Reduction.explain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from ibsym.spec.graphs import Joint, Names
from ibsym.spec.separation import Connections
from ibsym.terms.premises import Independent
from ibsym.terms.vectors import Coordinate, Equation, LogDensity, Part, Rational, Span, Vector, combine

if TYPE_CHECKING:
    from ibsym.terms.vectors import Coordinates

NONE = -1


class Table:
    """All <J|R(S)> of one product J and one joint R, and how each is rewritten.

    A set of the variables that R generates and J has is an integer of bits; what R conditions on belongs to every set. The sets
    are those ``within`` some variables.
    """

    def __init__(self, coordinates: Coordinates, part: Joint, model: Joint, connections: Connections, within: Names):
        self.coordinates, self.part, self.model, self.connections = coordinates, part, model, connections
        inside = within & set(part.variables) - model.external
        self.variables = tuple(v for v in model.variables if v in inside)
        self.pairs = list(combinations(range(len(self.variables)), 2))
        self._keys: dict[int, LogDensity] = {}

    @cached_property
    def conditioners(self) -> Any:
        """Each set as the joint R numbers it, what R conditions on included."""
        import numpy as np

        place = self.connections.place
        found = np.full(1 << len(self.variables), sum(1 << place[v] for v in self.model.external), dtype=np.int64)
        every = np.arange(len(found))
        for i, v in enumerate(self.variables):
            found |= (every >> i & 1) << place[v]
        return found

    @cached_property
    def first(self) -> list[int]:
        """For each set the first pair that is independent given the others of it."""
        import numpy as np

        place, given = self.connections.place, self.conditioners
        found = np.full(len(given), NONE, dtype=np.int64)
        every = np.arange(len(given))
        for k, (i, j) in enumerate(self.pairs):
            both = every[(every >> i & every >> j & 1 == 1) & (found == NONE)]
            reached = self.connections.reached(place[self.variables[i]])[given[both ^ (1 << i | 1 << j)]]
            found[both[reached >> place[self.variables[j]] & 1 == 0]] = k
        return [int(k) for k in found]

    def scope(self, mask: int) -> frozenset[str]:
        """Where the density of a set lives: its variables, and what they descend from of what R conditions on."""
        return self.model.conditioned(v for i, v in enumerate(self.variables) if mask >> i & 1)

    def key(self, mask: int) -> LogDensity:
        """The coordinate of a set that is not empty."""
        if mask not in self._keys:
            self._keys[mask] = self.coordinates.key(self.part, self.model, self.scope(mask))
        return self._keys[mask]

    def mask(self, scope: Iterable[str]) -> int:
        """The set that has these variables."""
        inside = set(scope)
        return sum(1 << i for i, v in enumerate(self.variables) if v in inside)

    def parts(self, mask: int) -> tuple[tuple[int, int], ...]:
        """One rewriting: the set as a signed sum of smaller ones, or nothing."""
        pair = self.first[mask]
        if pair == NONE:
            return ()
        a, b = (1 << i for i in self.pairs[pair])
        return (1, mask ^ a), (1, mask ^ b), (-1, mask ^ a ^ b)

    def equation(self, mask: int) -> Equation:
        """What the rewriting of a set says to be zero, and the independence behind it."""
        parts: list[tuple[Rational, Vector]] = [(-s, {self.key(m): 1}) for s, m in self.parts(mask) if m]
        vector = combine((1, {self.key(mask): 1}), *parts)
        a, b = (self.variables[i] for i in self.pairs[self.first[mask]])
        inside = {v for i, v in enumerate(self.variables) if mask >> i & 1} | self.model.external
        given = tuple(v for v in self.model.variables if v in inside and v not in (a, b))
        return Equation(vector, Independent((a,), (b,), given, self.model.name))

    @cached_property
    def reduced(self) -> list[Vector]:
        """Every set in the coordinates that are left."""
        found: list[Vector] = [{}]
        for mask in range(1, 1 << len(self.variables)):
            parts = self.parts(mask)
            found.append(combine(*((s, found[m]) for s, m in parts)) if parts else {self.key(mask): 1})
        return found


class Reduction:
    """The rewriting of vectors under all joints of a spec."""

    def __init__(self, coordinates: Coordinates):
        self.coordinates, self.spec = coordinates, coordinates.spec
        self._connections: dict[str, Connections] = {}
        self._tables: dict[tuple[str, str, Names | None], tuple[tuple[Rational, Table], ...]] = {}
        self._places: dict[LogDensity, tuple[Table, int] | None] = {}
        self._vectors: dict[LogDensity, Vector] = {}

    def connections(self, model: str) -> Connections:
        """What is d-connected in a joint, once."""
        if model not in self._connections:
            self._connections[model] = Connections(self.spec.joints[model])
        return self._connections[model]

    def tables(self, sampler: str, model: str, within: Names | None = None) -> tuple[tuple[Rational, Table], ...]:
        """The tables of a sampler's products with their weights; none where what the model conditions on is not there."""
        key = sampler, model, within
        if key not in self._tables:
            joint = self.spec.joints[model]
            every = frozenset(self.spec.joints[sampler].variables)
            inside = every if within is None else every & within
            self._tables[key] = tuple(
                (weight, Table(self.coordinates, part, joint, self.connections(model), inside))
                for weight, part in (self.coordinates.samplers(sampler) if joint.external <= inside else ())
            )
        return self._tables[key]

    def _place(self, key: LogDensity) -> tuple[Table, int] | None:
        """The table and the set that a coordinate is."""
        if key not in self._places:
            self._places[key] = next(self._found(key), None)
        return self._places[key]

    def _found(self, key: LogDensity) -> Iterator[tuple[Table, int]]:
        for sampler in (j.name for j in self.spec.joints.values() if j.rooted):
            for model in self.spec.joints.values():
                if {*key.scope} <= set(model.variables):
                    for _, table in self.tables(sampler, model.name):
                        mask = table.mask(key.scope)
                        if mask and {*key.scope} <= set(table.part.variables) and table.key(mask) == key:
                            yield table, mask

    def apply(self, vector: Vector) -> Vector:
        """The vector in the coordinates that are left."""
        return combine(*((value, self._reduced(key)) for key, value in vector.items()))

    def _reduced(self, key: Coordinate) -> Vector:
        if not isinstance(key, LogDensity) or isinstance(key.model, Part):
            return {key: 1}
        if key not in self._vectors:
            place = self._place(key)
            if place is None:
                self._vectors[key] = {key: 1}
            else:
                table, mask = place
                parts = [(s, self._reduced(table.key(m))) for s, m in table.parts(mask) if m]
                self._vectors[key] = combine(*parts) if parts else {key: 1}
        return self._vectors[key]

    def explain(self, vector: Vector) -> tuple[Vector, list[tuple[Rational, Equation]]]:
        """What is left of a vector, and the equations with their multipliers that make up the difference."""
        pending = dict(vector)
        done: Vector = {}
        used: list[tuple[Rational, Equation]] = []
        while pending:
            key = max(pending, key=lambda k: (len(k.scope) if isinstance(k, LogDensity) else 0, repr(k)))
            value = pending.pop(key)
            place = self._place(key) if isinstance(key, LogDensity) and not isinstance(key.model, Part) else None
            if place is None or not place[0].parts(place[1]):
                done[key] = value
                continue
            equation = place[0].equation(place[1])
            pending = combine((1, pending), (1, {key: value}), (-value, equation.vector))
            used.append((value, equation))
        return done, used

    @cached_property
    def _shared(self) -> Span:
        return Span(self.apply(e.vector) for e in self.coordinates.factor_equations(self.spec.joints))

    def zero(self, vector: Vector) -> bool:
        """Whether a vector is zero by independences and by declared factors."""
        return not self._shared.reduce(self.apply(vector))
