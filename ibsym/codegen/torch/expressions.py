"""SymPy formulas as Python: ``0.5 * (z_mean**2 + torch.expm1(z_logvar) - z_logvar)``, functions by a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import sympy

from ibsym.codegen.formulas import ATOM, POWER, PRODUCT, SIGN, SUM, WORD, Code, Formulas, called, union
from ibsym.codegen.torch.sharing import FACTORS, Call, Ledger, Reading
from ibsym.errors import EmissionError
from ibsym.families import functions as f
from ibsym.lowering.axes import Axes


class excess(sympy.Function):
    """e^t - 1 - t, of a difference t: written out, it would be taken twice."""

    nargs = 1


TENSOR: dict[type, str] = {
    sympy.exp: "torch.exp",
    sympy.log: "torch.log",
    sympy.Abs: "torch.abs",
    f.logsigmoid: "F.logsigmoid",
    f.sigmoid: "torch.sigmoid",
    f.expm1: "torch.expm1",
    excess: "_excess",
    f.unit_cumulant: "_unit_cumulant",
    f.unit_mean: "_unit_mean",
    f.log_bessel: "_log_bessel",
    f.bessel_ratio: "_bessel_ratio",
    f.weighted: "_weighted",
    f.log_gamma: "_log_gamma",
    f.defined: "_defined",
    f.barrier: "_barrier",
    f.capped: "_capped",
    f.opened: "_opened",
    f.is_zero: "_is_zero",
    f.log_normal_cell: "_log_normal_cell",
    f.log_laplace_cell: "_log_laplace_cell",
    f.digamma: "_digamma",
}
NUMBER: dict[type, str] = {
    sympy.exp: "math.exp",
    sympy.log: "math.log",
    sympy.Abs: "abs",
    sympy.loggamma: "math.lgamma",
    f.log_gamma: "math.lgamma",
}


class Operand(NamedTuple):
    """What a symbol stands for: code and what it reads; its exponential, if that has a shorter code; whether it is a length; its axes."""

    code: Code
    reads: tuple[Reading, ...] = ()
    exponential: Code | None = None
    length: bool = False
    axes: Axes = ()


def render(expression: sympy.Expr, operand: Callable[[str], Code]) -> Code:
    """The formula, its symbols rendered by ``operand``.

    >>> t = sympy.Symbol("t", real=True)
    >>> render((t - 1)**2 * sympy.exp(-t) / 2, lambda name: Code(name)).text
    '0.5 * (t - 1) ** 2 * torch.exp(-t)'
    """
    return Tensors(lambda name: Operand(operand(name)), Ledger()).code(expression)


class Tensors(Formulas):
    """Formulas over tensors and numbers, each function by what its arguments are; what they read goes into the ledger."""

    calls = TENSOR

    def __init__(self, operand: Callable[[str], Operand], ledger: Ledger):
        super().__init__()
        self.operand, self.ledger = operand, ledger

    def symbol(self, name: str) -> Code:
        """The code that stands for an operand."""
        found = self.operand(name)
        self.ledger.read += found.reads
        return found.code

    def number(self, e: sympy.Expr) -> Code:
        """As Python writes it."""
        return Code("math.pi", WORD, number=True, uses=frozenset({"math"})) if e is sympy.pi else number(e)

    def split(self, coefficient: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
        """A quotient of small numbers divides by one of them."""
        if _quotient(coefficient):
            return sympy.Integer(coefficient.p), sympy.Integer(coefficient.q)
        return super().split(coefficient)

    def root(self, base: sympy.Expr) -> Code:
        """Of a tensor or of a number."""
        if isinstance(base, sympy.Symbol) and (found := self._of_a_name("torch.sqrt", base)):
            return found
        code = self.code(base)
        return called(f"{'math' if code.number else 'torch'}.sqrt", [code], number=code.number)

    def power(self, base: sympy.Expr, exponent: sympy.Expr) -> Code:
        """``x**2``, or ``(x - 1) ** 2``."""
        below, above = self.code(base), self.code(exponent)
        star = "**" if below.binds == WORD and above.binds >= ATOM else " ** "
        return Code(f"{below.at(ATOM)}{star}{above.at(SIGN)}", POWER, below.number and above.number, union((below, above)))

    def unknown(self, e: sympy.Expr) -> Exception:
        """Of a family that forgot its own functions."""
        return EmissionError(f"{type(e).__name__} has no code")

    def _of_a_name(self, function: str, argument: sympy.Expr) -> Code | None:
        """A function of one tensor's name, which may have a name itself; None of anything else."""
        factor, rest = argument.as_coeff_Mul()
        if function.startswith("_") or not isinstance(rest, sympy.Symbol) or factor not in FACTORS:
            return None
        operand = self.operand(rest.name)
        if function == "torch.exp" and factor == 1 and operand.exponential is not None:
            self.ledger.read += operand.reads
            return operand.exponential
        if operand.code.binds != WORD or operand.code.number:
            return None
        return self.ledger.code(Call(function, FACTORS[factor], operand.code.text), operand.reads)

    def _print_Function(self, e: sympy.Expr) -> Code:
        if len(e.args) == 1 and (found := self._of_a_name(TENSOR.get(type(e), "_"), e.args[0])):
            return found
        parts = [self.code(a) for a in e.args]
        plain = all(p.number for p in parts)
        if plain and isinstance(e, sympy.log) and e.free_symbols:
            (argument,) = e.args
            if isinstance(argument, sympy.Symbol) and self.operand(argument.name).length:  # of an axis, which may be empty
                return Code(f"math.log({parts[0].text} or math.nan)", number=True, uses=parts[0].uses | {"math"})
            return called("_log", parts, number=True)
        name = (NUMBER if plain else TENSOR).get(type(e))
        if name is None:
            raise self.unknown(e)
        return called(name, parts, number=plain)

    _print_Expr = _print_Function

    def _print_ExpBase(self, e: sympy.Expr) -> Code:
        return Code("math.e", WORD, number=True, uses=frozenset({"math"})) if e.args[0] == 1 else self._print_Function(e)

    def gathered(self, e: sympy.Expr) -> sympy.Expr:
        """With e^t - 1 - t as one function, where t is a difference."""
        for term in e.args:
            factor, call = term.as_coeff_Mul()
            if isinstance(call, f.expm1) and call.args[0].is_Add:
                linear = {-factor * a for a in call.args[0].args}
                if linear <= set(e.args):
                    return sympy.Add(*{*e.args} - linear - {term}, factor * excess(call.args[0]))
        return e

    def _print_standardised(self, e: f.standardised) -> Code:
        d, logvar = e.args
        if logvar.is_number:
            above, below = self.code(d), self.code(sympy.exp(logvar / 2))
            return Code(f"{above.at(PRODUCT)} / {below.at(SIGN)}", PRODUCT, uses=union((above, below)))
        return self.code(sympy.Mul(d, sympy.exp(-logvar / 2), evaluate=False) if d.is_Add else d * sympy.exp(-logvar / 2))

    def _print_binary_cross_entropy(self, e: f.binary_cross_entropy) -> Code:
        values, logits = map(self.code, e.args)
        value, logit = (self.operand(a.name).axes if isinstance(a, sympy.Symbol) else () for a in e.args)
        if value and value[0] != "S" and logit[len(logit) - len(value) :] == value:
            alike = [logits, Code(f"{values.at(ATOM)}.expand_as({logits.text})")]
        else:
            alike = [called("*torch.broadcast_tensors", [logits, values])]
        found = called("F.binary_cross_entropy_with_logits", [*alike, 'reduction="none"'])
        return found._replace(uses=union((values, logits)) | {"F"} | ({"torch"} if len(alike) == 1 else frozenset()))

    def _print_bessel(self, e: sympy.Expr) -> Code:
        """log I_v or the ratio; both together, where both are read."""
        size, t = map(self.code, e.args)
        alone = called(TENSOR[type(e)], [size, t])
        if t.binds != WORD:
            return alone
        return self.ledger.code(Call("_bessel", f"{size.text}, ", t.text), (), int(isinstance(e, f.bessel_ratio)), alone)

    _print_log_bessel = _print_bessel_ratio = _print_bessel

    def _print_expected(self, e: f.expected) -> Code:
        log_w, t = e.args
        w = f.sigmoid(log_w.args[0]) if isinstance(log_w, f.logsigmoid) else sympy.exp(log_w)
        return called("_xlogx" if t == log_w else "_expected", [self.code(w), self.code(t)])

    def _print_xlogx(self, e: f.xlogx) -> Code:
        return called("torch.xlogy", [self.code(e.args[0]), self.code(e.args[0])])


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
    return Code(text, SIGN if value < 0 else WORD, True)


LARGEST = 10**6
"""The largest number that is written whole, or in a quotient."""


def _quotient(value: sympy.Rational) -> bool:
    """Whether the number is read best as a quotient: of small numbers, where the float's shortest text is not the number itself."""
    small = max(abs(value.p), value.q) <= LARGEST
    return bool(small and value.q > 1 and sympy.Rational(repr(float(value))) != value)


def total(parts: Iterable[tuple[sympy.Expr, Code]], operand: Callable[[str], Code]) -> Code:
    """A weighted sum, in the order of its terms and with the signs that the bound has: ``kl_z - self.beta * log_p_x``.

    What all terms have in common is multiplied once: ``-0.5 * (i_x_y + i_y_x)``.
    """
    parts = list(parts)
    common = parts[0][0] if parts else sympy.Integer(1)
    if len(parts) > 1 and common not in (1, -1) and all(c in (common, -common) for c, _ in parts):
        inside = total([(c / common, value) for c, value in parts], operand)
        return total([(common, inside)], operand)
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
