"""Linear programs: what cannot be made exact raises, and a solver that fails is never an answer."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize

import ibsym
from ibsym.checking.answers import answer
from ibsym.errors import SolverError
from ibsym.proving.program import Column, LimitError, exact, residual, solve
from ibsym.terms.vectors import Vector

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
    many = [Column({("H", k): Fraction(1)}, 1.0) for k in range(1, 400)]
    with pytest.raises(LimitError, match="too many"):
        exact(vector(x=1), many, [1.0] * len(many))


def failing(status: int) -> object:
    def linprog(costs: list[float], **_: object) -> SimpleNamespace:
        return SimpleNamespace(status=status, message="numerical difficulties", x=np.zeros(len(costs)))

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
        answer("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"])
    with pytest.raises(SolverError, match="could not be made exact"):
        ibsym.derive("vae")


def test_the_limit_of_time_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy.optimize, "linprog", failing(1))
    assert answer("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"], seconds=0.1).status == "undecided: limit"
    with pytest.raises(LimitError):
        ibsym.derive("vae")


def test_infeasible_is_not_provable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy.optimize, "linprog", failing(2))
    found = answer("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"], seconds=0.1)
    assert (found.status, found.counterexample) == ("not provable by Shannon-type inequalities", None)
