"""Claims with a symmetry: variables that can be swapped without changing the claim, and proofs that are averages over all swaps.

If 0 <= claim . h for all h, then for h averaged over the swaps, which has one value for all sets with equally many members in each
class of exchangeable variables; and the average of a proof proves the same claim. So these values are the coordinates: Han's
inequality of n variables has n of them, not 2^n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, product
from math import comb, prod

from ibsym.proving.entropic import Elemental, Mask, mask_of
from ibsym.terms.vectors import Vector

Counts = tuple[int, ...]
MAX_ROWS = 20_000


def swapped(mask: Mask, a: Mask, b: Mask) -> Mask:
    """The set with two atoms exchanged."""
    if bool(mask & a) == bool(mask & b):
        return mask
    return mask ^ (a | b)


def classes(target: Vector, atoms: Sequence[Mask]) -> list[tuple[Mask, ...]]:
    """The atoms in classes within which any two can be swapped without changing the target."""
    found: list[list[Mask]] = []
    for atom in atoms:
        for group in found:
            if all(target.get(("H", swapped(mask_of(key), atom, group[0])), 0) == x for key, x in target.items()):
                group.append(atom)
                break
        else:
            found.append([atom])
    return [tuple(g) for g in found]


@dataclass(frozen=True)
class Orbit:
    """All elementals with one count of members in each class: I(a;b|K) with a and b in two classes, or H(a | all others)."""

    a: int
    b: int | None
    counts: Counts


class Symmetric:
    """The program of a claim in numbers of members."""

    def __init__(self, groups: Sequence[tuple[Mask, ...]], discrete: bool):
        self.groups, self.discrete = list(groups), discrete
        self.sizes = tuple(map(len, groups))

    @property
    def rows(self) -> int:
        """About how many orbits of elementals there are."""
        return prod(n + 1 for n in self.sizes) * len(self.sizes) * (len(self.sizes) + 1) // 2

    def counts(self, mask: Mask) -> Counts:
        """How many atoms of each group a set has."""
        return tuple(sum(bool(mask & atom) for atom in g) for g in self.groups)

    def reduced(self, target: Vector) -> Vector:
        """The target on averaged entropies."""
        total: Vector = {}
        for key, value in target.items():
            counts = ("H", self.counts(mask_of(key)))
            total[counts] = total.get(counts, 0) + value
        return {k: v for k, v in total.items() if v}

    def orbits(self) -> Iterator[tuple[Orbit, Vector]]:
        """Every orbit of elementals, with the vector of one member on averaged entropies."""
        if self.discrete:
            for a in range(len(self.sizes)):
                yield self._pair(Orbit(a, None, _plus(self.sizes, a, by=-1)))
        for a, b in combinations_with_replacement(range(len(self.sizes)), 2):
            room = [n - (k == a) - (k == b) for k, n in enumerate(self.sizes)]
            for counts in product(*(range(n + 1) for n in room)):  # none, where a group has no second member
                yield self._pair(Orbit(a, b, counts))

    def _pair(self, orbit: Orbit) -> tuple[Orbit, Vector]:
        return orbit, self.row(orbit)

    @staticmethod
    def row(orbit: Orbit) -> Vector:
        """One member of an orbit on averaged entropies."""
        one = _plus(orbit.counts, orbit.a)
        parts = [(1, one), (-1, orbit.counts)]
        if orbit.b is not None:
            parts += [(1, _plus(orbit.counts, orbit.b)), (-1, _plus(one, orbit.b))]
        total: Vector = {}
        for sign, counts in parts:
            if any(counts):
                total["H", counts] = total.get(("H", counts), 0) + sign
        return {k: v for k, v in total.items() if v}

    def size(self, orbit: Orbit) -> int:
        """How many elementals an orbit has."""
        if orbit.b is None:
            return self.sizes[orbit.a]
        if orbit.a == orbit.b:
            pairs = comb(self.sizes[orbit.a], 2)
        else:
            pairs = self.sizes[orbit.a] * self.sizes[orbit.b]
        room = [n - (k == orbit.a) - (k == orbit.b) for k, n in enumerate(self.sizes)]
        return pairs * prod(comb(n, c) for n, c in zip(room, orbit.counts, strict=True))

    def members(self, orbit: Orbit) -> Iterator[Elemental]:
        """The elementals of an orbit."""
        first = self.groups[orbit.a]
        if orbit.b is None:
            full = sum(sum(g) for g in self.groups)
            yield from (Elemental(a, 0, full ^ a) for a in first)
            return
        pairs = combinations(first, 2) if orbit.a == orbit.b else product(first, self.groups[orbit.b])
        for a, b in pairs:
            rest = [[atom for atom in g if atom not in (a, b)] for g in self.groups]
            for chosen in product(*(combinations(g, c) for g, c in zip(rest, orbit.counts, strict=True))):
                yield Elemental(a, b, sum(sum(part) for part in chosen))


def _plus(counts: Counts, place: int, by: int = 1) -> Counts:
    return tuple(n + by * (k == place) for k, n in enumerate(counts))
