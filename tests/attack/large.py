"""Claims of up to twelve variables with planted truths and falsehoods; certificates read back from their text, tables evaluated anew."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import combinations, product

import mpmath

from ibsym.checking.answers import Answer, answer
from ibsym.checking.counterexamples import Counterexample
from tests.attack.bounds import Tally

Sets = dict[frozenset[str], Fraction]
_TERM = re.compile(r"(?P<kind>H|I|TC)\((?P<groups>[^|()]*)(?:\|(?P<given>[^()]*))?\)")
_ORBIT = re.compile(r"sum\[(?P<term>[^:]*): (?P<where>.*)\]")


def information(a: Iterable[str], b: Iterable[str], c: Iterable[str]) -> Sets:
    """I(a;b|c) in entropies."""
    a, b, c = frozenset(a), frozenset(b), frozenset(c)
    return total((1, a | c), (1, b | c), (-1, a | b | c), (-1, c))


def total(*parts: tuple[int | Fraction, frozenset[str]]) -> Sets:
    found: Sets = {}
    for x, s in parts:
        if s:
            found[s] = found.get(s, Fraction(0)) + x
    return found


def plus(first: Sets, factor: Fraction | int, second: Sets) -> Sets:
    found = dict(first)
    for s, x in second.items():
        found[s] = found.get(s, Fraction(0)) + factor * x
    return {s: x for s, x in found.items() if x}


def text(sets: Sets, rng: random.Random) -> str:
    parts = [
        f"{'-' if x < 0 else '+'} {abs(x)} H({','.join(sorted(s))})"
        for s, x in sorted(sets.items(), key=lambda p: sorted(p[0]))
    ]
    rng.shuffle(parts)
    return " ".join(parts).removeprefix("+ ") + " >= 0"


def planted(rng: random.Random, n: int, count: int) -> Sets:
    """A sum of informations of single variables under any condition, in entropies."""
    names, found = [f"X{i}" for i in range(n)], {}
    for _ in range(count):
        a, b, *rest = rng.sample(names, n)
        found = plus(found, rng.randint(1, 3), information([a], [b], rest[: rng.randint(0, n - 2)]))
    return found


def dense(rng: random.Random, n: int, count: int) -> str:
    """A true claim, its informations hidden in entropies."""
    return text(planted(rng, n, count), rng)


def read_term(term: str) -> Sets:
    """A quantity of a proof, by its text."""
    found = _TERM.fullmatch(term)
    assert found, term
    groups = [frozenset(g.split(",")) for g in found["groups"].split(";")]
    given = frozenset(found["given"].split(",")) if found["given"] else frozenset()
    if found["kind"] == "H":
        return total((1, groups[0] | given), (-1, given))
    if found["kind"] == "TC":
        every = frozenset().union(*groups, given)
        return total(*((1, g | given) for g in groups), (1 - len(groups), given), (-1, every))
    assert len(groups) == 2, term
    return information(groups[0], groups[1], given)


def read_orbit(item: str) -> list[Sets]:
    """Every term of ``sum[I(a;b|K): a,b in {X,Y,Z}, K = 1 of {X,Y,Z}]``."""
    found = _ORBIT.fullmatch(item)
    assert found, item
    where = found["where"].split(", K = ")
    groups = [g.split(",") for g in re.findall(r"\{([^}]*)\}", where[0])]
    inside = re.findall(r"(\d+) of \{([^}]*)\}", where[1]) if len(where) > 1 else []
    pairs = list(combinations(groups[0], 2)) if len(groups) == 1 else list(product(*groups))
    terms = []
    for a, b in pairs:
        choices = [combinations([v for v in g.split(",") if v not in (a, b)], int(k)) for k, g in inside]
        terms += [information([a], [b], [v for part in chosen for v in part]) for chosen in product(*choices)]
    return terms


def difference(claim: str) -> Sets:
    """right - left of a claim in entropies and informations, read without the prover's own reader."""
    low, relation, high = re.fullmatch(r"(.*?)(<=|>=)(.*)", claim).groups()  # type: ignore[union-attr]
    found: Sets = {}
    for side, sign in ((low, -1), (high, 1)):
        for mark, number, term in re.findall(r"([+-]?)\s*(\d*)\s*\*?\s*((?:H|I|TC)\([^()]*\))", side):
            weight = Fraction(number or 1) * (-1 if mark == "-" else 1) * sign * (1 if relation == "<=" else -1)
            found = plus(found, weight, read_term(term))
    return found


