"""From a vector of one joint to its multipliers: where a textbook would look, by symmetry, at last with every inequality there is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

from ibsym.proving import constants, demand, entropic, orbits, textbook
from ibsym.proving.axioms import Instance, Instances
from ibsym.proving.entropic import Elemental, Fact, Mask, mask_of
from ibsym.proving.program import Column, InexactError, LimitError, Postponed, decided, exact, proposed
from ibsym.terms.vectors import Vector, combine

if TYPE_CHECKING:
    from ibsym.proving.single import Single

SMALL = 6
"""Up to how many atoms the program over all elemental inequalities is written down at once."""
QUICK = 8
"""Up to how many atoms the program that writes rows on demand is tried before a counterexample is looked for."""
NEAR = 9
"""Among how many atoms of more a proof is looked for."""
WRITTEN = 12
"""Up to how many variables a symmetric claim is given a proof that is written out, if a textbook's is found."""
EXPLICIT = 240
"""Up to how many members the orbits of a symmetric proof are written out."""


@dataclass(frozen=True)
class Premise:
    """A linear premise: its vector is non-negative, or zero."""

    vector: Vector
    text: str
    zero: bool
    reason: str = "premise"


@dataclass(frozen=True)
class Surplus:
    """A number that is not negative."""

    vector: Vector


@dataclass(frozen=True)
class OrbitSum:
    """The sum of all members of an orbit, too many to be written out."""

    symmetric: orbits.Symmetric
    orbit: orbits.Orbit


Line: TypeAlias = Elemental | Instance | Premise | Surplus | Fact
"""What has a vector of its own, and is a line of a proof."""
Label: TypeAlias = Line | OrbitSum
Used: TypeAlias = list[tuple[Fraction, Label]]


