"""One printer of formulas: what each target writes is the formula, at random ones, and binds as the target's grammar does."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache

import pytest
import sympy

from ibsym.codegen.c.printing import Doubles, Reals, c_text, double
from ibsym.codegen.formulas import Code, Formulas
from ibsym.codegen.torch.expressions import Tensors, render, total
from ibsym.errors import EmissionError
from ibsym.families import functions as heads
from ibsym.lowering.fusion import calculus
from ibsym.lowering.fusion.calculus import Unfused

SYMBOLS = sympy.symbols("a b x y", real=True)
CONSTANTS = (sympy.pi, sympy.log(2), sympy.Rational(1, 3), sympy.Rational(-3, 4), sympy.Integer(2), sympy.Integer(-1))
POWERS = (2, 3, 4, -1, -2, -3)
AT = {"a": 0.75, "b": -1.25, "x": 0.5, "y": 1.5}
C_FUNCTIONS = {
    "R": float,
    "square": lambda t: t * t,
    "exponential": math.exp,
    "exponential_minus_one": math.expm1,
    "exp": math.exp,
    "positive": lambda t: max(t, 0.0),
}


def formula(r: random.Random, depth: int, functions: list[type]) -> sympy.Expr:
    """A random formula, sums and products within one another."""
    if not depth:
        return r.choice([*SYMBOLS, *SYMBOLS, *CONSTANTS])
    below = [formula(r, depth - 1, functions) for _ in range(3)]
    return r.choice(
        [
            lambda: sympy.Add(*below),
            lambda: sympy.Mul(*below),
            lambda: below[0] - below[1],
            lambda: -below[0],
            lambda: below[0] ** r.choice(POWERS),
            lambda: sympy.Mul(below[0], below[1] + below[2], evaluate=False),
            lambda: r.choice(functions)(below[0]),
        ]
    )()


@cache
def formulas(*functions: type) -> list[sympy.Expr]:
    """Random formulas that are finite where they are evaluated."""
    found = []
    for seed in range(120):
        e = formula(random.Random(seed), 3, list(functions))
        if e.is_finite is not False and not e.has(sympy.nan, sympy.zoo):
            found.append(e)
    return found


def value(e: sympy.Expr, own: dict[type, Callable[[sympy.Expr], sympy.Expr]]) -> complex:
    """The formula's number at the point, our functions by SymPy's."""
    for kind, plain in own.items():
        e = e.replace(kind, plain)
    return complex(e.subs({s: sympy.Float(AT[s.name], 30) for s in SYMBOLS}).evalf(20))


def close(found: float, wanted: complex) -> bool:
    return math.isclose(found, wanted.real, rel_tol=1e-9, abs_tol=1e-9 * max(1.0, abs(wanted)))


def test_python_is_the_formula() -> None:
    compared = 0
    for e in formulas(sympy.exp):
        text = render(e, lambda name: Code(name, number=True)).text
        try:
            found, wanted = eval(text, {"math": math, **AT}), value(e, {})  # noqa: S307  our own text
        except (ZeroDivisionError, OverflowError):
            continue
        assert close(found, wanted), (e, text)
        compared += 1
    assert compared > 60


@pytest.mark.parametrize("write", [c_text, double])
def test_c_is_the_formula(write: Callable[[sympy.Expr], str]) -> None:
    """C without casts binds as Python does, quotients of whole numbers aside."""
    own = {calculus.expm1: lambda t: sympy.exp(t) - 1, calculus.positive: lambda t: sympy.Max(t, 0)}
    compared = 0
    for e in formulas(sympy.exp, calculus.expm1, calculus.positive):
        try:
            text = write(e)
            found, wanted = eval(text, {**C_FUNCTIONS, **AT}), value(e, own)  # noqa: S307  our own text
        except (ZeroDivisionError, OverflowError, Unfused, TypeError):
            continue
        assert close(found, wanted), (e, text)
        compared += 1
    assert compared > 60


@pytest.mark.parametrize("operand", [Code("p + q", 0), Code("p @ q", 1), Code("-p", 2), Code("p.t", 4)])
def test_an_operand_keeps_its_parentheses(operand: Code) -> None:
    """Whatever stands for a symbol: the text without needless parentheses has the value of the text with all of them."""
    point = {"math": math, "p": _Matrix(1.5), "q": _Matrix(-0.5), "torch": _Functions}
    for e in formulas(sympy.exp):
        bare = render(e, lambda _: operand).text
        safe = render(e, lambda _: Code(f"({operand.text})")).text
        try:
            assert close(float(eval(bare, point)), complex(float(eval(safe, point)))), (e, bare)  # noqa: S307  our own text
        except (ZeroDivisionError, OverflowError):
            continue


class _Matrix(float):
    """A number with a product of its own, linear on both sides as that of matrices is."""

    @property
    def t(self) -> float:
        return float(self)

    def __matmul__(self, other: float) -> float:
        return 7 * float(self) * float(other)

    __rmatmul__ = __matmul__


class _Functions:
    exp, sqrt = staticmethod(math.exp), staticmethod(math.sqrt)


def test_what_has_no_code_is_refused_by_name() -> None:
    class unheard(sympy.Function):
        is_real = True

    with pytest.raises(EmissionError, match="unheard has no code"):
        render(unheard(SYMBOLS[0]), Code)
    with pytest.raises(Unfused, match="unheard"):
        c_text(unheard(SYMBOLS[0]))


def test_the_targets_print_by_one_printer() -> None:
    """They say what differs: their functions, numbers, powers; sums and products are written in one place."""
    for kind in (Tensors, Reals, Doubles):
        assert issubclass(kind, Formulas)
        assert not {"_print_Add", "_print_Mul", "_print_Pow"} & vars(kind).keys()
    assert {heads.logsigmoid, heads.log_gamma} <= Tensors.calls.keys()


A, B, X, Y = SYMBOLS
EXCESS = heads.expm1(A - B) - A + B


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (EXCESS, "_excess(a - b)"),
        (3 * EXCESS + X, "x + 3 * _excess(a - b)"),
        (heads.expm1(A - B) - A, "torch.expm1(a - b) - a"),
        (heads.expm1(A) - A, "torch.expm1(a) - a"),
        (heads.expm1(A - B) + A - B, "a + torch.expm1(a - b) - b"),
    ],
)
def test_the_excess_of_an_exponential_is_one_function(formula: sympy.Expr, text: str) -> None:
    """Only where what is subtracted is the whole difference, with its sign and its factor."""
    assert render(formula, Code).text == text


def test_numbers_are_multiplied_among_themselves() -> None:
    """A quotient of numbers times a tensor is one operation on tensors."""
    of = {"a": Code("a"), "b": Code("n", number=True)}
    assert render(-A / B / 2, lambda name: of[name]).text == "-0.5 / n * a"
    assert render(A / B, lambda name: of[name]).text == "a / n"


def test_what_all_terms_have_in_common_is_multiplied_once() -> None:
    half = sympy.Rational(-1, 2)
    assert total([(half, Code("x")), (half, Code("y"))], Code).text == "-0.5 * (x + y)"
    assert total([(half, Code("x")), (-half, Code("y"))], Code).text == "-0.5 * (x - y)"
    assert total([(A, Code("x")), (A, Code("y"))], Code).text == "a * (x + y)"
    assert total([(A, Code("x")), (B, Code("y"))], Code).text == "a * x + b * y"
    assert total([(-sympy.Integer(1), Code("x")), (sympy.Integer(1), Code("y"))], Code).text == "-x + y"
