"""SymPy formulas as code: one printer on SymPy's CodePrinter. A target adds its functions, numbers and powers, and nothing else.

``_print_Add`` and its like are SymPy's way of choosing by class; they give :class:`Code` here, a text that knows how tightly it
binds, since an operand may be any code and a function may be printed as an operator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import sympy
from sympy.printing.codeprinter import CodePrinter

SUM, PRODUCT, SIGN, POWER, ATOM, WORD = range(6)
"""How tightly a text binds; a word is a name or a number."""

NOTHING: frozenset[str] = frozenset()


class Code(NamedTuple):
    """An expression, how tightly it binds, whether it is a number and no tensor, and the names that it uses."""

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


class Formulas(CodePrinter, ABC):
    """Sums with their signs, products with what they are divided by, calls by a table."""

    calls: ClassVar[Mapping[type, str]] = {}
    """SymPy's functions and ours, by their names in the target."""

    def code(self, e: sympy.Expr) -> Code:
        """The formula as code."""
        found: Code = self._print(e)
        return found

    @abstractmethod
    def number(self, e: sympy.Expr) -> Code:
        """A number as the target writes it."""

    def symbol(self, name: str) -> Code:
        """What a symbol stands for."""
        return Code(name, WORD)

    @abstractmethod
    def power(self, base: sympy.Expr, exponent: sympy.Expr) -> Code:
        """base**exponent, the exponent no negative number and not 1/2."""

    @abstractmethod
    def root(self, base: sympy.Expr) -> Code:
        """The square root."""

    @abstractmethod
    def unknown(self, e: sympy.Expr) -> Exception:
        """What is raised for a function that the target does not have."""

    def gathered(self, e: sympy.Expr) -> sympy.Expr:
        """A sum, with what the target has one function for put together."""
        return e

    def split(self, coefficient: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
        """A product's number, as what is multiplied and what is divided by."""
        return coefficient, sympy.Integer(1)

    def _print_Symbol(self, e: sympy.Symbol) -> Code:
        return self.symbol(e.name)

    def _print_Number(self, e: sympy.Expr) -> Code:
        return self.number(e)

    _print_Integer = _print_Rational = _print_Float = _print_NumberSymbol = _print_Number
    _print_Half = _print_One = _print_Zero = _print_NegativeOne = _print_Pi = _print_Number

    def _print_Add(self, e: sympy.Add, order: None = None) -> Code:
        parts = [(-1 if t.could_extract_minus_sign() else 1, t) for t in self.gathered(e).as_ordered_terms()]
        codes = [_flipped(sign, self.code(sign * t)) for sign, t in sorted(parts, key=lambda part: -part[0])]
        codes.sort(key=lambda part: -part[0])
        (sign, first), *rest = codes
        text = first.at(SUM) if sign > 0 else f"-{first.at(PRODUCT)}"
        for sign, code in rest:
            text += f" + {code.at(SUM)}" if sign > 0 else f" - {code.at(PRODUCT)}"
        return Code(text, SUM, all(c.number for _, c in codes), union(c for _, c in codes))

    def _print_Mul(self, e: sympy.Mul) -> Code:
        if e.could_extract_minus_sign():
            inner = self.code(-e)
            if inner.text.startswith("-") and inner.binds in (PRODUCT, SIGN):  # an operand's own minus
                return inner._replace(text=inner.text[1:])
            return Code(f"-{inner.at(PRODUCT)}", SIGN if inner.binds > PRODUCT else PRODUCT, inner.number, inner.uses)
        coefficient, rest = e.as_coeff_Mul()
        above, below = [], []
        for factor in rest.as_ordered_factors():
            base, exponent = factor.as_base_exp()
            if exponent.is_number and exponent.could_extract_minus_sign() and not isinstance(factor, sympy.exp):
                below.append(base**-exponent)
            else:
                above.append(factor)
        coefficient, divisor = self.split(coefficient)
        below = below if divisor == 1 else [divisor, *below]
        above = above if coefficient == 1 and above else [coefficient, *above]
        factors, divisors = [self.code(x) for x in above], [self.code(x) for x in below]
        parts = [*((" * ", c) for c in factors), *((" / ", c) for c in divisors)]
        if factors[0].number:  # numbers come first, among themselves: one operation for what is no number
            parts.sort(key=lambda part: not part[1].number)
        text = parts[0][1].at(PRODUCT) + "".join(sign + c.at(SIGN) for sign, c in parts[1:])
        return Code(text, PRODUCT, all(c.number for _, c in parts), union(c for _, c in parts))

    def _print_Pow(self, e: sympy.Pow) -> Code:
        if e.exp == sympy.Rational(1, 2):
            return self.root(e.base)
        if e.exp.is_number and e.exp.could_extract_minus_sign():
            one, under = self.number(sympy.Integer(1)), self.code(e.base**-e.exp)
            return Code(f"{one.text} / {under.at(SIGN)}", PRODUCT, under.number, under.uses)
        return self.power(e.base, e.exp)

    def _print_Function(self, e: sympy.Expr) -> Code:
        name = self.calls.get(type(e))
        if name is None:
            raise self.unknown(e)
        return called(name, [self.code(a) for a in e.args])

    _print_ExpBase = _print_Expr = _print_Function


def _flipped(sign: int, code: Code) -> tuple[int, Code]:
    """A summand whose own minus joins the sum's."""
    if code.text.startswith("-") and code.binds in (PRODUCT, SIGN):
        return -sign, code._replace(text=code.text[1:])
    return sign, code
