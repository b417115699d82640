"""Signs of coefficients over intervals: what is claimed holds at every sampled point, and simple signs are found."""

from __future__ import annotations

import math
import random

import pytest
import sympy

from ibsym.facts import Relation, Side, Sign
from ibsym.terms.measures import Entropy, Expression, canonical
from ibsym.terms.signs import interval, sign

A, B, C = (sympy.Symbol(n, real=True) for n in "abc")
BOUNDS = {"a": (0.0, 1.0), "b": (0.0, math.inf), "c": (-2.0, 0.5)}


def random_expression(rng: random.Random, depth: int = 3) -> sympy.Expr:
    if depth == 0 or rng.random() < 0.25:
        return rng.choice([A, B, C, sympy.Integer(rng.randint(-3, 3)), sympy.Rational(rng.randint(-3, 3), 2)])
    left, right = random_expression(rng, depth - 1), random_expression(rng, depth - 1)
    return rng.choice([left + right, left - right, left * right, left**2, left**3, 1 / (1 + left**2), 1 / (3 + A)])


def points(rng: random.Random) -> dict[sympy.Symbol, float]:
    b = rng.choice([0.0, rng.expovariate(0.3)])
    return {A: rng.choice([0.0, 1.0, rng.random()]), B: b, C: rng.choice([-2.0, 0.5, rng.uniform(-2, 0.5)])}


@pytest.mark.parametrize("seed", range(12))
def test_intervals_contain_every_value(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(25):
        expression = random_expression(rng)
        low, high = interval(expression, BOUNDS)
        claimed = sign(expression, BOUNDS)
        for _ in range(12):
            value = float(expression.subs(points(rng)))
            slack = 1e-9 * (1 + abs(value))
            assert low - slack <= value <= high + slack, expression
            assert claimed is not Sign.NONNEGATIVE or value >= -slack, expression
            assert claimed is not Sign.NONPOSITIVE or value <= slack, expression


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (A, "+"), (-B, "-"), (1 - A, "+"), (A - 1, "-"), (C, "?"), (C**2, "+"), (-(C**2) - B, "-"), (A * B, "+"),
        (B - A, "?"), (1 / (1 + B), "+"), (1 / (C - 1), "-"), (1 / C, "?"), (C**3, "?"), (-(A**3), "-"), (2 - A * A, "+"),
        (sympy.Integer(0), "0"), (sympy.Symbol("unheard", real=True), "?"),
    ],
)  # fmt: skip
def test_simple_signs_are_found(expression: sympy.Expr, expected: str) -> None:
    assert sign(expression, BOUNDS).value == expected


def test_equal_ratios_are_one_coefficient() -> None:
    h = Entropy("q", ("z",))
    third = Expression.of((1 / (3 * A + 3), h), (-1 / (A + 1) / 3, h))
    assert len(third) == 0
    assert canonical(B / (A + 1) - B * A / (A + 1)) == canonical((B - A * B) / (1 + A))
    assert Expression.of((1 / (1 + A) - 1, h)).same(Expression.of((-A / (1 + A), h)))


def test_expressions_add_and_scale() -> None:
    h, g = Entropy("q", ("z",)), Entropy("q", ("x",))
    total = Expression.of((2, h), (A, g))
    assert str(total - Expression.of((A, g))) == "2*H_q(Z)"
    assert str(total.scaled(-B)) == "-2*b*H_q(Z) - a*b*H_q(X)"
    assert str((total - total).scaled(3)) == "0"
    assert total.coefficient(g) == A


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("=", "<=", "<="),
        ("<=", "=", "<="),
        ("<=", "<=", "<="),
        (">=", ">=", ">="),
        ("<=", ">=", "~"),
        (">=", "<=", "~"),
        ("~", "=", "~"),
        ("<=", "~", "~"),
    ],
)
def test_relations_compose(first: str, second: str, expected: str) -> None:
    assert (Relation(first) & Relation(second)).value == expected
    assert [str(-Relation(r)) for r in ("=", "<=", ">=", "~")] == ["=", ">=", "<=", "~"]


def test_sides() -> None:
    """What is minimised is bounded from above, what is maximised from below; a negative coefficient turns the side round."""
    assert [Side.of("minimize"), Side.of("maximize")] == [Side.UPPER, Side.LOWER]
    for sense in ("minimize", "maximize"):
        assert Side.of(sense, Sign.NONPOSITIVE) is -Side.of(sense, Sign.NONNEGATIVE)  # type: ignore[arg-type]
    for side in Side:
        other = -side
        assert other is not side
        assert -other is side
        assert (-side).sign == -side.sign
        assert (-side).relation is -side.relation
    assert (Side.UPPER.sign, Side.UPPER.relation) == (1, Relation.LE)
    with pytest.raises(ValueError, match="has no side"):
        Side.UPPER.times(Sign.UNKNOWN)
