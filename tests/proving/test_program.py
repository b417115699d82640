"""Linear programs: what cannot be made exact raises, and a solver that fails is never an answer."""

from __future__ import annotations

import random
import time
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize

import ibsym
from ibsym.checking.answers import answer
from ibsym.errors import SolverError
from ibsym.proving import rational
from ibsym.proving.program import Column, LimitError, exact, residual, solve
from ibsym.terms.vectors import Vector, combine

X, Y, Z = (("H", k) for k in (1, 2, 4))


def vector(**parts: object) -> Vector:
    return {{"x": X, "y": Y, "z": Z}[k]: Fraction(v) for k, v in parts.items()}  # type: ignore[arg-type]


def test_the_cheapest_solution_is_exact() -> None:
    third = Fraction(1, 3)
    columns = [
        Column(vector(x=-3, y=-1), 1.0),
        Column(vector(x=-1), 5.0),
        Column(vector(y=1), 1.0),
        Column(vector(y=-1, x=2), 0.1, free=True),
    ]
    found = solve(vector(x=1), columns)
    assert found is not None
    assert residual(vector(x=1), columns, found) == {}
    assert found[:3] == [Fraction(1, 5), 0, 0] or found == [third, 0, third, 0]
    assert found[3] < 0 or found[3] == 0


def test_free_columns_take_either_sign_and_others_do_not() -> None:
    assert solve(vector(x=1), [Column(vector(x=1), 1.0)]) is None
    assert solve(vector(x=1), [Column(vector(x=1), 1.0, free=True)]) == [-1]
    assert solve(vector(x=-1), [Column(vector(x=1), 1.0)]) == [1]
    assert solve({}, []) == []
    assert solve(vector(x=1), []) is None


def test_awkward_multipliers_are_recovered() -> None:
    odd = Fraction(123_457, 99_991)
    columns = [Column(vector(x=-1, y=odd), 1.0), Column(vector(y=-1), 1.0)]
    assert solve(vector(x=1), columns) == [1, odd]


def test_multipliers_that_cannot_be_made_exact_raise() -> None:
    columns = [Column(vector(x=-1), 1.0), Column(vector(y=-1), 1.0)]
    with pytest.raises(SolverError, match="could not be made exact"):
        exact(vector(x=1, y=1), columns, [1.0, 0.0])
    with pytest.raises(SolverError, match="could not be made exact"):
        exact(vector(x=1), [Column(vector(x=1), 1.0)], [-1.0 + 1e-7])  # only a negative multiplier would do


def test_any_number_of_multipliers_is_made_exact() -> None:
    """A triangular system with an odd right-hand side, a thousand unknowns: rough values three digits long are enough."""
    size, odd = 1000, Fraction(98_765, 123_457)
    columns = [Column({("H", k): -1, ("H", k + 1): odd}, 1.0) for k in range(1, size)] + [Column({("H", size): -1}, 1.0)]
    found = exact({("H", 1): 1}, columns, [1e-3] * size)
    assert found[:3] == [1, odd, odd**2]
    assert residual({("H", 1): 1}, columns, found) == {}


