"""Small linear programs over coordinates, solved by HiGHS and then made exact.

``target + sum_k x_k column_k = 0`` with ``x_k >= 0`` for cone columns and ``x_k`` free for others, at the least cost. The solver
works in floating point; its answer is turned into rationals and accepted only if the identity holds exactly.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ibsym.errors import SolverError
from ibsym.proving import rational
from ibsym.terms.vectors import Coordinate, Vector, combine

ZERO = Fraction(0)
TINY = 1e-9
MAX_DENOMINATOR = 10_000


@dataclass(frozen=True)
class Column:
    """A vector with its price; ``free`` ones may enter with either sign, and pay for their size."""

    vector: Vector
    cost: float = 0.0
    free: bool = False


class LimitError(SolverError):
    """The time limit was reached before there was a verdict."""


class Postponed(Exception):
    """A large program would have to be solved, which was not asked for."""


class InexactError(SolverError):
    """The solver's multipliers, near which there are no exact ones."""

    def __init__(self, rough: Sequence[float]):
        super().__init__("the solver's multipliers could not be made exact")
        self.rough = rough


def load() -> None:
    """Import the solver, which takes a second, or many where others compute: no claim's time."""
    import scipy.optimize
    import scipy.sparse  # noqa: F401


def decided(target: Vector, columns: Sequence[Column], time_limit: float) -> list[Fraction] | None:
    """Some multipliers as :func:`solve` has them; where floating point proposes none that are exact, rationals alone decide."""
    deadline = time.monotonic() + time_limit
    try:
        return solve(target, columns, time_limit)
    except InexactError as error:
        try:
            first = [k for k, x in enumerate(error.rough) if abs(x) > TINY]
            return rational.feasible(target, [c.vector for c in columns], [c.free for c in columns], first, deadline)
        except TimeoutError:
            raise LimitError("the time limit was reached among rationals") from None


def solve(target: Vector, columns: Sequence[Column], time_limit: float | None = None) -> list[Fraction] | None:
    """The cheapest multipliers x with target + sum x_k column_k = 0, exactly; None if there are none.

    Raises :class:`SolverError` where the solver gives no verdict or its answer cannot be made exact, :class:`LimitError` where
    the time limit (seconds) was reached.
    """
    rough = proposed(target, columns, time_limit)
    return None if rough is None else exact(target, columns, rough)


def proposed(target: Vector, columns: Sequence[Column], time_limit: float | None = None) -> list[float] | None:
    """The same multipliers in floating point."""
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import csc_array

    keys: dict[Coordinate, int] = {}
    for vector in (target, *(c.vector for c in columns)):
        for key in vector:
            keys.setdefault(key, len(keys))
    if not keys:
        return [0.0] * len(columns)
    data: list[float] = []
    rows: list[int] = []
    starts = [0]
    costs: list[float] = []
    origin: list[tuple[int, int]] = []
    for k, column in enumerate(columns):
        places = [keys[key] for key in column.vector]
        for sign in (1, -1) if column.free else (1,):
            rows += places
            data += [float(sign * value) for value in column.vector.values()]
            starts.append(len(data))
            costs.append(column.cost)
            origin.append((k, sign))
    right = np.zeros(len(keys))
    for key, value in target.items():
        right[keys[key]] = -float(value)
    if not costs:
        return None if np.any(right) else []
    matrix = csc_array((data, rows, starts), shape=(len(keys), len(costs)))
    answer = linprog(
        costs,
        A_eq=matrix,
        b_eq=right,
        bounds=(0, None),
        method="highs",
        options={} if time_limit is None else {"time_limit": time_limit},
    )
    if answer.status == 1:
        raise LimitError("the time limit of the linear program was reached")
    if answer.status == 2:
        return None
    if answer.status != 0:
        raise SolverError(f"the linear-programming solver gave no verdict: {answer.message}")
    rough = [0.0] * len(columns)
    for (k, sign), x in zip(origin, answer.x, strict=True):
        rough[k] += sign * float(x)
    return rough


def exact(target: Vector, columns: Sequence[Column], rough: Sequence[float]) -> list[Fraction]:
    """Rational multipliers near the rough ones that satisfy the identity exactly."""
    support = [k for k, x in enumerate(rough) if abs(x) > TINY]
    few = [columns[k] for k in support]
    near = [_simple(rough[k]) for k in support]
    if not _allowed(few, near) or residual(target, few, near):
        near = rational.solution(target, [c.vector for c in few]) or []
    if len(near) == len(few) and _allowed(few, near) and not residual(target, few, near):
        found = [ZERO] * len(columns)
        for k, x in zip(support, near, strict=True):
            found[k] = x
        return found
    raise InexactError(rough)


def _simple(x: float) -> Fraction:
    """The rational of a small denominator that is nearest; most are whole."""
    whole = round(x)
    return Fraction(whole) if abs(x - whole) < TINY else Fraction(x).limit_denominator(MAX_DENOMINATOR)


def _allowed(columns: Sequence[Column], multipliers: Sequence[Fraction]) -> bool:
    """Whether the multipliers of a cone's columns are not negative."""
    return all(c.free or x is ZERO or x >= 0 for c, x in zip(columns, multipliers, strict=True))


def residual(target: Vector, columns: Sequence[Column], multipliers: Sequence[Fraction]) -> Vector:
    """What is left of the identity: empty if it holds."""
    return combine((1, target), *((x, c.vector) for x, c in zip(multipliers, columns, strict=True) if x))