class Attempt:
    """target = sum of multiplier * label, each label zero or non-negative."""

    def __init__(self, space: Single, target: Vector, deadline: float, thorough: bool = True, cases: Sequence[Premise] = ()):
        self.space, self.target, self.deadline, self.thorough = space, target, deadline, thorough
        self.premises = [*space.premises, *cases]
        self.numbers = any(constants.is_constant(k) for v in (target, *(p.vector for p in self.premises)) for k in v)
        self.rest = combine((-1, self.reduce(target)))
        if self.numbers:
            self.rest = constants.capped(self.rest)

    def multipliers(self) -> Used | None:
        """Exact multipliers from the first attempt that finds any; None where the last one shows that there are none."""
        if not self.rest:
            return []
        atoms = self.space.atoms
        claimed = [mask_of(key) for key in self.target if key[0] == "H"]
        for p in self.premises[len(self.space.premises) :]:
            claimed += [mask_of(key) for key in p.vector if key[0] == "H"]
        averaged = None
        if self._plain and len(atoms) > SMALL:
            symmetric = orbits.Symmetric(orbits.classes(self.target, atoms), not self.space.continuous)
            if symmetric.rows <= orbits.MAX_ROWS and symmetric.rows < 1 << len(atoms):
                averaged = self._by_orbits(symmetric)
                if averaged is None or len(atoms) > WRITTEN:
                    return averaged
        for sets in textbook.families(claimed, self.space.premised(), atoms):
            found = self._among(sets)
            if found is not None:
                return found
        if not self.space.reduction.trivial and len(atoms) > QUICK:
            found = self._nearby()
            if found is not None:
                return found
        if averaged is not None:
            return averaged
        if len(atoms) <= SMALL and not self.space.axioms:
            return self._over(atoms)
        if not self.thorough and len(atoms) > QUICK:
            raise Postponed
        return self._on_demand([*claimed, *self.space.premised()], atoms)

    def _among(self, sets: Sequence[Mask]) -> Used | None:
        """By quantities among some sets alone."""
        return self._decide([*self._rows(textbook.among(sets, not self.space.continuous)), *self._given(sets)])

    def _nearby(self) -> Used | None:
        """By the variables of what is left of the claim, by those that stand between them, and so on while they are few."""
        space = self.space
        left = [
            mask_of(key) for v in (self.rest, *(self.reduce(p.vector) for p in self.premises)) for key in v if key[0] == "H"
        ]
        near = _within(space.atoms, left)
        for sets in textbook.families(left, [], near, textbook.MANY):
            found = self._among(sets)
            if found is not None:
                return found
        while len(near) < len(space.atoms) and len(near) <= NEAR:
            found = self._over(near)
            if found is not None:
                return found
            wider = _within(space.atoms, [*near, *space.reduction.separators(near)])
            if wider == near:
                break
            near = wider
        return None

    def _over(self, atoms: Sequence[Mask]) -> Used | None:
        """By every elemental inequality of some atoms: at once, or as the dual asks for them."""
        if len(atoms) > SMALL:
            return self._on_demand([mask_of(key) for key in self.rest if key[0] == "H"], atoms)
        rows = self._rows(e for e, _ in entropic.elementals(tuple(atoms), not self.space.continuous))
        return self._decide([*rows, *self._given(list(_unions(atoms)))])

    @property
    def _plain(self) -> bool:
        return self.space.reduction.trivial and not self.premises and not self.space.axioms and not self.numbers

    def reduce(self, vector: Vector) -> Vector:
        """The vector in the coordinates that are left, constants at their values."""
        small = vector if self.space.reduction.trivial else self.space.reduction.apply(vector)
        return constants.merged(small) if self.numbers else small

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise LimitError("the time limit was reached")
        return max(0.01, left)

    def _rows(self, elementals: Iterable[Elemental]) -> Iterator[tuple[Label, Column]]:
        """Rows in the coordinates that are left, each once."""
        known: set[object] = set()
        for k, e in enumerate(elementals):
            if k % 512 == 511:
                self._left()
            vector = e.vector
            if not self.space.reduction.trivial:
                vector = self.reduce(vector)
                key = frozenset(vector.items())
                if not vector or key in known:
                    continue
                known.add(key)
            yield e, Column(vector, 1.0 + 0.01 * e.size)

    def _given(self, sets: Iterable[Mask]) -> Iterator[tuple[Label, Column]]:
        """The linear premises, and what the rewriting of a set by one fact leaves unsaid of its others: further zero vectors."""
        if self.numbers:
            yield from ((Surplus({}), column) for column in constants.surplus())
        for premise in self.premises:
            yield premise, Column(self.reduce(premise.vector), 0.5, free=premise.zero)
        if self.space.reduction.trivial:
            return
        known: set[object] = set()
        for k, mask in enumerate(sets):
            if k % 64 == 63:
                self._left()
            for fact in self.space.reduction.facts(mask):
                vector = self.reduce(fact.quantity.vector)
                key = frozenset(vector.items())
                if vector and key not in known:
                    known.add(key)
                    yield fact, Column(vector, 0.01, free=True)

    def _decide(self, pairs: Sequence[tuple[Label, Column]]) -> Used | None:
        columns = [c for _, c in pairs]
        found: Used | None
        if self.numbers:
            columns = [c if isinstance(label, Surplus) else constants.cheap(c) for label, c in pairs]
            rough = proposed(self.rest, columns, self._left())
            found = None if rough is None else self._apart(pairs, rough)
            if rough is None or found is not None:
                return found
        answer = decided(self.rest, columns, self._left())
        if answer is None:
            return None
        return [(x, label) for x, (label, _) in zip(answer, pairs, strict=True) if x]

    def _apart(self, pairs: Sequence[tuple[Label, Column]], rough: Sequence[float]) -> Used | None:
        """Multipliers exact for all but constants, if what these leave is not negative: their values in the program are rounded."""
        kept = [0.0 if isinstance(label, Surplus) else x for (label, _), x in zip(pairs, rough, strict=True)]
        answer = constants.apart(self.rest, [c for _, c in pairs], kept)
        if answer is None:
            return None
        used: Used = [(x, label) for x, (label, _) in zip(answer, pairs, strict=True) if x]
        given = ((-x, label.vector) for x, label in used if isinstance(label, Premise))
        left = constants.logs(combine((1, self.target), *given))
        return used if constants.sign(left) >= 0 else None

    def _on_demand(self, occurring: Sequence[Mask], atoms: Sequence[Mask]) -> Used | None:
        """Every elemental inequality and every instance of the axioms, as the dual asks for them."""
        space = self.space
        if len(atoms) > demand.MAX_ATOMS:
            raise LimitError(f"{len(atoms)} variables that cannot be told apart are more than {demand.MAX_ATOMS}")
        everything = demand.Space(atoms, space.reduction)
        elementals = demand.Elementals(everything, not space.continuous)
        sources: list[demand.Source] = [elementals]
        pairs = [*self._rows(elementals.near(occurring)), *self._given(_unions(atoms))]
        if space.axioms:
            sources.append(Instances(everything, space.axioms, not space.continuous))
        found = demand.search(self.rest, [c for _, c in pairs], everything, sources, self.deadline)
        if found is None:
            return None
        labels: list[Label] = [*(label for label, _ in pairs), *found.labels]  # type: ignore[list-item]
        if self.numbers:
            apart = self._apart(list(zip(labels, found.columns, strict=True)), found.rough)
            if apart is not None:
                return apart
        try:
            answer: Sequence[Fraction] | None = exact(self.rest, found.columns, found.rough)
        except InexactError:
            answer = decided(self.rest, found.columns, self._left())
            if answer is None:
                raise
        assert answer is not None
        return [(x, label) for x, label in zip(answer, labels, strict=True) if x]

    def _by_orbits(self, symmetric: orbits.Symmetric) -> Used | None:
        rows = list(symmetric.orbits())
        columns = [Column(v, float(symmetric.size(o)) ** 0.5) for o, v in rows]
        answer = decided(combine((-1, symmetric.reduced(self.target))), columns, self._left())
        if answer is None:
            return None
        used = [(x, o) for x, (o, _) in zip(answer, rows, strict=True) if x]
        if sum(symmetric.size(o) for _, o in used) > EXPLICIT:
            return [(x / symmetric.size(o), OrbitSum(symmetric, o)) for x, o in used]
        return [(x / symmetric.size(o), e) for x, o in used for e in symmetric.members(o)]


def _within(atoms: Sequence[Mask], sets: Iterable[Mask]) -> list[Mask]:
    """The atoms that any of the sets has."""
    occurring = 0
    for mask in sets:
        occurring |= mask
    return [a for a in atoms if a & occurring]


def _unions(atoms: Sequence[Mask]) -> Iterator[Mask]:
    for size in range(1, len(atoms) + 1):
        for chosen in combinations(atoms, size):
            yield sum(chosen)
