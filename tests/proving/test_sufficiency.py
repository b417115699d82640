"""Sufficient independences: what the programs that fail leave over is what trying every set finds; more than six variables."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

import ibsym
from ibsym.checking.sufficiency import LISTED, sufficient
from ibsym.facts import Fact
from ibsym.proving.problem import Problem
from ibsym.proving.prover import decide

NAMES = "ABCD"


def quantity(rng: random.Random) -> str:
    a, b, *rest = rng.sample(NAMES, 4)
    given = sorted(rest[: rng.randint(0, 2)])
    return f"I({a};{b}" + (f"|{','.join(given)})" if given else ")")


def tried(claim: str, given: list[str], most: int) -> set[tuple[str, ...]]:
    """Every set of independences, one after another, up to a size."""
    names = Problem.read(claim, given).variables
    choices = [
        f"{a} _|_ {b}" + (f" | {','.join(c)}" if c else "")
        for a, b in combinations(names, 2)
        for size in range(3)
        for c in combinations([v for v in names if v not in (a, b)], size)
    ]
    for size in range(most + 1):
        sets = combinations(choices, size)
        enough = {frozenset(s) for s in sets if decide(Problem.read(claim, [*given, *s])).provable is Fact.TRUE}
        if enough:
            return {tuple(sorted(s)) for s in enough}
    return set()


@pytest.mark.parametrize("seed", range(6))
def test_as_trying_every_set(seed: int) -> None:
    """Claims and premises of every kind that a point must satisfy: chains, functions, inequalities, zeros."""
    rng = random.Random(seed)
    claim = f"{quantity(rng)} <= {quantity(rng)}"
    given = [[], ["A -> B -> C"], ["D = f(A,B)"], [f"{quantity(rng)} = 0"], ["H(C) <= 1/2 H(D)"], ["H(B|A) = 0"]][seed] + [
        "H(A,B,C,D) >= 0"
    ]
    found = {tuple(sorted(s)) for s in sufficient(Problem.read(claim, given))}
    size = min((len(s) for s in found), default=1)
    assert size <= 2
    expected = tried(claim, given, size)
    assert found == expected
    assert found


@pytest.mark.parametrize(
    ("claim", "given", "expected"),
    [
        (
            "I(A;B|C,D,E,F,G) <= I(A;B|C,D,E,F)",
            [],
            {("A _|_ B | C,D,E,F,G",), ("A _|_ G | B,C,D,E,F",), ("B _|_ G | A,C,D,E,F",)},
        ),
        ("H(A,B) = H(A) + H(B)", ["A,B -> C,D,E,F,G -> K"], {("A _|_ B",)}),
        ("I(X0;X7) <= I(X3;X4)", ["X0 -> X1 -> X2 -> X3,X5,X6", "X4 -> X5,X6 -> X7"], None),
    ],
)
def test_more_than_six_variables(claim: str, given: list[str], expected: set[tuple[str, ...]] | None) -> None:
    problem = Problem.read(claim, given)
    assert len(problem.variables) > LISTED
    found = sufficient(problem)
    assert found
    assert expected is None or set(found) == expected
    assert all(decide(Problem.read(claim, [*given, *s])).provable is Fact.TRUE for s in found[:20])


def test_alternatives_and_several_joints_are_tried_one_after_another() -> None:
    assert set(ibsym.prove("min(H(A), H(B)) <= I(A;B)", sufficient=True).sufficient or ()) == set()
    assert ibsym.prove("I_p(X;Y) = 0", sufficient=True).sufficient == (("X _|_ Y in p",),)
