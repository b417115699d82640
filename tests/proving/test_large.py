"""Claims of many variables: planted truths and falsehoods, with and without a symmetry; certificates are read back from their text."""

from __future__ import annotations

import random
import time
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest

import ibsym
from ibsym.facts import Fact
from ibsym.proving import demand, entropic, orbits, textbook
from ibsym.proving.attempts import Attempt
from ibsym.proving.problem import Problem
from ibsym.proving.program import LimitError
from ibsym.proving.prover import decide
from ibsym.proving.single import Single
from ibsym.proving.warm import Warm
from tests.attack.large import certified, dense


def names(n: int) -> list[str]:
    return [f"X{i}" for i in range(n)]


def han(n: int, less: int = 0) -> str:
    v = names(n)
    parts = (f"H({','.join(x for x in v if x != w)})" for w in v)
    return f"{n - 1 - less}*H({','.join(v)}) <= " + " + ".join(parts)


def subsets(n: int, k: int, more: int = 0) -> str:
    """C(n-1, k-1) H(all) <= the sum of H over all sets of k variables."""
    v = names(n)
    return f"{comb(n - 1, k - 1) + more}*H({','.join(v)}) <= " + " + ".join(f"H({','.join(s)})" for s in combinations(v, k))


@pytest.mark.parametrize(
    "claim", [han(8), han(12), subsets(8, 2), subsets(10, 3), han(16), subsets(16, 2)], ids=lambda c: c[:24]
)
def test_symmetric_claims_of_many_variables(claim: str) -> None:
    found = ibsym.prove(claim)
    assert found.proved
    certified(claim, [], found)


def test_a_few_inequalities_of_an_orbit_are_written_one_by_one() -> None:
    """H(X_i|all others) >= 0, thirteen times."""
    v = names(13)
    claim = " + ".join(f"H({x}|{','.join(w for w in v if w != x)})" for x in v) + " >= 0"
    found = ibsym.prove(claim)
    assert found.proved
    assert len(found.certificate[0]["items"]) == 13
    certified(claim, [], found)


@pytest.mark.parametrize("claim", [han(9, -1), subsets(9, 2, 1), subsets(16, 2, 1)], ids=lambda c: c[:24])
def test_false_symmetric_claims_are_refuted(claim: str) -> None:
    found = ibsym.prove(claim)
    assert found.counterexample is not None


def markov(n: int) -> list[str]:
    """A hidden Markov chain: X0 -> X1 -> ..., each Y the noisy sight of its X."""
    states, seen = [f"X{i}" for i in range(n)], [f"Y{i}" for i in range(n)]
    rest = [",".join(v for v in states + seen if v not in (x, y)) for x, y in zip(states, seen, strict=True)]
    return [" -> ".join(states), *(f"{y} -> {x} -> {r}" for x, y, r in zip(states, seen, rest, strict=True))]


def channel(n: int) -> list[str]:
    """A channel without memory: each Y from its X alone."""
    states = [f"X{i}" for i in range(n)]
    earlier = [",".join([*states[:i], *states[i + 1 :], *(f"Y{k}" for k in range(i))]) for i in range(n)]
    return [f"Y{i} -> X{i} -> {earlier[i]}" for i in range(n)]


LINE = ",".join(f"X{i}" for i in range(10))
SEEN = LINE.replace("X", "Y")
BOTH = " + ".join(f"I(X{i};Y{i})" for i in range(10))
PIECES = [
    " -> ".join(f"V{i}" for i in range(11)),
    " -> ".join(f"V{i}" for i in range(9, 20)),
    ",".join(f"V{i}" for i in range(9)) + " -> V9,V10 -> " + ",".join(f"V{i}" for i in range(11, 20)),
]


@pytest.mark.parametrize(
    ("claim", "given"),
    [
        ("I(Y0;Y9) <= I(X3;X4)", markov(10)),
        ("I(Y2;Y8) <= I(Y2;X5)", markov(10)),
        (f"I({LINE};{SEEN}) <= {BOTH}", channel(10)),
        (f"I({LINE};{SEEN}) >= {BOTH}", [f"independent({LINE})"]),
        ("3*I(V0;V19) <= I(V3;V4) + 2*I(V14;V15)", PIECES),
    ],
    ids=["hidden", "seen", "channel", "source", "pieces"],
)
def test_twenty_variables_of_which_few_matter(claim: str, given: list[str]) -> None:
    found = ibsym.prove(claim, given)
    assert found.proved
    certified(claim, given, found)


