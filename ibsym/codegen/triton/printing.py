"""SymPy formulas in single precision, over blocks of values: ``0.5 * (square(v_mean) + expm1(v_logvar) - v_logvar)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import sympy

from ibsym.codegen.c.printing import Reals
from ibsym.codegen.formulas import ATOM, SIGN, Code, Formulas, called
from ibsym.lowering.fusion import calculus as c
from ibsym.lowering.fusion import special
from ibsym.lowering.fusion.calculus import Unfused

DOUBLE = (special.log_gamma, special.digamma, special.log_normal_cell, special.log_laplace_cell)
"""Functions that kernels compute in double precision, as C does."""


class Blocks(Reals):
    """Formulas over blocks of single precision."""

    calls: ClassVar[Mapping[type, str]] = {
        sympy.exp: "exponential",
        sympy.log: "tl.log",
        c.expm1: "expm1",
        c.positive: "positive",
        c.sign: "sign",
        c.absolute: "tl.abs",
        c.weighted: "weighted",
        c.weighted_slope: "weighted_slope",
        c.first_half: "first_factor",
        c.second_half: "second_factor",
        **{head: head.__name__ for head in (*special.HEADS.values(), *special.SLOPES)},
    }

    def literal(self, e: sympy.Expr) -> str:
        """A number: a whole one as it is."""
        return str(int(e)) if e.is_Integer and abs(int(e)) < 1 << 24 else repr(float(e))

    def root(self, base: sympy.Expr) -> Code:
        """Rounded as it should be, which the fast one is not."""
        return called("tl.sqrt_rn", [self.code(base)])


class Numbers(Formulas):
    """The same of sizes and parameters, in Python: fields ``size`` and ``parameter`` of a pass ``g``."""

    calls: ClassVar[Mapping[type, str]] = {sympy.exp: "math.exp", sympy.log: "math.log", sympy.loggamma: "math.lgamma"}

    def number(self, e: sympy.Expr) -> Code:
        """A whole number as it is, another as a float."""
        text = str(int(e)) if e.is_Integer else repr(float(e))
        return Code(text, SIGN if text.startswith("-") else ATOM)

    def symbol(self, name: str) -> Code:
        """``size_L`` is ``g.size["L"]``."""
        kind, _, what = name.partition("_")
        return Code(f'g.{kind}["{what}"]')

    def power(self, base: sympy.Expr, exponent: sympy.Expr) -> Code:
        """By a call, which binds like any other."""
        return called("pow", [self.code(base), self.code(exponent)])

    def root(self, base: sympy.Expr) -> Code:
        """The square root."""
        return called("math.sqrt", [self.code(base)])

    def unknown(self, e: sympy.Expr) -> Exception:
        """The tensor expression computes it."""
        return Unfused(type(e).__name__)


def block(e: sympy.Expr) -> str:
    """The formula over blocks.

    >>> block(sympy.exp(sympy.Symbol("v_x")) / 2)
    '0.5 * exponential(v_x)'
    """
    return Blocks().code(e).text


def number(e: sympy.Expr) -> str:
    """The formula in Python.

    >>> number(sympy.log(sympy.Symbol("size_K", positive=True)) / 2)
    '0.5 * math.log(g.size["K"])'
    """
    return Numbers().code(e).text
