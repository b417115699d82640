"""SymPy formulas as Python: ``0.5 * (z_mean**2 + torch.expm1(z_logvar) - z_logvar)``, functions by a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import sympy

from ibsym.errors import EmissionError
from ibsym.families import functions as f

SUM, PRODUCT, SIGN, POWER, ATOM = range(5)


NOTHING: frozenset[str] = frozenset()


class Code(NamedTuple):
    """A Python expression, how tightly it binds, whether it is a number and no tensor, and the names that it uses."""

    text: str
    binds: int = ATOM
    number: bool = False
    uses: frozenset[str] = NOTHING

    def at(self, binds: int) -> str:
        """The text, in parentheses where it stands under something that binds more tightly."""
        return self.text if self.binds >= binds else f"({self.text})"


def called(name: str, parts: Sequence[Code | str], *, number: bool = False) -> Code:
    """A call; what stands before the first dot of the function's name is used, or the function.

    >>> called("torch.exp", [Code("x")])
    Code(text='torch.exp(x)', binds=4, number=False, uses=frozenset({'torch'}))
    """
    text = ", ".join(p if isinstance(p, str) else p.text for p in parts)
    return Code(f"{name}({text})", ATOM, number, union(p for p in parts if not isinstance(p, str)) | {name.split(".")[0]})


def union(parts: Iterable[Code]) -> frozenset[str]:
    """What any of them uses."""
    return NOTHING.union(*(p.uses for p in parts))


TENSOR: dict[type, str] = {
    sympy.exp: "torch.exp",
    sympy.log: "torch.log",
    sympy.Abs: "torch.abs",
    f.logsigmoid: "F.logsigmoid",
    f.sigmoid: "torch.sigmoid",
    f.expm1: "torch.expm1",
    f.unit_cumulant: "_unit_cumulant",
    f.unit_mean: "_unit_mean",
    f.log_bessel: "_log_bessel",
    f.bessel_ratio: "_bessel_ratio",
    f.weighted: "_weighted",
    f.log_gamma: "_log_gamma",
    f.digamma: "_digamma",
}
NUMBER: dict[type, str] = {sympy.exp: "math.exp", sympy.log: "math.log", sympy.Abs: "abs", sympy.loggamma: "math.lgamma"}


def render(expression: sympy.Expr, operand: Callable[[str], Code]) -> Code:
    """The formula, its symbols rendered by ``operand``.

    >>> t = sympy.Symbol("t", real=True)
    >>> render((t - 1)**2 * sympy.exp(-t) / 2, lambda name: Code(name)).text
    '0.5 * (t - 1) ** 2 * torch.exp(-t)'
    """
    return _Renderer(operand).code(expression)


class _Renderer:
    def __init__(self, operand: Callable[[str], Code]):
        self.operand = operand

    def code(self, e: sympy.Expr) -> Code:
        if isinstance(e, sympy.Symbol):
            return self.operand(e.name)
        if e is sympy.pi:
            return Code("math.pi", number=True, uses=frozenset({"math"}))
        if isinstance(e, sympy.Number):
            return number(e)
        if isinstance(e, sympy.Add):
            return self.sum(e)
        if isinstance(e, sympy.Mul):
            return self.product(e)
        if isinstance(e, sympy.exp) and e.args[0] == 1:
            return Code("math.e", number=True, uses=frozenset({"math"}))
        if isinstance(e, sympy.Pow):
            return self.power(e)
        return self.call(e)

    def call(self, e: sympy.Expr) -> Code:
        parts = [self.code(a) for a in e.args]
        if isinstance(e, f.standardised):
            d, logvar = e.args
            if logvar.is_number:
                text = f"{self.code(d).at(PRODUCT)} / {self.code(sympy.exp(logvar / 2)).at(SIGN)}"
                return Code(text, PRODUCT)
            return self.code(sympy.Mul(d, sympy.exp(-logvar / 2), evaluate=False) if d.is_Add else d * sympy.exp(-logvar / 2))
        if isinstance(e, f.expected):
            log_w, t = e.args
            w = f.sigmoid(log_w.args[0]) if isinstance(log_w, f.logsigmoid) else sympy.exp(log_w)
            return self.call(f.weighted(w, t))
        if isinstance(e, f.xlogx):
            return called("torch.xlogy", [parts[0], parts[0]])
        plain = all(p.number for p in parts)
        if plain and isinstance(e, sympy.log) and e.free_symbols:
            return called("_log", parts, number=True)  # of a size, which may be 0
        name = (NUMBER if plain else TENSOR).get(type(e))
        if name is None:
            raise EmissionError(f"{type(e).__name__} has no code")
        return called(name, parts, number=plain)

    def sum(self, e: sympy.Add) -> Code:
        terms = sorted(e.as_ordered_terms(), key=lambda t: t.could_extract_minus_sign())
        parts = [(-1 if t.could_extract_minus_sign() else 1, t) for t in terms]
        codes = [_flipped(sign, self.code(sign * t)) for sign, t in parts]
        codes.sort(key=lambda c: -c[0])
        sign, first = codes[0]
        text = first.at(SUM) if sign > 0 else f"-{first.at(PRODUCT)}"
        for sign, code in codes[1:]:
            text += f" + {code.at(SUM)}" if sign > 0 else f" - {code.at(PRODUCT)}"
        return Code(text, SUM, all(c.number for _, c in codes), union(c for _, c in codes))

    def product(self, e: sympy.Mul) -> Code:
        if e.could_extract_minus_sign():
            inner = self.code(-e)
            return Code(f"-{inner.at(PRODUCT)}", SIGN if inner.binds > PRODUCT else PRODUCT, inner.number, inner.uses)
        coefficient, rest = e.as_coeff_Mul()
        above, below = [], []
        for factor in rest.as_ordered_factors():
            base, exponent = factor.as_base_exp()
            if exponent.is_number and exponent.could_extract_minus_sign() and not isinstance(factor, sympy.exp):
                below.append(base**-exponent)
            else:
                above.append(factor)
        if _quotient(coefficient):
            below.insert(0, sympy.Integer(coefficient.q))
            coefficient = sympy.Integer(coefficient.p)
        if coefficient != 1 or not above:
            above.insert(0, coefficient)
        codes = [self.code(x) for x in above]
        text = " * ".join(c.at(PRODUCT if k == 0 else SIGN) for k, c in enumerate(codes))
        for x in below:
            code = self.code(x)
            codes.append(code)
            text += f" / {code.at(SIGN)}"
        return Code(text, PRODUCT, all(c.number for c in codes), union(codes))

    def power(self, e: sympy.Pow) -> Code:
        base = self.code(e.base)
        if e.exp == sympy.Rational(1, 2):
            return called(f"{'math' if base.number else 'torch'}.sqrt", [base], number=base.number)
        if e.exp.is_number and e.exp.could_extract_minus_sign():
            under = self.code(e.base**-e.exp)
            return Code(f"1 / {under.at(SIGN)}", PRODUCT, base.number, under.uses)
        exponent = self.code(e.exp)
        star = "**" if re.fullmatch(r"[\w.]+", base.text) and exponent.binds == ATOM else " ** "
        return Code(
            f"{base.at(ATOM)}{star}{exponent.at(SIGN)}", POWER, base.number and exponent.number, union((base, exponent))
        )


def _flipped(sign: int, code: Code) -> tuple[int, Code]:
    """A summand whose own minus joins the sum's."""
    if code.text.startswith("-") and code.binds in (PRODUCT, SIGN):
        return -sign, code._replace(text=code.text[1:])
    return sign, code


