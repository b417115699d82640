"""d/dt log s(t) = s(-t): derivatives of formulas, and the forms of value and derivative that keep their digits.

With e = exp(-|t|) and q = 1 + e: log s(t) = min(t, 0) - log q, and s(t) = 1/q or e/q by the sign of t. Both signs of one
argument share e and q, so that a Bernoulli density costs one exponential an element, and one logarithm a block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import sympy

from ibsym.families import functions as heads
from ibsym.lowering.fusion import special


class Unfused(Exception):
    """A node that has no place in the fused pass; the tensor expression computes it."""


class logsigmoid(sympy.Function):
    """log 1/(1 + e^-t)."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sigmoid(-self.args[0])


class sigmoid(sympy.Function):
    """1/(1 + e^-t)."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        t = self.args[0]
        return sigmoid(t) * sigmoid(-t)


class binary_cross_entropy(sympy.Function):
    """-v log s(a) - (1 - v) log s(-a), which is (1 - v) a - log s(a); arguments v and a."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        v, a = self.args
        return -a if argindex == 1 else (1 - v) * sigmoid(a) - v * sigmoid(-a)


class expm1(sympy.Function):
    """e^t - 1."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sympy.exp(self.args[0])


class standardised(sympy.Function):
    """d e^(-l/2)."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sympy.exp(-self.args[1] / 2) if argindex == 1 else -self / 2


class quadratic(sympy.Function):
    """d^2 e^-l, as a product of d with either half of the exponential."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return 2 * scaled(*self.args) if argindex == 1 else -self


class scaled(sympy.Function):
    """d e^-l; its derivative is never asked for."""

    nargs = 2
    is_real = True


class first_half(sympy.Function):
    """e^t without the power of two that the second half has: either is finite where e^t overflows."""

    nargs = 1
    is_real = True


class second_half(sympy.Function):
    """The power of two that the first half leaves out of e^t."""

    nargs = 1
    is_real = True


class expected(sympy.Function):
    """e^a t, and 0 where e^a is 0 and t is not finite."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return self if argindex == 1 else probability(self.args[0])


def probability(log_p: sympy.Expr) -> sympy.Expr:
    """e^a; the sigmoid where a is its logarithm."""
    return sigmoid(log_p.args[0]) if isinstance(log_p, logsigmoid) else sympy.exp(log_p)


class weighted(sympy.Function):
    """w t, and 0 where w is 0 and t is not finite."""

    nargs = 2
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return weighted_slope(*self.args) if argindex == 1 else self.args[0]


class weighted_slope(sympy.Function):
    """t, and 0 where w is 0 and t is not finite; its derivative is never asked for."""

    nargs = 2
    is_real = True


class times(sympy.Function):
    """A product that SymPy leaves alone, so that its square is that of one number; its derivative is never asked for."""

    nargs = 2
    is_real = True


class positive(sympy.Function):
    """max(t, 0), whose derivative is never asked for."""

    nargs = 1
    is_real = True


class sign(sympy.Function):
    """-1, 0 or 1."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sympy.Integer(0)


class absolute(sympy.Function):
    """|t|."""

    nargs = 1
    is_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """d f / d argument, in functions that are stable themselves."""
        return sign(self.args[0])


HEADS: dict[type, type] = {
    heads.logsigmoid: logsigmoid,
    heads.sigmoid: sigmoid,
    heads.binary_cross_entropy: binary_cross_entropy,
    heads.expm1: expm1,
    heads.standardised: standardised,
    heads.expected: expected,
    heads.weighted: weighted,
    **special.HEADS,
    sympy.Abs: absolute,
}
KNOWN = (sympy.Add, sympy.Mul, sympy.Pow, sympy.exp, sympy.log, sympy.Symbol, sympy.Number, sympy.NumberSymbol)


@lru_cache(maxsize=4096)
def own(e: sympy.Expr) -> sympy.Expr:
    """The formula in this module's functions, which have derivatives; others do not fuse."""
    if isinstance(e, sympy.Pow) and e.exp == 2 and isinstance(e.base, heads.standardised) and not e.base.args[1].is_number:
        return quadratic(*map(own, e.base.args))
    if isinstance(e, KNOWN):
        return e.func(*map(own, e.args)) if e.args else e
    if type(e) in HEADS:
        return HEADS[type(e)](*map(own, e.args))
    raise Unfused(type(e).__name__)


