"""Entropy space of one joint: H of every subset of up to a dozen or so variables, elemental inequalities, what premises imply.

A set of variables is an integer of bits. Functional dependences and conditional independences shrink the space before anything is
solved: every H(S) is rewritten into the entropies of smaller sets, and the facts that were used are remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import combinations, permutations

from ibsym.terms.vectors import Vector, combine

Mask = int


def bits(mask: Mask) -> list[int]:
    """The members of a set, in order."""
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def h(mask: Mask) -> Vector:
    return {("H", mask): 1} if mask else {}


def information(a: Mask, b: Mask, c: Mask = 0) -> Vector:
    """I(A;B|C) = H(A,C) + H(B,C) - H(A,B,C) - H(C)."""
    return combine((1, h(a | c)), (1, h(b | c)), (-1, h(a | b | c)), (-1, h(c)))


@dataclass(frozen=True, slots=True)
class Elemental:
    """H(A|C) where b is 0, else I(A;B|C): a quantity that is never negative."""

    a: Mask
    b: Mask
    c: Mask

    @property
    def size(self) -> int:
        return (self.a | self.b | self.c).bit_count()

    @property
    def vector(self) -> Vector:
        return information(self.a, self.b, self.c) if self.b else combine((1, h(self.a | self.c)), (-1, h(self.c)))


@cache
def elementals(atoms: tuple[Mask, ...], discrete: bool) -> tuple[tuple[Elemental, Vector], ...]:
    """H(A | all others), for discrete variables, and I(A;B|S): they imply every inequality of Shannon type (Yeung 1997)."""
    full = sum(atoms)
    items = [Elemental(a, 0, full ^ a) for a in atoms] if discrete else []
    for a, b in combinations(atoms, 2):
        others = [k for k in atoms if k not in (a, b)]
        for size in range(len(others) + 1):
            items += [Elemental(a, b, sum(chosen)) for chosen in combinations(others, size)]
    return tuple((e, e.vector) for e in items)


@cache
def zhang_yeung(atoms: tuple[Mask, ...]) -> tuple[tuple[tuple[Mask, ...], Vector], ...]:
    """I(A;B) + I(A;C,D) + 3 I(C;D|A) + I(C;D|B) - 2 I(C;D) >= 0, for any four sets of variables (Zhang & Yeung 1998)."""
    found = []
    for a, b, c, d in permutations(atoms, 4):
        if c < d:
            vector = combine(
                (1, information(a, b)),
                (1, information(a, c | d)),
                (3, information(c, d, a)),
                (1, information(c, d, b)),
                (-2, information(c, d)),
            )
            found.append(((a, b, c, d), vector))
    return tuple(found)


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
        return self.explain(vector)[0]

    def explain(self, vector: Vector) -> tuple[Vector, list[tuple[Fraction, Fact]]]:
        """The reduced vector r and facts with vector = r + sum c * quantity (each quantity being zero)."""
        pending = dict(vector)
        done: Vector = {}
        used: dict[Fact, Fraction] = {}
        while pending:
            key = max(pending, key=lambda k: (k[1].bit_count(), k[1]) if k[0] == "H" else (-1, 0))  # type: ignore[union-attr,attr-defined]
            value = pending.pop(key)
            if not value:
                continue
            parts = self.smaller(key[1]) if key[0] == "H" else ((1, key[1]),)  # type: ignore[arg-type]
            if len(parts) == 1 and parts[0][1] == key[1]:
                done[key] = value
                continue
            for sign, mask in parts:
                pending[("H", mask)] = pending.get(("H", mask), Fraction(0)) + sign * value
            fact = self._facts[key[1]]  # type: ignore[index]
            # H(A|C) = 0 raises H(S) = H(rest) + quantity; I = 0 lowers it: H(S) = H(A,C) + H(B,C) - H(C) - quantity.
            used[fact] = used.get(fact, Fraction(0)) + (value if fact.quantity.b == 0 else -value)
        return done, [(c, f) for f, c in used.items() if c]


def join(items: Iterable[tuple[Fraction, Elemental]]) -> list[tuple[Fraction, Elemental]]:
    """Elementals of one multiplier joined by the chain rule: I(A;B|C) + I(A;D|B,C) = I(A;B,D|C), H likewise."""
    parts = list(items)
    joined = True
    while joined:
        joined = False
        for (i, (x, e)), (k, (y, f)) in permutations(enumerate(parts), 2):
            new = next((g for g in _joins(e, f) if x == y), None)
            if new is not None:
                parts = [p for n, p in enumerate(parts) if n not in (i, k)]
                parts.insert(min(i, k), (x, new))
                joined = True
                break
    return parts


def _joins(e: Elemental, f: Elemental) -> Iterator[Elemental]:
    if not e.b and not f.b and f.c == e.a | e.c:
        yield Elemental(e.a | f.a, 0, e.c)
    if e.b and f.b:
        for a, b in ((e.a, e.b), (e.b, e.a)):
            for c, d in ((f.a, f.b), (f.b, f.a)):
                if a == c and f.c == b | e.c:
                    yield Elemental(a, b | d, e.c)
