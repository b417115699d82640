"""Entropy space of one joint: H of every subset of up to a dozen or so variables, elemental inequalities, what premises imply.

A set of variables is an integer of bits. Functional dependences and conditional independences shrink the space before anything is
solved: every H(S) is rewritten into the entropies of smaller sets, and the facts that were used are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import chain, combinations

from ibsym.terms.vectors import Coordinate, Rational, Vector, combine

Mask = int
KEPT = 8
"""Up to how many atoms the elemental inequalities are remembered."""


def bits(mask: Mask) -> list[int]:
    """The members of a set, in order."""
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def h(mask: Mask) -> Vector:
    """H(S)."""
    return {("H", mask): 1} if mask else {}


def mask_of(key: Coordinate) -> Mask:
    """The set S of a coordinate H(S)."""
    _, mask = key
    assert isinstance(mask, int)
    return mask


@lru_cache(1 << 16)
def conditional(a: Mask, c: Mask = 0) -> Vector:
    """H(A|C) = H(A,C) - H(C)."""
    return _sum((1, a | c), (-1, c))


@lru_cache(1 << 16)
def information(a: Mask, b: Mask, c: Mask = 0) -> Vector:
    """I(A;B|C) = H(A,C) + H(B,C) - H(A,B,C) - H(C)."""
    return _sum((1, a | c), (1, b | c), (-1, a | b | c), (-1, c))


def _sum(*parts: tuple[int, Mask]) -> Vector:
    total: Vector = {}
    for sign, mask in parts:
        if mask:
            total["H", mask] = total.get(("H", mask), 0) + sign
    return {k: v for k, v in total.items() if v}


@dataclass(frozen=True, slots=True)
class Elemental:
    """H(A|C) where b is 0, else I(A;B|C): a quantity that is never negative."""

    a: Mask
    b: Mask
    c: Mask

    @property
    def size(self) -> int:
        """How many variables are in it."""
        return (self.a | self.b | self.c).bit_count()

    @property
    def vector(self) -> Vector:
        """The quantity as joint entropies."""
        return information(self.a, self.b, self.c) if self.b else conditional(self.a, self.c)


def elementals(atoms: tuple[Mask, ...], discrete: bool) -> Iterable[tuple[Elemental, Vector]]:
    """H(A | all others), for discrete variables, and I(A;B|S): they imply every inequality of Shannon type (Yeung 1997)."""
    return _kept(atoms, discrete) if len(atoms) <= KEPT else _elementals(atoms, discrete)


def _elementals(atoms: tuple[Mask, ...], discrete: bool) -> Iterator[tuple[Elemental, Vector]]:
    full = sum(atoms)
    for a in atoms if discrete else ():
        e = Elemental(a, 0, full ^ a)
        yield e, e.vector
    for a, b in combinations(atoms, 2):
        others = [k for k in atoms if k not in (a, b)]
        for size in range(len(others) + 1):
            for chosen in combinations(others, size):
                e = Elemental(a, b, sum(chosen))
                yield e, e.vector


@lru_cache(64)
def _kept(atoms: tuple[Mask, ...], discrete: bool) -> tuple[tuple[Elemental, Vector], ...]:
    return tuple(_elementals(atoms, discrete))


@dataclass(frozen=True, slots=True)
class Fact:
    """A quantity that premises make zero: I(A;B|C) = 0, or H(A|C) = 0 where b is 0."""

    quantity: Elemental
    premise: str


@dataclass
class Reduction:
    """H(S) rewritten into smaller sets by the independences and dependences that the premises state."""

    independences: Sequence[tuple[Mask, Mask, Mask, str]]
    dependences: Sequence[tuple[Mask, Mask, str]]
    _memory: dict[Mask, tuple[tuple[int, Mask], ...]] = field(default_factory=dict)
    _facts: dict[Mask, Fact] = field(default_factory=dict)
    _vectors: dict[Mask, Vector] = field(default_factory=dict)

    def closure(self, mask: Mask) -> Mask:
        """Everything that the set determines."""
        changed = True
        while changed:
            changed = False
            for source, target, _ in self.dependences:
                if source & ~mask == 0 and target & ~mask:
                    mask |= target
                    changed = True
        return mask

    def smaller(self, mask: Mask) -> tuple[tuple[int, Mask], ...]:
        """One rewriting step: H(mask) as a signed sum of entropies of smaller sets, or itself."""
        if mask not in self._memory:
            self._memory[mask] = self._step(mask)
        return self._memory[mask]

    @property
    def trivial(self) -> bool:
        """Whether there is nothing to use."""
        return not self.independences and not self.dependences

    def facts(self, mask: Mask) -> Iterator[Fact]:
        """Every quantity over exactly this set that the premises make zero."""
        if self.dependences:
            for i in bits(mask):
                rest = mask ^ (1 << i)
                if self.closure(rest) >> i & 1:
                    used = dict.fromkeys(p for s, _, p in self.dependences if s & ~self.closure(rest) == 0)
                    yield Fact(Elemental(1 << i, 0, rest), ", ".join(used))
        for a, b, c, premise in self.independences:
            if c & ~mask == 0 and mask & ~(a | b | c) == 0 and mask & a and mask & b:
                yield Fact(Elemental(mask & a, mask & b, c), premise)

    def separators(self, near: Sequence[Mask]) -> list[Mask]:
        """The sets outside that make most pairs of the given ones independent, or are their causes, of those not known to be so."""

        def pairs(a: Mask, b: Mask) -> set[tuple[Mask, Mask]]:
            return {(min(x, y), max(x, y)) for x in near for y in near if x != y and x & a and y & b}

        known = sum(near)
        said = [(c, pairs(a, b)) for a, b, c, _ in self.independences]
        said += [(a, pairs(b, known)) for a, b, _ in self.dependences]
        done = set().union(*(found for c, found in said if not c & ~known))
        new = {c: len(found - done) for c, found in said if c & ~known}
        most = max(new.values(), default=0)
        return [c for c, count in new.items() if count == most > 0]

    def _step(self, mask: Mask) -> tuple[tuple[int, Mask], ...]:
        fact = next(self.facts(mask), None)
        if fact is None:
            return ((1, mask),)
        self._facts[mask] = fact
        e = fact.quantity
        if not e.b:
            return ((1, e.c),) if e.c else ()
        return tuple((s, m) for s, m in ((1, e.a | e.c), (1, e.b | e.c), (-1, e.c)) if m)

    def apply(self, vector: Vector) -> Vector:
        """The vector in the coordinates that are left."""
        parts = [(value, self._reduced(mask_of(key))) for key, value in vector.items() if key[0] == "H"]
        return combine((1, {key: value for key, value in vector.items() if key[0] != "H"}), *parts)

    def _reduced(self, mask: Mask) -> Vector:
        if mask not in self._vectors:
            parts = self.smaller(mask)
            self._vectors[mask] = h(mask) if parts == ((1, mask),) else combine(*((s, self._reduced(m)) for s, m in parts))
        return self._vectors[mask]

    def explain(self, vector: Vector) -> tuple[Vector, list[tuple[Rational, Fact]]]:
        """The reduced vector r and facts with vector = r + sum c * quantity (each quantity being zero)."""
        pending = {mask_of(key): value for key, value in vector.items() if key[0] == "H"}
        done: Vector = {key: value for key, value in vector.items() if key[0] != "H"}
        used: dict[Fact, Rational] = {}
        while pending:
            mask = max(pending, key=lambda m: (m.bit_count(), m))
            value = pending.pop(mask)
            if not value:
                continue
            parts = self.smaller(mask)
            if parts == ((1, mask),):
                done["H", mask] = value
                continue
            for sign, part in parts:
                pending[part] = pending.get(part, 0) + sign * value
            fact = self._facts[mask]
            # H(A|C) = 0 raises H(S) = H(rest) + quantity; I = 0 lowers it: H(S) = H(A,C) + H(B,C) - H(C) - quantity.
            used[fact] = used.get(fact, 0) + (value if fact.quantity.b == 0 else -value)
        return done, [(c, f) for f, c in used.items() if c]


def join(items: Iterable[tuple[Fraction, Elemental]]) -> list[tuple[Fraction, Elemental]]:
    """Elementals of one multiplier joined by the chain rule: I(A;B|C) + I(A;D|B,C) = I(A;B,D|C), H likewise."""
    done: dict[Fraction, list[Elemental]] = {}
    for x, e in items:
        parts = done.setdefault(x, [])
        pending: Elemental | None = e
        while pending is not None:
            current, pending = pending, None
            for k, other in enumerate(parts):
                new = next(chain(_joins(other, current), _joins(current, other)), None)
                if new is not None:
                    pending = new
                    del parts[k]
                    break
            else:
                parts.append(current)
    return [(x, e) for x, parts in done.items() for e in parts]


def _joins(e: Elemental, f: Elemental) -> Iterator[Elemental]:
    if not e.b and not f.b and f.c == e.a | e.c:
        yield Elemental(e.a | f.a, 0, e.c)
    if e.b and f.b:
        for a, b in ((e.a, e.b), (e.b, e.a)):
            for c, d in ((f.a, f.b), (f.b, f.a)):
                if a == c and f.c == b | e.c:
                    yield Elemental(a, b | d, e.c)