def number(value: sympy.Number) -> Code:
    """A number as Python writes it: whole, decimal, or a quotient of small numbers. Tensors take no whole numbers of 64 bits.

    >>> [number(sympy.Rational(p, q)).text for p, q in ((3, 1), (1, 2), (1, 3), (-1, 4))]
    ['3', '0.5', '1 / 3', '-0.25']
    >>> number(sympy.Rational("0.1234567890123456789")).text, number(sympy.Integer(10) ** 30).text
    ('0.12345678901234568', '1e+30')
    """
    if value.is_Integer and abs(value) <= LARGEST:
        text = str(int(value))
    elif value.is_Rational and _quotient(value):
        return Code(f"{value.p} / {value.q}", PRODUCT, True)
    else:
        text = repr(float(value))
    return Code(text, SIGN if text.startswith("-") else ATOM, True)


LARGEST = 10**6
"""The largest number that is written whole, or in a quotient."""


def _quotient(value: sympy.Rational) -> bool:
    """Whether the number is read best as a quotient: of small numbers, where the float's shortest text is not the number itself."""
    small = max(abs(value.p), value.q) <= LARGEST
    return bool(small and value.q > 1 and sympy.Rational(repr(float(value))) != value)


def total(parts: Iterable[tuple[sympy.Expr, Code]], operand: Callable[[str], Code]) -> Code:
    """A weighted sum, in the order of its terms and with the signs that the bound has: ``kl_z - self.beta * log_p_x``."""
    text, used = "", []
    for coefficient, value in parts:
        negative = all(a.could_extract_minus_sign() for a in sympy.Add.make_args(coefficient))
        size = -coefficient if negative else coefficient
        factor = render(size, operand)
        used += [value, factor]
        term = value.at(PRODUCT) if size == 1 else f"{factor.at(PRODUCT)} * {value.at(SIGN)}"
        if text:
            text += f" {'-' if negative else '+'} {term}"
        else:
            text = f"-{term}" if negative else term
    return Code(text, SUM, uses=union(used))