@lru_cache(maxsize=4096)
def derivative(e: sympy.Expr, symbol: sympy.Symbol) -> sympy.Expr:
    """de/dsymbol, with e^t - 1 kept together.

    >>> t = sympy.Symbol("t", real=True)
    >>> derivative(expm1(t) - t, t)
    expm1(t)
    """
    return small_exponentials(e.diff(symbol))


def small_exponentials(e: sympy.Expr) -> sympy.Expr:
    """c e^t - c is c (e^t - 1), which is right near 0."""
    if not e.args:
        return e
    e = e.func(*map(small_exponentials, e.args))
    if isinstance(e, sympy.Add):
        constant = sum((a for a in e.args if a.is_number), sympy.Integer(0))
        for term in e.args:
            number, rest = term.as_coeff_Mul()
            if isinstance(rest, sympy.exp) and number == -constant:
                return e - term - constant + number * expm1(rest.args[0])
    return e


@dataclass
class Stable:
    """Formulas over few shared parts; ``parts`` are those of a logistic argument: e, q, 1/q, e/q by sign.

    ``products`` gives, for each formula, the arguments t whose log q(t) it contains with a constant factor: those
    logarithms are of a product over many elements.
    """

    parts: dict[sympy.Symbol, tuple[str, sympy.Expr]] = field(default_factory=dict)

    def part(self, kind: str, argument: sympy.Expr) -> sympy.Symbol:
        """The symbol for a part that several formulas share, the same at every call."""
        for symbol, known in self.parts.items():
            if known == (kind, argument):
                return symbol
        symbol = sympy.Symbol(f"{kind}{len(self.parts)}", real=True)
        self.parts[symbol] = (kind, argument)
        return symbol

    def formula(self, e: sympy.Expr) -> sympy.Expr:
        """The formula with its logistic functions written in the parts."""
        if not e.args:
            return e
        if isinstance(e, logsigmoid | sigmoid):
            t, flipped = oriented(e.args[0])
            t = self.formula(t)
            if isinstance(e, logsigmoid):
                return -positive(t if flipped else -t) - self.part("logq", t)
            return self.part("away" if flipped else "toward", t)
        if isinstance(e, binary_cross_entropy):
            v, a = e.args
            return self.formula((1 - v) * a - logsigmoid(a))
        if isinstance(e, expected):
            return weighted(self.formula(probability(e.args[0])), self.formula(e.args[1]))
        if isinstance(e, quadratic | scaled):
            d, logvar = map(self.formula, e.args)
            one, other = first_half(-logvar), second_half(-logvar)
            return times(times(d, one), times(d, other) if isinstance(e, quadratic) else other)
        if isinstance(e, standardised):
            d, logvar = e.args
            return times(self.formula(d), sympy.exp(-self.formula(logvar) / 2))
        return e.func(*map(self.formula, e.args))

    def value(self, e: sympy.Expr) -> tuple[sympy.Expr, dict[sympy.Expr, sympy.Expr]]:
        """The formula without the log q(t) that enter it with a constant factor; and those factors by argument."""
        e = self.formula(e)
        products: dict[sympy.Expr, sympy.Expr] = {}
        for symbol in sorted(e.free_symbols & self.parts.keys(), key=str):
            kind, argument = self.parts[symbol]
            if kind != "logq":
                continue
            factor = sympy.expand(e.diff(symbol))
            if factor.is_number:
                products[argument] = factor
                e = e.xreplace({symbol: sympy.Integer(0)})
        return e, products


def oriented(t: sympy.Expr) -> tuple[sympy.Expr, bool]:
    """t or -t, one and the same for both; whether it was turned round."""
    return (-t, True) if t.could_extract_minus_sign() else (t, False)
