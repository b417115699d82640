"""SymPy formulas as C over one real type: ``R(0.5) * (square(v_mean) + exponential_minus_one(v_logvar) - v_logvar)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import sympy

from ibsym.codegen.formulas import ATOM, PRODUCT, SIGN, Code, Formulas, called
from ibsym.lowering.fusion import calculus as c
from ibsym.lowering.fusion import special
from ibsym.lowering.fusion.calculus import Unfused

CALLS: dict[type, str] = {
    sympy.exp: "exponential",
    sympy.log: "logarithm",
    c.expm1: "exponential_minus_one",
    c.positive: "positive",
    c.sign: "sign",
    c.absolute: "absolute",
    c.weighted: "weighted",
    c.first_half: "exponential_first",
    c.second_half: "exponential_second",
    c.weighted_slope: "weighted_slope",
    **{head: head.__name__ for head in (*special.HEADS.values(), *special.SLOPES)},
}


def number(value: sympy.Expr) -> str:
    """A constant: whole numbers as they are, others in the real type.

    >>> number(sympy.Integer(2)), number(sympy.Rational(1, 2)), number(sympy.log(2))
    ('2', 'R(0.5)', 'R(0.6931471805599453)')
    """
    if value.is_Integer and abs(int(value)) < 1 << 24:
        return str(int(value))
    return f"R({float(value)!r})"


def double(e: sympy.Expr) -> str:
    """A formula in double precision, over named sizes and numbers.

    >>> double(sympy.log(sympy.Symbol("size_K", positive=True)) / 2)
    '0.5 * log(size_K)'
    """
    return Doubles().code(e).text


def double_number(value: sympy.Expr) -> str:
    """A constant in double precision."""
    return repr(float(value))


def symbols(formulas: Iterable[sympy.Expr]) -> set[str]:
    """The names of what some formulas use."""
    return {s.name for e in formulas for s in e.free_symbols}


def c_text(e: sympy.Expr) -> str:
    """The formula in the real type."""
    return Reals().code(e).text


class Reals(Formulas):
    """Formulas over one real type: small powers are products, constants are literals."""

    calls: ClassVar[Mapping[type, str]] = CALLS

    def code(self, e: sympy.Expr) -> Code:
        """The formula as code; whatever has no symbols is one literal."""
        return self.number(e) if e.is_number else super().code(e)

    def number(self, e: sympy.Expr) -> Code:
        """In the real type."""
        text = self.literal(e)
        return Code(text, SIGN if text.startswith("-") else ATOM)

    def literal(self, e: sympy.Expr) -> str:
        """The constant's text."""
        return number(e)

    def root(self, base: sympy.Expr) -> Code:
        """By the one function of both precisions."""
        return called("root", [self.code(base)])

    def power(self, base: sympy.Expr, exponent: sympy.Expr) -> Code:
        """``square(x)``, ``square(x) * x`` and ``square(square(x))``."""
        if not exponent.is_Integer or exponent > 4:
            raise Unfused(f"the power {exponent}")
        square = called("square", [self.code(base ** (int(exponent) // 2))])
        return square if int(exponent) % 2 == 0 else Code(f"{square.text} * {self.code(base).at(SIGN)}", PRODUCT)

    def unknown(self, e: sympy.Expr) -> Exception:
        """The tensor expression computes it."""
        return Unfused(type(e).__name__)

    def _print_times(self, e: c.times) -> Code:
        return Code(" * ".join(self.code(a).at(SIGN) for a in e.args), PRODUCT)


class Doubles(Reals):
    """The same in double precision, of sizes and parameters."""

    calls: ClassVar[Mapping[type, str]] = {**CALLS, sympy.log: "log", sympy.exp: "exp", sympy.loggamma: "lgamma"}

    def literal(self, e: sympy.Expr) -> str:
        """The constant's text."""
        return double_number(e)