@pytest.mark.parametrize("n", [5, 7, 9])
def test_letters_in_general_position_refute(n: int) -> None:
    """n - 1 of n bits whose sum is 0 are independent, so (n - 1) TC is H(all) - sum H(each | others), and no less will do."""
    v = names(n)
    left = f"H({','.join(v)}) - " + " - ".join(f"H({x}|{','.join(w for w in v if w != x)})" for x in v)
    tight = f"{left} <= {{}}*TC({';'.join(v)})"
    assert ibsym.prove(tight.format(n - 1)).proved
    assert ibsym.prove(tight.format(n - 2)).counterexample is not None


def test_a_cover_without_a_symmetry() -> None:
    """Shearer's lemma for sets of several sizes: every variable is covered twice."""
    sets = ["A,B,C", "C,D", "D,E,F,G", "G,H,A", "B,E", "F,H,J,K", "J,L", "K,L"]
    claim = "2*H(A,B,C,D,E,F,G,H,J,K,L) <= " + " + ".join(f"H({s})" for s in sets)
    found = ibsym.prove(claim)
    assert found.proved
    certified(claim, [], found)
    assert ibsym.prove(claim.replace("H(K,L)", "H(K)")).counterexample is not None


@pytest.mark.parametrize("seed", range(4))
def test_dense_claims_need_rows_on_demand(seed: int) -> None:
    claim = dense(random.Random(seed), 9, 40)
    found = ibsym.prove(claim)
    assert found.proved
    certified(claim, [], found)


def test_rows_on_demand_of_continuous_variables_are_informations_alone() -> None:
    claim = "3*H(A,B,C,D,E,F,G) >= H(A,B,C) + H(C,D,F) + H(A,E,F)"  # seven, all told apart
    assert ibsym.prove(claim).proved
    assert not ibsym.prove(claim, continuous=True).proved


@pytest.mark.parametrize("seed", range(6))
def test_rows_on_demand_decide_as_all_rows_do(seed: int) -> None:
    """Five atoms, premises among them: every elemental inequality at once, or as the dual asks for them."""
    rng = random.Random(seed)
    claim = dense(rng, 5, 12) if seed % 2 else dense(rng, 5, 8).replace(">= 0", "") + " - I(X0;X1|X2) - I(X3;X4) >= 0"
    given = [[], ["X0 -> X1 -> X2,X3"], ["H(X4|X0,X1) = 0", "H(X1) <= 2*H(X2)"]][seed % 3]
    problem = Problem.read(claim, given)
    space = Single(problem, False, ())
    attempt = Attempt(space, space.vector(problem.differences()[0]), time.monotonic() + 60)
    found = attempt._on_demand([entropic.mask_of(k) for k in attempt.target], space.atoms)
    rows = attempt._rows(e for e, _ in entropic.elementals(tuple(space.atoms), True))
    every = attempt._decide([*rows, *attempt._given(range(1, 32))])
    assert (found is None) == (every is None)


def test_elementals_on_demand_are_all_of_them() -> None:
    space = demand.Space([1, 2, 4, 8], entropic.Reduction([], []))
    for discrete in (True, False):
        rows = demand.Elementals(space, discrete)
        found = set(rows.elementals(np.arange(len(rows.places))))
        assert found == {e for e, _ in entropic.elementals((1, 2, 4, 8), discrete)}


def test_what_a_point_violates_most_comes_first() -> None:
    """Of every elemental inequality its value at the point, those below the bound in their order."""
    space = demand.Space([1, 2, 4, 8], entropic.Reduction([], []))
    rows = demand.Elementals(space, True)
    h = np.random.default_rng(0).random(16)
    h[0] = 0
    values = {
        e: sum(float(x) * h[entropic.mask_of(key)] for key, x in v.items()) for e, v in entropic.elementals((1, 2, 4, 8), True)
    }
    expected = sorted((e for e, x in values.items() if x < -0.1), key=values.__getitem__)
    assert [e for e, _ in rows.violated(h, np.zeros(16, dtype=bool), -0.1, 1000)] == expected
    assert [e for e, _ in rows.violated(h, np.zeros(16, dtype=bool), -0.1, 3)] == expected[:3]


def test_textbook_inequalities_have_no_other_sets() -> None:
    sets = textbook._ordered([0b0111, 0b1110, 0b0110, 0b1111, 0b0011, 0b1100])
    for discrete in (True, False):
        for e in textbook.among(sets, discrete):
            assert {entropic.mask_of(key) for key in e.vector} <= set(sets), e


def test_a_premise_of_a_small_unit_is_used() -> None:
    """A multiplier of a million, which the first program, with a price on multipliers, does without."""
    claim = dense(random.Random(0), 9, 40).replace(">= 0", "+ H(X1) - H(X0) >= 0")
    given = ["1/1000000*H(X0) <= 1/1000000*H(X1)"]
    assert not ibsym.prove(claim).proved
    assert ibsym.prove(claim, given).proved


