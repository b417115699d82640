"""SymPy formulas as C over one real type: ``R(0.5) * (square(v_mean) + exponential_minus_one(v_logvar) - v_logvar)``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sympy

from ibsym.lowering.fusion import calculus as c
from ibsym.lowering.fusion.calculus import Unfused

SUM, PRODUCT, ATOM = range(3)

CALLS: dict[type, str] = {
    sympy.exp: "exponential",
    sympy.log: "logarithm",
    c.expm1: "exponential_minus_one",
    c.positive: "positive",
    c.sign: "sign",
    c.absolute: "absolute",
    c.unit_cumulant: "unit_cumulant",
    c.unit_mean: "unit_mean",
    c.unit_variance: "unit_variance",
    c.weighted: "weighted",
    c.first_half: "exponential_first",
    c.second_half: "exponential_second",
    c.weighted_slope: "weighted_slope",
    c.log_gamma: "log_gamma",
    c.digamma: "digamma",
    c.trigamma: "trigamma",
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
    return _Printer({**CALLS, sympy.log: "log", sympy.exp: "exp"}, double_number).text(e)[0]


def double_number(value: sympy.Expr) -> str:
    """A constant in double precision."""
    return repr(float(value))


def symbols(formulas: Iterable[sympy.Expr]) -> set[str]:
    """The names of what some formulas use."""
    return {s.name for e in formulas for s in e.free_symbols}


def c_text(e: sympy.Expr) -> str:
    """The formula in the real type."""
    return _Printer(CALLS, number).text(e)[0]


class _Printer:
    def __init__(self, calls: dict[type, str], constant: Callable[[sympy.Expr], str]) -> None:
        self.calls, self.constant = calls, constant

    def text(self, e: sympy.Expr) -> tuple[str, int]:
        """The text and how tightly it binds."""
        if e.is_number:
            text = self.constant(e)
            return text, ATOM if not text.startswith("-") else SUM
        if isinstance(e, sympy.Symbol):
            return e.name, ATOM
        if isinstance(e, sympy.Add):
            return self._sum(e), SUM
        if isinstance(e, sympy.Mul):
            return self._product(e), PRODUCT
        if isinstance(e, sympy.Pow) and not isinstance(e, sympy.exp):
            return self._power(e)
        if isinstance(e, c.times):
            return " * ".join(self.at(a, ATOM) for a in e.args), PRODUCT
        if type(e) not in self.calls:
            raise Unfused(type(e).__name__)
        return f"{self.calls[type(e)]}({', '.join(self.text(a)[0] for a in e.args)})", ATOM

    def at(self, e: sympy.Expr, binds: int) -> str:
        text, own = self.text(e)
        return text if own >= binds else f"({text})"

    def _sum(self, e: sympy.Add) -> str:
        terms = sorted(e.as_ordered_terms(), key=lambda t: t.could_extract_minus_sign())
        text = ""
        for term in terms:
            negative = term.could_extract_minus_sign()
            part = self.at(-term if negative else term, PRODUCT)
            text += f" {'-' if negative else '+'} {part}" if text else ("-" if negative else "") + part
        return text

    def _product(self, e: sympy.Mul) -> str:
        if e.could_extract_minus_sign():
            return f"-{self.at(-e, PRODUCT)}"
        above, below = [], []
        for factor in e.as_ordered_factors():
            if (
                isinstance(factor, sympy.Pow)
                and not isinstance(factor, sympy.exp)
                and factor.exp.is_number
                and factor.exp.is_negative
            ):
                below.append(factor.base**-factor.exp)
            else:
                above.append(factor)
        text = " * ".join(self.at(x, ATOM) for x in above) or self.constant(sympy.Integer(1))
        return text + "".join(f" / {self.at(x, ATOM)}" for x in below)

    def _power(self, e: sympy.Pow) -> tuple[str, int]:
        base, exponent = e.base, e.exp
        if exponent.is_number and exponent.is_negative:
            return f"{self.constant(sympy.Integer(1))} / {self.at(base**-exponent, ATOM)}", PRODUCT
        if exponent == sympy.Rational(1, 2):
            return f"root({self.text(base)[0]})", ATOM
        if exponent.is_Integer and exponent <= 4:
            inner = self.text(base ** (int(exponent) // 2))[0]
            square = f"square({inner})"
            return (square, ATOM) if int(exponent) % 2 == 0 else (f"{square} * {self.at(base, ATOM)}", PRODUCT)
        raise Unfused(f"the power {exponent}")
