"""Distributions worth trying as counterexamples: vector spaces over GF(2) and GF(3), cosets of groups, switches, small supports.

The first two come with the entropy of every set before any table is written: a rank times log p, or log |G| - log |intersection|.
Constant and duplicated variables are among all of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise, permutations, product
from math import log
from typing import Protocol, TypeAlias

from ibsym.proving.entropic import Mask, bits
from ibsym.proving.problem import Problem
from ibsym.proving.single import Single

Table: TypeAlias = dict[tuple[int, ...], Fraction]
Word: TypeAlias = tuple[int, ...]
MOST_GATED = 8


class Candidate(Protocol):
    """A distribution of which entropies are known."""

    def entropy(self, mask: Mask) -> float:
        """H of a set of variables, in nats."""
        ...

    def table(self) -> Table:
        """The distribution itself."""
        ...


@dataclass(frozen=True)
class Code:
    """A uniform word over GF(p), every variable some linear combinations of its letters: H(S) = rank times log p."""

    p: int
    size: int
    forms: tuple[tuple[Word, ...], ...]

    def entropy(self, mask: Mask) -> float:
        """H of a set of variables, in nats."""
        return rank(self.p, [w for i in bits(mask) for w in self.forms[i]]) * log(self.p)

    def table(self) -> Table:
        """p of every value of all the variables."""
        total: Table = {}
        for word in product(range(self.p), repeat=self.size):
            values = []
            for forms in self.forms:
                value = 0
                for form in forms:
                    value = value * self.p + sum(a * b for a, b in zip(form, word, strict=True)) % self.p
                values.append(value)
            key = tuple(values)
            total[key] = total.get(key, Fraction(0)) + Fraction(1, self.p**self.size)
        return total


def rank(p: int, words: Sequence[Word]) -> int:
    """The dimension of what some words span over GF(p)."""
    basis: dict[int, Word] = {}
    for word in words:
        rest = word
        while True:
            lead = next((k for k, x in enumerate(rest) if x), None)
            if lead is None:
                break
            if lead not in basis:
                inverse = pow(rest[lead], -1, p)
                basis[lead] = tuple(x * inverse % p for x in rest)
                break
            factor = rest[lead]
            rest = tuple((x - factor * y) % p for x, y in zip(rest, basis[lead], strict=True))
    return len(basis)


@dataclass(frozen=True)
class Parities:
    """A :class:`Code` over GF(2), its forms as integers of bits."""

    size: int
    forms: tuple[tuple[int, ...], ...]

    def entropy(self, mask: Mask) -> float:
        """H of a set of variables, in nats."""
        basis: list[int] = []
        for i in bits(mask):
            for form in self.forms[i]:
                for b in basis:
                    form = min(form, form ^ b)
                if form:
                    basis.append(form)
        return len(basis) * LOG2

    def table(self) -> Table:
        """p of every value of all the variables."""
        return Code(2, self.size, tuple(tuple(self._word(f) for f in forms) for forms in self.forms)).table()

    def _word(self, form: int) -> Word:
        return tuple(form >> k & 1 for k in range(self.size))

    def changed(self, source: random.Random) -> Parities:
        """One variable changed: constant, a copy, a sum, one parity more or less."""
        forms = list(self.forms)
        i, other = source.randrange(len(forms)), source.choice(forms)
        match source.randrange(5):
            case 0:
                forms[i] = other
            case 1:
                forms[i] = forms[i][1:]
            case 2:
                forms[i] = (*forms[i], source.randrange(1 << self.size))[:3]
            case 3:
                forms[i] = (*forms[i], *other)[:3]
            case _:
                forms[i] = tuple(source.randrange(1 << self.size) for _ in range(source.choice((1, 1, 2))))
        return Parities(self.size, tuple(forms))


LOG2 = log(2)


@dataclass(frozen=True)
class Cosets:
    """A uniform element of a group, every variable its coset of a subgroup: H(S) = log |G| - log |the intersection|."""

    group: tuple[Word, ...]
    subgroups: tuple[frozenset[Word], ...]

    def entropy(self, mask: Mask) -> float:
        """H of a set of variables, in nats."""
        chosen = [self.subgroups[i] for i in bits(mask)]
        return log(len(self.group)) - log(len(frozenset.intersection(*chosen))) if chosen else 0.0

    def table(self) -> Table:
        """p of every value of all the variables."""
        total: Table = {}
        names: list[dict[frozenset[Word], int]] = [{} for _ in self.subgroups]
        for g in self.group:
            cosets = (frozenset(_compose(g, s) for s in subgroup) for subgroup in self.subgroups)
            key = tuple(known.setdefault(c, len(known)) for known, c in zip(names, cosets, strict=True))
            total[key] = total.get(key, Fraction(0)) + Fraction(1, len(self.group))
        return total


@dataclass(frozen=True)
class Listed:
    """A distribution by its points."""

    points: Table

    def entropy(self, mask: Mask) -> float:
        """H of a set of variables, in nats."""
        places = bits(mask)
        total: dict[Word, float] = {}
        for values, p in self.points.items():
            key = tuple(values[i] for i in places)
            total[key] = total.get(key, 0.0) + float(p)
        return -sum(p * log(p) for p in total.values())

    def table(self) -> Table:
        """p of every value of all the variables."""
        return self.points


def candidates(space: Single, problem: Problem, source: random.Random) -> Iterator[Candidate]:
    """Distributions of one joint, for ever: many codes, some of each other kind."""
    n = len(problem.variables)
    parents = _parents(space, problem)
    yield from general(n, source)
    yield from and_or(n)
    for turn in range(1 << 60):
        yield code(n, parents, source, 3 if turn % 4 == 3 else 2)
        if turn % 3 == 2:
            yield switches(n, parents, source)
        if turn % 6 == 5 and n <= 8:
            yield small_support(n, source)
        if turn % 20 == 19 and turn > 200:
            yield cosets(n, source)


def _parents(space: Single, problem: Problem) -> list[tuple[list[int], bool]]:
    """For each variable what a premise says that it comes from, and whether it is a function of that."""
    found: dict[int, tuple[list[int], bool]] = {}

    def record(i: int, above: list[int], function: bool) -> None:
        """The first that leads to no circle."""
        pending, seen = list(above), set(above)
        while pending:
            new = set(found.get(pending.pop(), ([], False))[0]) - seen
            seen |= new
            pending += new
        if i not in seen:
            found.setdefault(i, (above, function))

    for a, b, _ in space.reduction.dependences:
        for i in bits(b & ~a):
            record(i, bits(a), True)
    for chain in problem.chains:
        groups = [[space.place[n.casefold()] for n in g] for g in chain.groups]
        for before, after in pairwise(groups):
            for i in after:
                record(i, before, False)
    return [found.get(i, ([], False)) for i in range(len(problem.variables))]


def _order(parents: list[tuple[list[int], bool]], source: random.Random) -> list[int]:
    """Variables after what they come from, as far as premises run in no circle; any that are free in random order."""
    pending = source.sample(range(len(parents)), len(parents))
    done: list[int] = []
    while pending:
        i = next((i for i in pending if set(parents[i][0]) <= set(done)), pending[0])
        pending.remove(i)
        done.append(i)
    return done


def code(n: int, parents: list[tuple[list[int], bool]], source: random.Random, p: int) -> Code | Parities:
    """A random code: a few forms for every variable, none, or those of another; along the premises where these say so."""
    size = source.randint(1, (5 if n > 5 else 4) if p == 2 else 3)
    forms: list[tuple[Word, ...]] = [()] * n
    done: list[int] = []
    for i in _order(parents, source):
        above, function = parents[i]
        kind = source.random()
        if above and kind < 0.85:
            pool = [w for k in above for w in forms[k]]
            forms[i] = tuple(_mixed(pool, size, source, p) for _ in range(source.choice((0, 1, 1, 2))))
            if not function and source.random() < 0.4:
                forms[i] += (_unit(size, source),)
        elif done and kind < 0.12:
            forms[i] = forms[source.choice(done)]
        elif done and kind < 0.3:
            forms[i] = tuple(w for k in source.sample(done, min(2, len(done))) for w in forms[k])[:3]
        elif kind < 0.6:
            forms[i] = (_unit(size, source),)
        else:
            forms[i] = tuple(tuple(source.randrange(p) for _ in range(size)) for _ in range(source.choice((0, 1, 1, 1, 2))))
        done.append(i)
    if p == 2:
        return _packed(size, forms)
    return Code(p, size, tuple(forms))


def _packed(size: int, forms: Sequence[tuple[Word, ...]]) -> Parities:
    return Parities(size, tuple(tuple(sum(x << k for k, x in enumerate(w)) for w in words) for words in forms))


def _unit(size: int, source: random.Random) -> Word:
    k = source.randrange(size)
    return tuple(int(i == k) for i in range(size))


def _mixed(pool: Sequence[Word], size: int, source: random.Random, p: int) -> Word:
    total = (0,) * size
    for w in pool:
        x = source.randrange(p)
        total = tuple((a + x * b) % p for a, b in zip(total, w, strict=True))
    return total


def switches(n: int, parents: list[tuple[list[int], bool]], source: random.Random) -> Listed:
    """Fair or biased bits, every variable a gate of two of them or of two others: and, or, exclusive or, both, a copy, a constant."""
    k = source.randint(1, 3)
    bias = [Fraction(source.choice((1, 1, 1, 2, 3)), source.choice((2, 2, 4))) for _ in range(k)]
    bias = [b if b < 1 else Fraction(1, 2) for b in bias]
    gates: list[tuple[int, int, str]] = [(0, 0, "0")] * n
    order = _order(parents, source)
    for place, i in enumerate(order):
        above = [k + j for j in parents[i][0] if j in order[:place]]
        pool = (
            above if above and source.random() < 0.9 else [*range(k), *(k + j for j in order[:place] if source.random() < 0.4)]
        )
        gates[i] = (source.choice(pool), source.choice(pool), source.choice(("0", "1", "1", "&", "&", "|", "|", "^", "^", "2")))
    total: Table = {}
    for word in product((0, 1), repeat=k):
        values = [*word, *([0] * n)]
        for i in order:
            a, b, gate = values[gates[i][0]], values[gates[i][1]], gates[i][2]
            values[k + i] = {"0": 0, "1": a, "&": min(a, b), "|": max(a, b), "^": a ^ b, "2": 4 * a + b}[gate]
        weight = Fraction(1)
        for bit, heads in zip(word, bias, strict=True):
            weight *= heads if bit else 1 - heads
        key = tuple(values[k:])
        total[key] = total.get(key, Fraction(0)) + weight
    return Listed(total)


def general(n: int, source: random.Random) -> Iterator[Code | Parities]:
    """Letters in general position, all else constant: of k variables any r determine the rest, and fewer are independent.

    r = 1 are copies, r = k - 1 bits whose sum is 0; between, a polynomial of degree r - 1 at k points (Reed & Solomon 1960).
    """
    for k in range(2, n + 1):
        chosen = [list(range(k)), list(range(n - k, n)), source.sample(range(n), k), source.sample(range(n), k)]
        for places in chosen if k < n else chosen[:1]:
            for r in range(1, k):
                words: list[Word]
                p = 2 if r in (1, k - 1) else next(q for q in _PRIMES if q >= k) if k <= _PRIMES[-1] else 0
                if not p or p**r > MOST_POINTS:
                    continue
                if p == 2:
                    words = [tuple(int(i == j) for i in range(r)) for j in range(r)] + [(1,) * r] * (k - r)
                else:
                    words = [tuple(x**i % p for i in range(r)) for x in range(k)]
                forms: list[tuple[Word, ...]] = [()] * n
                for place, word in zip(places, words, strict=True):
                    forms[place] = (word,)
                yield _packed(r, forms) if p == 2 else Code(p, r, tuple(forms))


_PRIMES = (3, 5, 7, 11)
MOST_POINTS = 2048


def and_or(n: int) -> Iterator[Listed]:
    """Two fair bits, their and, their or, all else constant: what refutes Ingleton's inequality, at every four variables."""
    for a, b, c, d in permutations(range(n), 4) if n <= MOST_GATED else ():
        if a < b and c < d:
            total: Table = {}
            for x, y in product((0, 1), repeat=2):
                values = [0] * n
                values[a], values[b], values[c], values[d] = x, y, min(x, y), max(x, y)
                total[tuple(values)] = Fraction(1, 4)
            yield Listed(total)