def test_the_space_rewrites_every_set() -> None:
    reduction = entropic.Reduction([(1, 4, 2, "chain")], [(1, 8, "function")])
    space = demand.Space([1, 2, 4, 8], reduction)
    rng = random.Random(0)
    values = {key: rng.random() for key in space.coordinates}
    h, unknown = space.everywhere(values)
    assert not unknown.any()
    for place, mask in enumerate(space.masks):
        assert h[place] == pytest.approx(sum(float(x) * values[k] for k, x in reduction.apply(entropic.h(mask)).items()))


def test_orbits_are_the_elementals() -> None:
    """The members of all orbits are the elemental inequalities, each once, and an orbit's row is the average of its members'."""
    for groups, discrete in (([(1, 2, 4, 8)], True), ([(1, 2), (4,), (8, 16)], True), ([(1, 2, 4), (8,)], False)):
        symmetric = orbits.Symmetric(groups, discrete)
        atoms = tuple(sorted(a for g in groups for a in g))
        rows = list(symmetric.orbits())
        members = [e for o, _ in rows for e in symmetric.members(o)]
        assert len(members) == len(set(members))
        sets = {(frozenset((e.a, e.b)), e.c) for e in members}
        assert sets == {(frozenset((e.a, e.b)), e.c) for e, _ in entropic.elementals(atoms, discrete)}
        for orbit, row in rows:
            inside = list(symmetric.members(orbit))
            assert symmetric.size(orbit) == len(inside)
            for e in inside:
                assert symmetric.reduced(e.vector) == row


def test_classes_of_exchangeable_variables() -> None:
    def target(claim: str) -> tuple[dict, list[int]]:
        problem = Problem.read(claim)
        space = Single(problem, False, ())
        return space.vector(problem.differences()[0]), [1 << i for i in range(len(space.names))]

    assert [len(g) for g in orbits.classes(*target("H(A) + H(B) + 2 H(C) >= H(A,B,C)"))] == [2, 1]
    assert [len(g) for g in orbits.classes(*target("H(A,B) + H(B,C) + H(C,D) + H(D,A) >= 2 H(A,B,C,D)"))] == [2, 2]
    assert [len(g) for g in orbits.classes(*target("H(A,B) + H(B,C) >= H(A,B,C) + H(B)"))] == [2, 1]
    assert [len(g) for g in orbits.classes(*target("H(A,B) + H(B,C) + H(C,D) >= H(A,B,C,D)"))] == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(10))
def test_rows_among_sets_are_what_they_say(seed: int) -> None:
    rng = random.Random(seed)
    sets = textbook.lattice(rng.sample(range(1, 32), 4))
    assert sets is not None
    assert all(a & b in sets and a | b in sets for a in sets for b in sets)
    for e in textbook.among(sets, True):
        assert not e.a & e.b
        assert not (e.a | e.b) & e.c
        assert {e.c, e.a | e.c, e.b | e.c, e.a | e.b | e.c} <= set(sets)
    assert all(e.b for e in textbook.among(sets, False))


def test_a_limit_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.read(dense(random.Random(3), 9, 30))
    assert decide(problem, thorough=False).provable is Fact.UNKNOWN
    monkeypatch.setattr(demand, "MAX_ATOMS", 8)
    assert decide(problem).note == "undecided: limit"
    space = Single(problem, False, ())
    attempt = Attempt(space, space.vector(problem.differences()[0]), time.monotonic() + 60)
    with pytest.raises(LimitError, match="more than 8"):
        attempt.multipliers()


def test_nothing_is_proved_in_floating_point_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls any surplus zero: the identity fails, in rationals."""
    solve = Warm.solve
    called: list[list[float]] = []

    def wrong(self: Warm, price: float, limit: float, surplus: bool = True) -> tuple[float, list[float], dict]:
        _, rough, h = solve(self, price, limit, surplus)
        called.append(rough)
        return 0.0, rough, h

    monkeypatch.setattr(Warm, "solve", wrong)
    problem = Problem.read(dense(random.Random(0), 9, 40).replace(">= 0", "") + " - 9 I(X0;X1|X2,X3) >= 0")
    space = Single(problem, False, ())
    try:
        assert Attempt(space, space.vector(problem.differences()[0]), time.monotonic() + 5).multipliers() is None
    except ibsym.IbsymError as error:
        assert "exact" in str(error)
    assert called


def test_a_proof_of_few_terms_is_preferred() -> None:
    assert [len(p.items) for p in ibsym.prove(han(10)).proofs] == [9]
    claim = "3 H(A,B,C,D) <= H(A,B,C) + H(A,B,D) + H(A,C,D) + H(B,C,D)"
    assert [len(p.items) for p in ibsym.prove(claim).proofs] == [3]
    assert Fraction(ibsym.prove(claim).certificate[0]["items"][0]["multiplier"]) == 1  # type: ignore[index]
