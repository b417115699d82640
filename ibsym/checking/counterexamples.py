"""Counterexamples: small distributions, found by search, that satisfy the premises exactly and violate the claim strictly.

Probabilities are rationals, so every expected log-probability is a rational combination of logarithms of primes. These are
linearly independent over the rationals: a combination is zero if and only if its coefficients are, and the sign of any other is
decided by interval arithmetic.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import log

from ibsym.checking.candidates import Candidate, Parities, Table, candidates
from ibsym.proving import constants, entropic
from ibsym.proving.claims import factors as prime_factors
from ibsym.proving.claims import terms_of, zero_quantity
from ibsym.proving.constants import Logs, sign
from ibsym.proving.entropic import bits, mask_of
from ibsym.proving.notation import Chain
from ibsym.proving.problem import Problem
from ibsym.proving.prover import reading
from ibsym.proving.several import Several, heads
from ibsym.proving.single import Single
from ibsym.terms.vectors import Coordinate, LogDensity, Vector

RESTART = 300
"""After how many fruitless changes another code is begun with."""


@dataclass(frozen=True)
class Counterexample:
    """Tables by joint (one, named "", where the claim names none), and the negative difference in nats."""

    variables: tuple[str, ...]
    tables: Mapping[str, Table]
    difference: float

    def record(self) -> dict[str, object]:
        """Plain values for JSON, probabilities as fractions."""
        return {
            "variables": list(self.variables),
            "joints": {j: [{"values": list(v), "probability": str(p)} for v, p in t.items()] for j, t in self.tables.items()},
            "difference": self.difference,
        }


factors = cache(prime_factors)


class World:
    """Finite tables in which coordinates have exact values, and rough ones to look at first."""

    def __init__(self, variables: Sequence[str], tables: Mapping[str, Table]):
        self.variables, self.tables = tuple(variables), tables
        self._margins: dict[tuple[str, tuple[int, ...]], Table] = {}
        self._rough: dict[tuple[str, tuple[int, ...]], dict[tuple[int, ...], float]] = {}

    def marginal(self, joint: str, places: tuple[int, ...]) -> Table:
        """p of the values at some places of a joint, summed over the others."""
        key = (joint, places)
        if key not in self._margins:
            total: Table = {}
            for values, p in self.tables[joint].items():
                part = tuple(values[i] for i in places)
                total[part] = total.get(part, Fraction(0)) + p
            self._margins[key] = total
        return self._margins[key]

    def _floats(self, joint: str, places: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        key = (joint, places)
        if key not in self._rough:
            everything = tuple(range(len(self.variables)))
            if places == everything:
                self._rough[key] = {v: float(p) for v, p in self.tables[joint].items()}
            else:
                total: dict[tuple[int, ...], float] = {}
                for values, p in self._floats(joint, everything).items():
                    part = tuple(values[i] for i in places)
                    total[part] = total.get(part, 0.0) + p
                self._rough[key] = total
        return self._rough[key]

    def logs(self, sampler: str, model: str, places: tuple[int, ...]) -> Logs | None:
        """E_sampler[log model] over some variables as coefficients of log p for primes p; None where it is minus infinity."""
        other = self.marginal(model, places)
        total: Logs = {}
        for values, p in self.marginal(sampler, places).items():
            q = other.get(values, Fraction(0))
            if not q:
                return None
            for number, side in ((q.numerator, 1), (q.denominator, -1)):
                for prime, k in factors(number):
                    total[prime] = total.get(prime, Fraction(0)) + side * k * p
        return total

    def read(self, key: Coordinate) -> tuple[int, str, str, tuple[int, ...]]:
        """A coordinate as sign * E_sampler[log model] over the variables at some places."""
        if not isinstance(key, LogDensity):
            (joint,) = self.tables
            return -1, joint, joint, tuple(bits(mask_of(key)))
        sampler, model = heads(key)
        place = {v.casefold(): i for i, v in enumerate(self.variables)}
        return 1, sampler, model, tuple(sorted(place[v] for v in key.scope))

    def value(self, vector: Vector) -> Logs | None:
        """The exact value of a combination of coordinates."""
        total: Logs = constants.logs(vector)
        for key, c in vector.items():
            if constants.is_constant(key):
                continue
            side, sampler, model, places = self.read(key)
            part = self.logs(sampler, model, places)
            if part is None:
                return None
            for prime, x in part.items():
                total[prime] = total.get(prime, Fraction(0)) + side * c * x
        return {p: x for p, x in total.items() if x}

    def rough(self, vector: Vector) -> float:
        """The value in floating point; 0 where a logarithm is infinite."""
        total = _number(vector)
        for key, c in vector.items():
            if constants.is_constant(key):
                continue
            side, sampler, model, places = self.read(key)
            other = self._floats(model, places)
            for values, p in self._floats(sampler, places).items():
                if values not in other:
                    return 0.0
                total += side * float(c) * p * log(other[values])
        return total


def search(problem: Problem, *, seconds: float = 2.0, seed: int = 0) -> Counterexample | None:
    """A counterexample to the claim, or None where none was found in the time (of this thread, twice that at most on the clock)."""
    source = random.Random(seed)
    read = reading(problem)
    check = Check(problem, read)
    late = time.monotonic() + 2 * seconds
    end = time.thread_time() + seconds
    for tables in check.promising(source) if isinstance(read, Single) else _candidates(problem, source):
        if tables is not None:
            found = check.counterexample(tables)
            if found is not None:
                return found
        if time.thread_time() > end or time.monotonic() > late:
            return None
    return None


class Check:
    """What a counterexample must do: satisfy the premises exactly and violate the claim strictly."""

    def __init__(self, problem: Problem, read: Single | Several):
        self.problem, self.read = problem, read
        self.clauses = [[read.vector(form) for form in clause] for clause in problem.clauses]
        self.premises = [(read.vector(s.form), s.zero) for s in problem.premises]
        self.premises += [(read.vector([(Fraction(1), zero_quantity(f))]), True) for f in problem.functions]
        self.terms = [read.vector([(Fraction(1), q)]) for q in terms_of((*problem.claims, *problem.premises))]

    def promising(self, source: random.Random) -> Iterator[dict[str, Table] | None]:
        """Tables of one joint whose entropies, in floating point, make a counterexample; None for each that do not.

        Every other distribution is the last code with one variable changed, kept while the claim and the premises come no nearer
        to holding and to failing.
        """
        assert isinstance(self.read, Single)
        reduction = self.read.reduction
        zero = [vector for vector, equal in self.premises if equal]
        zero += [entropic.information(a & ~c, b & ~c, c) for a, b, c, _ in reduction.independences]
        positive = [vector for vector, equal in self.premises if not equal]

        def numbers(vectors: list[Vector]) -> list[tuple[float, list[tuple[int, float]]]]:
            return [(_number(v), [(mask_of(k), float(x)) for k, x in v.items() if k[0] == "H"]) for v in vectors]

        clauses, zeros, signs = [numbers(c) for c in self.clauses], numbers(zero), numbers(positive)
        masks = sorted({m for v in (*zeros, *signs, *(v for c in clauses for v in c)) for m, _ in v[1]})
        (head,) = self.problem.joints or ("",)

        def distance(candidate: Candidate) -> tuple[float, float]:
            """How far the premises are from holding, and the least of what was claimed to be non-negative."""
            h = {m: candidate.entropy(m) for m in masks}

            def values(rows: list[tuple[float, list[tuple[int, float]]]]) -> list[float]:
                return [number + sum(x * h[m] for m, x in row) for number, row in rows]

            off = sum(map(abs, values(zeros))) + sum(max(0.0, -x) for x in values(signs))
            return off, min(max(values(c)) for c in clauses)

        best: tuple[float, Parities] | None = None
        stale = 0
        for candidate in candidates(self.read, self.problem, source):
            pending: list[Candidate] = [candidate]
            if best is not None:
                pending.append(best[1].changed(source))
            for each in pending:
                off, low = distance(each)
                yield {head: each.table()} if off < 1e-9 and low < -1e-9 else None
                score = 4 * off + low
                if isinstance(each, Parities) and (best is None or score <= best[0]):
                    stale = stale + 1 if best is not None and score == best[0] else 0
                    best = score, each
            stale += 1
            if stale > RESTART:
                best, stale = None, 0

    def counterexample(self, tables: dict[str, Table]) -> Counterexample | None:
        """The tables as a counterexample, if they are one in rationals."""
        world = World(self.problem.variables, tables)
        for clause in self.clauses:
            if (
                all(world.rough(target) < -1e-9 for target in clause)
                and all(_holds(world, v, zero) for v, zero in self.premises)
                and all(_markov(world, c) for c in self.problem.chains)
            ):
                if any(world.value(term) is None for term in self.terms):
                    continue  # infinite terms that cancel leave no value
                exact = [world.value(target) for target in clause]
                known = [e for e in exact if e is not None and sign(e) < 0]
                if len(known) == len(clause):
                    sizes = (sum(float(x) * (log(p) if p else 1.0) for p, x in e.items()) for e in known)
                    return Counterexample(self.problem.variables, tables, max(sizes))
        return None


def _number(vector: Vector) -> float:
    """The constants of a vector, in floating point."""
    return sum(float(x) * (log(p) if p else 1.0) for p, x in constants.logs(vector).items())


def _holds(world: World, vector: Vector, zero: bool) -> bool:
    value = world.value(vector)
    return value is not None and (not value if zero else sign(value) >= 0)


def _markov(world: World, chain: Chain) -> bool:
    """p(a,b,c) p(b) = p(a,b) p(b,c) in rationals, for every middle group of the chain."""
    place = {v.casefold(): i for i, v in enumerate(world.variables)}
    joint = chain.joint or next(iter(world.tables))
    groups = [tuple(place[n.casefold()] for n in g) for g in chain.groups]
    for m in range(1, len(groups) - 1):
        a, b, c = sum(groups[:m], ()), groups[m], sum(groups[m + 1 :], ())
        pb, pab, pbc, pabc = (world.marginal(joint, s) for s in (b, a + b, b + c, a + b + c))
        for va in {k[: len(a)] for k in pab}:
            for vb, p in pb.items():
                for vc in {k[len(b) :] for k in pbc}:
                    if pabc.get(va + vb + vc, Fraction(0)) * p != pab.get(va + vb, Fraction(0)) * pbc.get(vb + vc, Fraction(0)):
                        return False
    return True


def _candidates(problem: Problem, source: random.Random) -> Iterator[dict[str, Table]]:
    """Distributions to try, for ever: linear codes, small supports, tables along the chains."""
    heads = problem.joints or ("",)
    n = len(problem.variables)
    for _ in range(100):
        yield {h: _linear_code(problem, n, source, h) for h in heads}
    while True:
        for make in (_linear_code, _linear_code, _small_support, _linear_code, _along_chains):
            yield {h: make(problem, n, source, h) for h in heads}


def _linear_code(problem: Problem, n: int, source: random.Random, head: str) -> Table:
    """Every variable is a few parities of the same fair bits: all entropies are whole numbers of bits."""
    k = source.randint(1, 3 if n > 3 else 2)
    parities = [[source.randrange(1 << k) for _ in range(source.choice((0, 1, 1, 1, 2)))] for _ in range(n)]
    table: Table = {}
    for word in range(1 << k):
        values = tuple(sum(((word & mask).bit_count() & 1) << i for i, mask in enumerate(masks)) for masks in parities)
        table[values] = table.get(values, Fraction(0)) + Fraction(1, 1 << k)
    return table


def _small_support(problem: Problem, n: int, source: random.Random, head: str) -> Table:
    """A few points with small whole weights; the full cube where several joints must be absolutely continuous."""
    if len(problem.joints) > 1 and n <= 4:
        points = [tuple(i >> k & 1 for k in range(n)) for i in range(1 << n)]
    else:
        points = [tuple(source.randrange(3) for _ in range(n)) for _ in range(source.randint(2, 6))]
    weights = [source.randint(1, 6) for _ in points]
    table: Table = {}
    for point, weight in zip(points, weights, strict=True):
        table[point] = table.get(point, Fraction(0)) + Fraction(weight, sum(weights))
    return table


def _along_chains(problem: Problem, n: int, source: random.Random, head: str) -> Table:
    """Binary variables, each drawn from the one before it in a chain, or on its own."""
    place = {v.casefold(): i for i, v in enumerate(problem.variables)}
    parent: dict[int, int] = {}
    order: list[int] = []
    for chain in problem.chains:
        if chain.joint in (None, head):
            names = [place[g[0].casefold()] for g in chain.groups]
            for before, after in pairwise(names):
                if after not in order and after != before:
                    parent.setdefault(after, before)
            order += [i for i in names if i not in order]
    order += [i for i in range(n) if i not in order]
    if n > 8:
        return _linear_code(problem, n, source, head)
    table: dict[tuple[int, ...], Fraction] = {(0,) * n: Fraction(1)}
    for i in order:
        flip = [Fraction(source.randint(0 if len(problem.joints) < 2 else 1, 4), 5) for _ in range(2)]
        grown: Table = {}
        for values, p in table.items():
            one = flip[values[parent[i]]] if i in parent else flip[0]
            for bit, q in ((1, one), (0, 1 - one)):
                if q:
                    grown[(*values[:i], bit, *values[i + 1 :])] = p * q
        table = grown
    return table