def small_support(n: int, source: random.Random) -> Listed:
    """A few points with small whole weights, some variables constant or copies."""
    points = [[source.randrange(3) for _ in range(n)] for _ in range(source.randint(2, 6))]
    for i in range(n):
        kind = source.random()
        if kind < 0.15 and n > 2:
            k = source.randrange(n)
            for point in points:
                point[i] = point[k] if kind < 0.08 else 0
    weights = [source.randint(1, 6) if source.random() < 0.6 else 1 for _ in points]
    total: Table = {}
    for point, weight in zip(points, weights, strict=True):
        total[tuple(point)] = total.get(tuple(point), Fraction(0)) + Fraction(weight, sum(weights))
    return Listed(total)


def _compose(g: Word, s: Word) -> Word:
    return tuple(g[k] for k in s)


@lru_cache(8)
def symmetric_group(n: int) -> tuple[Word, ...]:
    """All permutations of n letters."""
    return tuple(permutations(range(n)))


@lru_cache(4096)
def generated(generators: frozenset[Word], n: int) -> frozenset[Word]:
    """The subgroup that some permutations generate."""
    found = {tuple(range(n))}
    pending = list(found)
    while pending:
        g = pending.pop()
        for s in generators:
            new = _compose(g, s)
            if new not in found:
                found.add(new)
                pending.append(new)
    return frozenset(found)


def cosets(n: int, source: random.Random) -> Cosets:
    """Cosets of random subgroups of the symmetric group of three, four or five letters."""
    letters = source.choice((3, 3, 4, 4, 4, 5))
    group = symmetric_group(letters)
    choices = [
        generated(frozenset(source.choice(group) for _ in range(source.choice((1, 1, 2)))), letters)
        for _ in range(source.randint(2, max(2, n)))
    ]
    choices.append(frozenset(group))
    return Cosets(group, tuple(source.choice(choices) for _ in range(n)))