def certified(claim: str, linear: list[str], found: Answer) -> None:
    """The printed certificate is an identity, and its items have the right sign."""
    (part,) = found.certificate or ()
    left = difference(claim)
    for item in part["items"]:  # type: ignore[attr-defined]
        weight, name = Fraction(item["multiplier"]), item["quantity"]
        assert weight > 0 or item["zero"], item
        if name.startswith("sum["):
            if name.count("|all others"):
                raise AssertionError(name)
            total_: Sets = {}
            for term in read_orbit(name) if size_of(item["reason"]) < 3000 else []:
                for s, x in term.items():
                    total_[s] = total_.get(s, Fraction(0)) + x
            left = plus(left, -weight, total_)
        else:
            left = plus(left, -weight, difference(name) if name in linear else read_term(name))
    large = any(size_of(i["reason"]) >= 3000 for i in part["items"])  # type: ignore[attr-defined]
    assert large or left == {}, left


def size_of(reason: str) -> int:
    """How many terms an orbit's line stands for; 0 for other lines."""
    return int(reason.split()[0]) if "by symmetry" in reason else 0


def attack_large(seed: int) -> Tally:
    """Eight to twelve variables: a planted sum of informations is proved; less than it by something is not, and is false if refuted."""
    tally, rng = Tally(), random.Random(seed * 41 + 13)
    n = rng.choice((8, 9, 10, 11, 12))
    sets = planted(rng, n, rng.randint(3, 3 * n))
    true = seed % 2 == 0
    claim = text(sets, rng)
    if not true:  # a fair bit that the names below share and no other variable has: every information holds at most log 2 of it
        names = [f"X{i}" for i in range(n)]
        shared = frozenset(rng.sample(names, rng.randint(2, n)))
        size = sum((x for s, x in sets.items() if s & shared), Fraction(0))
        sets = plus(sets, -(size + 1), total((1, frozenset([min(shared)]))))
        claim = text(sets, rng)
    about = f"large claim {seed}: {claim[:200]}"
    found = answer(claim, seconds=0.5, time_limit=60)
    tally.claims[found.status] += 1
    if true and not found.proved:
        tally.violations.append(f"{about}: a sum of informations is {found.status}")
    if found.proved:
        if not true:
            tally.violations.append(f"{about}: proved, and false where {sorted(shared)} are one fair bit")
        try:
            certified(claim, [], found)
        except AssertionError as error:
            tally.violations.append(f"{about}: {error}")
        tally.pairs["certificates"] += 1
    if found.counterexample is not None:
        if true:
            tally.violations.append(f"{about}: refuted, and true")
        low = at(found.counterexample, sets)
        if not low < -(mpmath.mpf(10) ** -40):
            tally.violations.append(f"{about}: refuted, and the difference is {mpmath.nstr(low, 5)}")
        tally.pairs["counterexamples"] += 1
    return tally


def at(example: Counterexample, sets: Sets) -> mpmath.mpf:
    """The sum of entropies in a counterexample, with sixty digits."""
    (table,) = example.tables.values()
    with mpmath.workdps(60):
        low = mpmath.mpf(0)
        for s, x in sets.items():
            places = [i for i, v in enumerate(example.variables) if v in s]
            margin: dict[tuple[int, ...], Fraction] = {}
            for values, p in table.items():
                key = tuple(values[i] for i in places)
                margin[key] = margin.get(key, Fraction(0)) + p
            entropy = -mpmath.fsum(
                mpmath.mpf(p.numerator) / p.denominator * (mpmath.log(p.numerator) - mpmath.log(p.denominator))
                for p in margin.values()
            )
            low += mpmath.mpf(x.numerator) / x.denominator * entropy
        return low
