"""Entropy space: rows and rewritings hold in worlds, joins keep their sum, premises are used in the direction they have."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

import ibsym
from ibsym.checking.counterexamples import Check, World
from ibsym.proving import entropic
from ibsym.proving.constants import sign
from ibsym.proving.entropic import Elemental, Reduction
from ibsym.proving.problem import Problem
from ibsym.proving.prover import reading
from ibsym.proving.single import Single
from ibsym.terms.vectors import Vector, combine
from tests.attack.claims import Structure, entropies

ATOMS = (1, 2, 4, 8)


def numbers(vector: Vector, entropy: dict[int, np.ndarray]) -> np.ndarray:
    return sum((float(x) * entropy[key[1]] for key, x in vector.items()), np.zeros(1))  # type: ignore[index]


def measured(structure: Structure, seed: int) -> dict[int, np.ndarray]:
    names = structure.names
    of = entropies(structure.finite(np.random.default_rng(seed), 6), names)
    return {m: of("".join(v for i, v in enumerate(names) if m >> i & 1)) for m in range(1, 1 << len(names))}


def test_rows_are_what_they_say() -> None:
    structure = Structure("ABCD", dict.fromkeys("ABCD", ""), frozenset())
    structure = Structure("ABCD", {"A": "", "B": "A", "C": "AB", "D": "C"}, frozenset())
    entropy = measured(structure, 0)
    for a, b in combinations(range(1, 16), 2):
        for c in (0, *range(1, 16)):
            if not a & b and not (a | b) & c:
                expected = entropy[a | c] + entropy[b | c] - entropy[a | b | c] - (entropy[c] if c else 0)
                assert np.allclose(numbers(entropic.information(a, b, c), entropy), expected)
                assert np.allclose(numbers(Elemental(a, b, c).vector, entropy), expected)
                assert np.allclose(numbers(Elemental(a, 0, c).vector, entropy), entropy[a | c] - (entropy[c] if c else 0))


@pytest.mark.parametrize("discrete", [True, False])
def test_elementals_are_all_there(discrete: bool) -> None:
    """n + n(n-1)/2 2^(n-2) of them, each with everything given that it may have (Yeung 1997)."""
    found = [e for e, _ in entropic.elementals(ATOMS, discrete)]
    assert len(found) == len(set(found)) == (4 if discrete else 0) + 6 * 4
    assert all(e.c == 15 ^ e.a for e in found if not e.b)
    assert {(e.a, e.b, e.c) for e in found if e.b} == {
        (a, b, sum(c))
        for a, b in combinations(ATOMS, 2)
        for k in range(3)
        for c in combinations([x for x in ATOMS if x not in (a, b)], k)
    }


@pytest.mark.parametrize("seed", range(24))
def test_rewritings_hold_in_worlds(seed: int) -> None:
    """What a graph with functions implies, as a reduction: facts are zero, H(S) is what it is rewritten into, the identity is exact."""
    rng = random.Random(seed)
    structure = Structure.random(rng, rng.choice((3, 4, 5)))
    names, place = structure.names, {v: i for i, v in enumerate(structure.names)}

    def mask(of: str) -> int:
        return sum(1 << place[v] for v in of)

    dependences = [(mask(structure.parents[v]), mask(v), f"{v} of its parents") for v in structure.functions]
    independences = []
    for _ in range(30):
        a, b, *rest = rng.sample(names, rng.randint(2, len(names)))
        given = "".join(rest[: rng.randint(0, 2)])
        if structure.separated(a, b, given):
            independences.append((mask(a), mask(b), mask(given), f"{a} - {given} - {b}"))
    reduction = Reduction(independences, dependences)
    entropy = measured(structure, seed)
    for m in range(1, 1 << len(names)):
        closed = reduction.closure(m)
        assert np.allclose(entropy[m], entropy[closed])
        for fact in reduction.facts(m):
            assert np.abs(numbers(fact.quantity.vector, entropy)).max() < 1e-9, fact
        assert np.allclose(sum(s * entropy[k] for s, k in reduction.smaller(m) if k), entropy[m], atol=1e-9)
        vector: Vector = {("H", m): Fraction(2), ("H", rng.randint(1, (1 << len(names)) - 1)): Fraction(1, 3)}
        left, used = reduction.explain(vector)
        assert combine((1, left), *((c, f.quantity.vector) for c, f in used)) == combine((1, vector))


@pytest.mark.parametrize("seed", range(40))
def test_joins_keep_their_sum(seed: int) -> None:
    rng = random.Random(seed)
    items = []
    for _ in range(6):
        shuffled = rng.sample([1, 2, 4, 8, 16], 5)
        a, b = shuffled[0], rng.choice([0, shuffled[1]])
        items.append((Fraction(rng.choice([1, 1, 2])), Elemental(a, b, sum(shuffled[2 : 2 + rng.randint(0, 3)]))))
    before = combine(*((x, e.vector) for x, e in items))
    joined = entropic.join(items)
    assert combine(*((x, e.vector) for x, e in joined)) == before
    assert all(x > 0 for x, _ in joined)


def test_a_chain_rule_is_joined() -> None:
    assert entropic.join([(Fraction(1), Elemental(1, 2, 0)), (Fraction(1), Elemental(1, 4, 2))]) == [(1, Elemental(1, 6, 0))]
    assert entropic.join([(Fraction(1), Elemental(2, 0, 1)), (Fraction(1), Elemental(4, 0, 3))]) == [(1, Elemental(6, 0, 1))]


PROVED = [
    ("I(X,Y;W|Z) = 0", ["X -> Y -> Z -> W"]),
    ("I(X;Z,W|Y) = 0", ["X -> Y -> Z -> W"]),
    ("I(X;Y) = 0", ["0 >= I(X;Y)"]),
    ("I(X;Y) = 0", ["I(X;Y) <= 0"]),
    ("I(X;Y) = 0", ["0 = I(X;Y)"]),
    ("H(X) = 0", ["I(X;X) = 0"]),
    ("H(Y|X,Z) = 0", ["H(Y|X) = 0"]),
    ("H(X|Z) <= H(Y|Z) + H(X|Y)", ["H(X) <= H(Y)"]),
    ("H(X) + H(Y) = 2*H(Y) + 3*H(X)/3 - H(Y)", []),
    ("-(H(X) - H(Y)) <= H(Y|X)", []),
    ("H(X)*2 = H(X) + 2*H(X)/2", []),
    ("H_q(X) + KL(q(x)||p(x)) >= 0", []),
    ("E_p[log p(x|y,z)] = E_p[log p(x|y)]", ["X -> Y -> Z in p"]),
    ("E_q[log p(x|y,z)] = E_q[log p(x|y)]", ["X -> Y -> Z in p"]),
    ("KL(q(x)||p(x)) <= 2*KL(q(z)||p(z))", ["KL(q(x)||p(x)) <= KL(q(z)||p(z))"]),
    ("KL(q(x)||p(x)) = KL(q(z)||p(z))", ["KL(q(z)||p(z)) = KL(q(x)||p(x))"]),
]
UNPROVED = [
    ("I(X;Y) = 0", ["I(X;Y) >= 0"]),
    ("I(X;Y) = 0", ["0 <= I(X;Y)"]),
    ("I(X;Y) = 0", ["0 - I(X;Y) <= 0"]),
    ("I(X;Y) = 0", ["I(X;Y) <= I(X;Z)"]),
    ("H(Y|X) = 0", ["H(Y|X) <= H(Z)"]),
    ("I(X;Y) = 0", ["I(X;Y;Z) = 0"]),
    ("I(X;Y) = 0", ["I(X;Y|Z) = 0"]),
    ("I(X;Y|Z) = 0", ["I(X;Y) = 0"]),
    ("H(Y) <= H(X)", ["H(X) <= H(Y)"]),
    ("H(X) = H(Y)", ["H(X) <= H(Y)"]),
    ("I(X;Z) = 0", ["X -> Y -> Z"]),
    ("H(X|Y) = 0", ["H(Y|X) = 0"]),
    ("KL(q(z)||p(z)) <= KL(q(x)||p(x))", ["KL(q(x)||p(x)) <= KL(q(z)||p(z))"]),
    ("E_p[log q(x|y,z)] = E_p[log q(x|y)]", ["X -> Y -> Z in p"]),
    ("E_p[log p(x|z)] = E_p[log p(x)]", ["X -> Y -> Z in p"]),
    ("KL(q(x)||p(x)) <= 0", []),
    ("H(X) <= 2*H(X)/3", []),
]


@pytest.mark.parametrize(("claim", "premises"), PROVED)
def test_proved(claim: str, premises: list[str]) -> None:
    assert ibsym.prove(claim, premises).status == "proved"


@pytest.mark.parametrize(("claim", "premises"), UNPROVED)
def test_not_proved(claim: str, premises: list[str]) -> None:
    assert ibsym.prove(claim, premises).status != "proved"


@pytest.mark.parametrize(
    ("claim", "premises"),
    [
        ("H(X|Y) >= 0", []),
        ("I(X;Y) <= H(X)", []),
        ("H_q(X) + KL(q(x)||p(x)) >= 0", []),
        ("H_q(X|Z) >= 0", ["H_q(X) = H_p(X)"]),
    ],
)
def test_discrete_only_claims_are_not_proved_of_continuous_variables(claim: str, premises: list[str]) -> None:
    assert ibsym.prove(claim, premises).status == "proved"
    assert ibsym.prove(claim, premises, continuous=True).status != "proved"


def test_signs_of_logarithms_are_exact() -> None:
    assert sign({2: Fraction(3), 3: Fraction(-2)}) == -1
    assert sign({2: Fraction(-3), 3: Fraction(2)}) == 1
    assert sign({}) == 0
    # 3^665 and 2^1054 differ by five parts in a hundred thousand.
    assert sign({2: Fraction(1054), 3: Fraction(-665)}) == -sign({2: Fraction(-1054), 3: Fraction(665)}) != 0


def test_values_of_worlds_are_exact() -> None:
    world = World(
        ("X", "Y"),
        {"q": {(0, 0): Fraction(1, 4), (1, 1): Fraction(3, 4)}, "p": {(0, 0): Fraction(1, 2), (1, 0): Fraction(1, 2)}},
    )
    # H(1/4, 3/4) = 2 log 2 - 3/4 log 3; q reaches what p excludes.
    problem = Problem.read("KL(q(x)||p(x)) >= 0", ["H_q(Y) >= 0"])
    space = reading(problem)
    (difference,) = problem.differences()
    assert world.value(space.vector(difference)) == {2: Fraction(-1), 3: Fraction(3, 4)}
    entropy = problem.premises[0].form
    assert world.value(space.vector(entropy)) == {2: Fraction(2), 3: Fraction(-3, 4)}
    other = Problem.read("KL(q(y)||p(y)) >= 0", ["H_q(X) >= 0"])
    (infinite,) = other.differences()
    assert (
        World(("Y", "X"), {j: {v[::-1]: p for v, p in t.items()} for j, t in world.tables.items()}).value(
            reading(other).vector(infinite)
        )
        is None
    )


@pytest.mark.parametrize(
    ("given", "equal", "apart"),
    [
        ([], True, True),
        (["X -> Y -> Z"], True, False),
        (["H(Y) = 0"], False, True),
        (["H(Y) >= log 2"], True, False),
        (["H(X) <= 0"], False, False),
    ],
)
def test_tables_that_break_a_premise_are_no_counterexample(given: list[str], equal: bool, apart: bool) -> None:
    """One bit X = Z, which Y is as well, or knows nothing of."""
    half = Fraction(1, 2)
    problem = Problem.read("I(X;Z) <= 0", given)
    check = Check(problem, Single(problem, False, ()))
    for told, rows in ((equal, ((0, 0, 0), (1, 1, 1))), (apart, ((0, 0, 0), (1, 0, 1)))):
        table = {tuple(row["XYZ".index(v)] for v in problem.variables): half for row in rows}
        assert (check.counterexample({"": table}) is not None) is told


def test_infinite_terms_that_cancel_are_no_counterexample() -> None:
    for claim in ("-2*I_p(B;A) + CE(p(a,b)||q(a,b)) - KL(p(a,b)||q(a,b)) >= 0", "CE(p(a)||q(a)) <= KL(p(a)||q(a))"):
        found = ibsym.prove(claim).counterexample
        assert found is not None
        for values in found.tables["p"]:
            assert found.tables["q"].get(values, 0) > 0
