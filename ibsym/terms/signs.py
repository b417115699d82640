"""The sign of a coefficient over its parameters' intervals, by interval arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import sympy

from ibsym.facts import Sign

Interval: TypeAlias = tuple[float, float]
REALS: Interval = (-math.inf, math.inf)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def interval(expression: sympy.Expr, bounds: Mapping[str, Interval]) -> Interval:
    """An interval that contains the expression's value for all parameters within their bounds.

    >>> b = sympy.Symbol("b", real=True)
    >>> interval(1 - 2 * b, {"b": (0, 1)})
    (-1.0, 1.0)
    """
    match expression:
        case sympy.Symbol():
            return bounds.get(expression.name, REALS)
        case sympy.Add():
            ends = [interval(a, bounds) for a in expression.args]
            return sum(e[0] for e in ends), sum(e[1] for e in ends)
        case sympy.Mul():
            low, high = 1.0, 1.0
            for argument in expression.args:
                a, b = interval(argument, bounds)
                products = [_times(x, y) for x in (low, high) for y in (a, b)]
                low, high = min(products), max(products)
            return low, high
        case sympy.Pow() if expression.exp.is_Integer:
            a, b = interval(expression.base, bounds)
            n = int(expression.exp)
            if n < 0:
                if a < 0 < b or (a == 0 and b == 0):
                    return REALS
                reciprocals = [1 / v if v else math.inf for v in (abs(a), abs(b))]
                low, high = min(reciprocals), max(reciprocals)
                a, b = (low, high) if b > 0 else (-high, -low)
                n = -n
            try:
                low, high = sorted((float(a) ** n, float(b) ** n))
            except OverflowError:
                return REALS if n % 2 else (0.0, math.inf)
            return (0.0, high) if n % 2 == 0 and a < 0 < b else (low, high)
        case _ if expression.is_number:
            return float(expression), float(expression)
    return REALS


def sign(expression: sympy.Expr, bounds: Mapping[str, Interval]) -> Sign:
    """The sign that the coefficient has for every value of its parameters, or UNKNOWN."""
    if expression == 0:
        return Sign.ZERO
    low, high = interval(expression, bounds)
    if low >= 0:
        return Sign.NONNEGATIVE
    if high <= 0:
        return Sign.NONPOSITIVE
    return Sign.UNKNOWN
