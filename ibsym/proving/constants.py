"""Numbers among entropies: 1 and the logarithms of primes, which no rational combination makes zero.

A program needs a number for each of them, so they meet in one coordinate at values of forty digits; what is left of a proof, which
is to be non-negative, is compared with zero by interval arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from math import log

from ibsym.proving.claims import Constant
from ibsym.proving.program import Column, InexactError, exact
from ibsym.terms.vectors import Coordinate, Rational, Vector

ONE: Coordinate = ("1",)
CAP: Coordinate = ("cap",)
DIGITS = 40
Logs = dict[int, Fraction]
"""Coefficients of log p for primes p, and of 1 at 0."""


def vector(constant: Constant) -> Vector:
    """A constant as a coordinate of its own."""
    return {("log", constant.prime): 1} if constant.prime else {ONE: 1}


def capped(rest: Vector) -> Vector:
    """A program's target with room for a surplus of 1000 at most, of which :func:`surplus` makes the most.

    Where a claim holds with something to spare, the multipliers are then those of a claim that is tight: simple ones, which need no
    digit of a logarithm.
    """
    return {**rest, CAP: -1000}


def surplus() -> list[Column]:
    """What is left over, worth more than any proof is short, and the room that it leaves."""
    return [Column({ONE: 1, CAP: 1}, -1.0), Column({CAP: 1})]


def cheap(column: Column) -> Column:
    """A column beside a surplus: at next to no cost."""
    return Column(column.vector, 1e-6 * column.cost, column.free)


def apart(rest: Vector, columns: Sequence[Column], rough: Sequence[float]) -> list[Fraction] | None:
    """Multipliers that are exact for all but the constants, 0 for the last two, the surplus; None where there are none near."""
    stripped = [Column({k: x for k, x in c.vector.items() if k not in (ONE, CAP)}, c.cost, c.free) for c in columns]
    target = {k: x for k, x in rest.items() if k not in (ONE, CAP)}
    try:
        return exact(target, stripped, rough)
    except InexactError:
        return None


def is_constant(key: Coordinate) -> bool:
    """Whether a coordinate is 1 or the logarithm of a prime."""
    return key == ONE or key[0] == "log"


def name(key: Coordinate) -> str:
    """A constant as it is written."""
    return "1" if key == ONE else f"log {key[1]}"


@cache
def value(prime: int) -> Fraction:
    """The constant to forty digits."""
    if not prime:
        return Fraction(1)
    from mpmath import mp, workdps

    with workdps(DIGITS):
        return Fraction(str(mp.log(prime)))


def merged(part: Mapping[Coordinate, Rational]) -> Vector:
    """The vector with all constants at their values, in the coordinate of 1."""
    total: Vector = {}
    for key, x in part.items():
        if is_constant(key):
            total[ONE] = total.get(ONE, 0) + x * (value(int(str(key[1]))) if key != ONE else 1)
        else:
            total[key] = x
    return {k: x for k, x in total.items() if x}


def logs(part: Mapping[Coordinate, Rational]) -> Logs:
    """The constants of a vector."""
    return {int(str(key[1])) if key != ONE else 0: Fraction(x) for key, x in part.items() if is_constant(key) and x}


def sign(parts: Logs) -> int:
    """The exact sign of sum x_p log p (and x_0), by interval arithmetic; 0 only for the empty sum."""
    if not parts:
        return 0
    sizes = {p: float(x) * (log(p) if p else 1.0) for p, x in parts.items()}
    digits = 30 if abs(sum(sizes.values())) > 1e-6 * sum(map(abs, sizes.values())) else 200
    from mpmath import iv

    before = iv.dps
    try:
        iv.dps = digits
        total = iv.mpf(0)
        for p, x in parts.items():
            total += iv.mpf(x.numerator) / x.denominator * (iv.log(iv.mpf(p)) if p else 1)
        return 1 if total.a > 0 else -1 if total.b < 0 else 0
    finally:
        iv.dps = before