def test_dense_systems_are_solved_from_their_last_pivot_back() -> None:
    rng = random.Random(0)
    keys = [("H", k) for k in range(1, 7)]
    for _ in range(20):
        vectors = [{key: Fraction(rng.randint(1, 9) * rng.choice((1, -1))) for key in keys} for _ in keys]
        wanted = [Fraction(rng.randint(-5, 5), rng.randint(1, 5)) for _ in keys]
        target = combine(*((-x, v) for x, v in zip(wanted, vectors, strict=True)))
        found = rational.solution(target, vectors)
        assert found is not None
        assert not combine((1, target), *zip(found, vectors, strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_rationals_decide_as_floating_point_does(seed: int) -> None:
    """Random systems with and without solutions, far from any limit of precision: both ways agree, and what is found is exact."""
    rng = random.Random(seed)
    keys = [("H", k) for k in range(1, rng.randint(2, 6))]
    columns = [
        Column({k: x for k in keys if (x := rng.choice((0, 0, 1, -1, 2)))}, 1.0, free=rng.random() < 0.2)
        for _ in range(rng.randint(1, 10))
    ]
    target = combine(*((-rng.randint(0, 3), c.vector) for c in columns)) if seed % 2 else {k: rng.randint(-3, 3) for k in keys}
    found = rational.feasible(target, [c.vector for c in columns], [c.free for c in columns], [], time.monotonic() + 60)
    assert (found is not None) == (solve(target, columns) is not None)
    assert found is None or residual(target, columns, found) == {}
    assert found is None or all(c.free or x >= 0 for c, x in zip(columns, found, strict=True))


@pytest.mark.parametrize(
    ("claim", "premise", "true"),
    [
        ("3*H(X) <= H(Z)", "H(X) <= 0.3333333333333334*H(Z)", False),
        ("3*H(X) <= H(Z)", "H(X) <= 0.3333333333333333*H(Z)", True),
        ("0.3333333333333334*H(Z) >= H(X)", "3*H(X) <= H(Z)", True),
        ("0.3333333333333333*H(Z) >= H(X)", "3*H(X) <= H(Z)", False),
        ("H(X) <= 0.123456789*H(Y)", "81*H(X) <= 10*H(Y)", False),
        ("H(X) <= 10*H(Y)", "0.1*H(X) <= 1.0000000000000001*H(Y)", False),
    ],
)
def test_decimals_are_exact_where_floating_point_cannot_tell(claim: str, premise: str, true: bool) -> None:
    assert answer(claim, [premise], seconds=0.1).proved is true


def test_what_is_too_long_for_rationals_is_undecided() -> None:
    columns = [Column(vector(x=-1), 1.0), Column(vector(y=-1), 1.0)]
    with pytest.raises(TimeoutError):
        rational.feasible(vector(x=1, y=1), [c.vector for c in columns], [False, False], [], 0.0)


def failing(status: int) -> object:
    def linprog(costs: list[float], b_eq: list[float] | None = None, **_: object) -> SimpleNamespace:
        dual = SimpleNamespace(marginals=np.zeros(0 if b_eq is None else len(b_eq)))
        return SimpleNamespace(status=status, message="numerical difficulties", x=np.zeros(len(costs)), eqlin=dual)

    return linprog


@pytest.mark.parametrize("status", [3, 4])
def test_a_solver_that_fails_is_no_answer(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(scipy.optimize, "linprog", failing(status))
    with pytest.raises(SolverError, match="no verdict: numerical difficulties") as info:
        answer("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"])
    assert not isinstance(info.value, LimitError)
    with pytest.raises(SolverError, match="no verdict"):
        answer("KL(q(z)||p(z)) <= KL(q(x,z)||p(x,z))")
    for name in ("vae", "bib-ae", "infogan"):
        with pytest.raises(SolverError, match="no verdict"):
            ibsym.derive(name)


def test_a_wrong_answer_of_the_solver_is_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 0 and nonsense for multipliers: the exact identity fails, and that is an error."""
    monkeypatch.setattr(scipy.optimize, "linprog", failing(0))
    with pytest.raises(SolverError, match="could not be made exact"):
        ibsym.derive("vae")
    assert answer("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"]).proved  # a claim is decided by rationals alone
    assert not answer("I(X;Y) <= I(X;Z)", ["X -> Y -> Z"]).proved


def test_the_limit_of_time_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy.optimize, "linprog", failing(1))
    assert answer("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"], seconds=0.1).status == "undecided: limit"
    with pytest.raises(LimitError):
        ibsym.derive("vae")


def test_infeasible_is_not_provable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy.optimize, "linprog", failing(2))
    found = answer("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"], seconds=0.1)
    assert (found.status, found.counterexample) == ("not provable by Shannon-type inequalities", None)
