"""The grammar of objectives, factors, joints, expansions and claims, read by Lark into plain syntax values.

Nothing is evaluated: a coefficient stays a small tree until :mod:`ibsym.terms.reading` turns it into SymPy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeAlias, cast

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError, UnexpectedInput, UnexpectedToken

from ibsym.errors import SpecError, shown
from ibsym.facts import Sense
from ibsym.spec.habits import FACTORS, HABITS, QUANTITY, mended, unescaped

GRAMMAR = r"""
objective: DIRECTION sum
expansion: quantity "with" density
constraint: quantity LE sum
claim: sum (LE | GE | EQUAL) sum

?sum: product | sum "+" product -> add | sum "-" product -> subtract
?product: factor | product "*" factor -> multiply | product "/" signed -> divide
?factor: power | NUMBER quantity -> multiply_number | "-" factor -> negate | "+" factor
?signed: power | "-" signed -> negate | "+" signed
?power: atom | atom ("^" | "**") signed -> power
?atom: NUMBER -> number | NAME -> parameter | quantity | "(" sum ")"

quantity: INFORMATION "(" groups ["|" names] ")" -> information
        | ENTROPY "(" names ["|" names] ")" -> entropy
        | CORRELATION "(" groups ["|" names] ")" -> correlation
        | DIVERGENCE "(" density "||" density+ ")" -> divergence
        | FDIVERGENCE "[" GENERATOR "]" "(" density "||" density+ ")" -> fdivergence
        | EXPECTATION "[" "log" density+ "]" -> expectation

groups: names (";" names)*
names: NAME ("," NAME)*
density: NAME "(" names ["|" names] ")"

joint: joint_factor ("*"? joint_factor)*
?joint_factor: density | "(" component ("+" component)* ")" -> mixture
component: [weight "*"?] density
weight: NUMBER ["/" NUMBER]

DIRECTION.5: "minimize" | "maximize"
INFORMATION.4: /I(_[A-Za-z][A-Za-z0-9_]*)?(?=\s*\()/
ENTROPY.4: /H(_[A-Za-z][A-Za-z0-9_]*)?(?=\s*\()/
CORRELATION.4: /TC(_[A-Za-z][A-Za-z0-9_]*)?(?=\s*\()/
DIVERGENCE.4: /(KL|CE|JS)(?=\s*\()/
FDIVERGENCE.4: /F(?=\s*\[)/
EXPECTATION.4: /E(_[A-Za-z][A-Za-z0-9_]*)?(?=\s*\[)/
GENERATOR: /[a-z][a-z0-9-]*/
NAME.2: /[A-Za-z_][A-Za-z0-9_]*/
NUMBER: /([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?/
LE: "<="
GE: ">="
EQUAL: "="
%ignore /[ \t\r\n]+/
"""

MAX_LENGTH = 4000
MAX_DEPTH = 40
MAX_OPERATORS = 400


def decimal(x: Fraction) -> str:
    """A rational as a person writes it: a decimal where a short one is exact, else a fraction.

    >>> decimal(Fraction("0.25")), decimal(Fraction(1, 3)), decimal(Fraction(2))
    ('0.25', '1/3', '2')
    """
    short = f"{float(x):.15g}" if abs(x) < 10**15 else ""
    return short if short and "e" not in short and Fraction(short) == x else str(x)


@dataclass(frozen=True, slots=True)
class DensitySyntax:
    """``r(a,b|c)`` as written: a head, variables, conditioners."""

    head: str
    of: tuple[str, ...]
    given: tuple[str, ...] = ()
    column: int = 0

    def __str__(self) -> str:
        return f"{self.head}({','.join(self.of)}" + (f"|{','.join(self.given)}" if self.given else "") + ")"


@dataclass(frozen=True, slots=True)
class MixtureSyntax:
    """``(w1*a(x) + w2*b(x))``: weights and components."""

    parts: tuple[tuple[Fraction, DensitySyntax], ...]
    column: int = 0

    def __str__(self) -> str:
        return "(" + " + ".join(f"{decimal(w)}*{d}" for w, d in self.parts) + ")"


Kind: TypeAlias = Literal["I", "H", "TC", "KL", "CE", "JS", "F", "E"]
Comparison: TypeAlias = Literal["<=", ">=", "="]


@dataclass(frozen=True, slots=True)
class QuantitySyntax:
    """A term as written. ``groups`` for I, H and TC; ``first`` and ``second`` for divergences and E."""

    kind: Kind
    joint: str | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    given: tuple[str, ...] = ()
    first: DensitySyntax | None = None
    second: tuple[DensitySyntax, ...] = ()
    generator: str = ""
    column: int = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A node of a coefficient: an operator over syntax values, a number or a parameter's name."""

    operator: Literal["+", "-", "*", "/", "^", "neg", "number", "parameter"]
    arguments: tuple[ExpressionSyntax, ...] = ()
    value: str = ""
    column: int = 0


ExpressionSyntax: TypeAlias = Arithmetic | QuantitySyntax


@dataclass(frozen=True, slots=True)
class ObjectiveSyntax:
    """What is to be made small or large."""

    sense: Sense
    expression: ExpressionSyntax


@dataclass(frozen=True, slots=True)
class RelationSyntax:
    """``left <= right``, ``>=`` or ``=``."""

    left: ExpressionSyntax
    relation: Comparison
    right: ExpressionSyntax


def quantities(expression: ExpressionSyntax) -> Iterator[QuantitySyntax]:
    """The terms in an expression, left to right."""
    if isinstance(expression, Arithmetic):
        for argument in expression.arguments:
            yield from quantities(argument)
    else:
        yield expression


def _joint_of(token: Token) -> str | None:
    return str(token).split("_", 1)[1] if "_" in token else None


def _names(part: object) -> tuple[str, ...]:
    return part if isinstance(part, tuple) else ()


class _Reader(Transformer[Token, Any]):
    """What the parser makes of each rule of the grammar."""

    def names(self, items: Any) -> Any:
        return tuple(str(t) for t in items)

    def groups(self, items: Any) -> Any:
        return tuple(items)

    def density(self, items: Any) -> Any:
        head, of, given = items
        return DensitySyntax(str(head), of, _names(given), head.column)

    def component(self, items: Any) -> Any:
        weight, density = items
        return (weight if weight is not None else Fraction(1), density)

    def weight(self, items: Any) -> Any:
        above, below = items
        number, divisor = Fraction(str(above)), Fraction(str(below or 1))
        return number / divisor if divisor else Fraction(0)

    def mixture(self, items: Any) -> Any:
        return MixtureSyntax(tuple(items), items[0][1].column)

    def joint(self, items: Any) -> Any:
        return tuple(items)

    def information(self, items: Any) -> Any:
        return QuantitySyntax("I", _joint_of(items[0]), items[1], _names(items[2]), column=items[0].column)

    def entropy(self, items: Any) -> Any:
        return QuantitySyntax("H", _joint_of(items[0]), (items[1],), _names(items[2]), column=items[0].column)

    def correlation(self, items: Any) -> Any:
        return QuantitySyntax("TC", _joint_of(items[0]), items[1], _names(items[2]), column=items[0].column)

    def divergence(self, items: Any) -> Any:
        return QuantitySyntax(cast(Kind, str(items[0])), first=items[1], second=tuple(items[2:]), column=items[0].column)

    def fdivergence(self, items: Any) -> Any:
        return QuantitySyntax("F", first=items[2], second=tuple(items[3:]), generator=str(items[1]), column=items[0].column)

    def expectation(self, items: Any) -> Any:
        return QuantitySyntax("E", _joint_of(items[0]), second=tuple(items[1:]), column=items[0].column)

    def number(self, items: Any) -> Any:
        return Arithmetic("number", value=str(items[0]), column=items[0].column)

    def parameter(self, items: Any) -> Any:
        return Arithmetic("parameter", value=str(items[0]), column=items[0].column)

    def multiply_number(self, items: Any) -> Any:
        return Arithmetic("*", (self.number(items[:1]), items[1]), column=items[0].column)

    def add(self, items: Any) -> Any:
        return Arithmetic("+", tuple(items), column=items[0].column)

    def subtract(self, items: Any) -> Any:
        return Arithmetic("-", tuple(items), column=items[0].column)

    def multiply(self, items: Any) -> Any:
        return Arithmetic("*", tuple(items), column=items[0].column)

    def divide(self, items: Any) -> Any:
        return Arithmetic("/", tuple(items), column=items[0].column)

    def power(self, items: Any) -> Any:
        return Arithmetic("^", tuple(items), column=items[0].column)

    def negate(self, items: Any) -> Any:
        return Arithmetic("neg", tuple(items), column=items[0].column)

    def objective(self, items: Any) -> Any:
        return ObjectiveSyntax(cast(Sense, str(items[0])), items[1])

    def expansion(self, items: Any) -> Any:
        return items[0], items[1]

    def constraint(self, items: Any) -> Any:
        return RelationSyntax(items[0], "<=", items[2])

    def claim(self, items: Any) -> Any:
        return RelationSyntax(items[0], cast(Comparison, str(items[1])), items[2])


@cache
def _parser(start: str) -> Lark:
    return Lark(GRAMMAR, parser="lalr", start=start, maybe_placeholders=True, transformer=_Reader())


WHAT = {
    "objective": ('an objective: "minimize" or "maximize", then a sum of terms', '"minimize I_q(X;Z) - beta*I_q(Z;C)"'),
    "joint": ("a product of factors", '"data(x,c) q(z|x)"'),
    "density": ("a factor", '"q(z|x)"'),
    "quantity": ("a term", '"KL(q(z)||p(z))"'),
    "expansion": ("an expansion", '"H_q(X) with p(x)"'),
    "constraint": ("a constraint", '"I_m(X;T) <= Ic"'),
    "claim": ("a claim", '"I(X;Z) <= I(X;Y)"'),
}


def refuse_deep(text: str, what: str, key: str, operators: int) -> None:
    """Raises :class:`SpecError` where a parser would recurse too far: nested deeper than MAX_DEPTH, or more than so many operators."""
    depth = deepest = 0
    for bracket in re.finditer(r"[()\[\]]", text):
        depth += 1 if bracket[0] in "([" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or any(s * MAX_DEPTH in text.replace(" ", "") for s in ("-", "+", "^")):
        raise SpecError(f"{what} is nested deeper than {MAX_DEPTH}", key=key, remedy="a flatter one")
    if sum(map(text.count, "+-*/^")) > operators:
        raise SpecError(f"{what} has more than {operators} operators", key=key, remedy="a shorter one")


def parse(text: str, start: str, key: str = "") -> object:
    """Read ``text`` as ``start`` (``objective``, ``joint``, ``density``, ``quantity``, ``expansion``, ``constraint``, ``claim``).

    Raises :class:`SpecError` with the column of the first word or sign that does not fit.

    >>> str(parse("q(z | x)", "density"))
    'q(z|x)'
    """
    what, example = WHAT[start]
    if len(text) > MAX_LENGTH:
        raise SpecError(f"{what} has {len(text)} characters, more than {MAX_LENGTH}", key=key, remedy="a shorter one")
    if (meant := unescaped(text)) != text:
        wanted = "a backslash between double quotes is the beginning of an escape, such as that of a tab"
        place = next(k for k, (a, b) in enumerate(zip(text, meant, strict=False)) if a != b)
        remedy = _remedy(meant, start) or f"'{meant}', in single quotes"
        raise SpecError(wanted, key=key, remedy=remedy, column=place + 1)
    text = "".join(" " if c in "\t\r\n" else c for c in text)  # so that columns are offsets
    refuse_deep(text, what, key, MAX_OPERATORS)
    try:
        return _parser(start).parse(text)
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        place = len(text) if ended or error.pos_in_stream is None else error.pos_in_stream
        if text[place : place + 1] == "(" and (head := re.search(r"[^\W\d]\w*$", text[:place])):
            place = head.start()  # no bracket is wrong: what stands before it is no quantity
        rest = text[place : place + 12]
        found = f"does not fit at {rest!r}" if rest else "ends too early"
        wanted = f"{shown(text, 120)!r} {found}: this is to be {what}"
        raise SpecError(wanted, key=key, remedy=_remedy(text, start) or f"for example {example}", column=place + 1) from None


def _remedy(text: str, start: str) -> str:
    """What is written by habit, in this language; nothing where that does not parse either."""
    proposed = mended(text, FACTORS if start == "joint" else HABITS)
    if _parses(proposed, start):
        return f'"{proposed}"'
    if start != "objective" or not re.search(QUANTITY, proposed):
        return ""
    if re.search(r"\bs\.?\s*t\.?\s|subject to|<=|>=", proposed):
        return 'its constraint as a term with a weight, the multiplier: "minimize ... + mu*(...)"'
    if _parses(f"minimize {proposed}", start):
        return f'"minimize {proposed}", or "maximize {proposed}"'
    return ""


def _parses(text: str, start: str) -> bool:
    try:
        _parser(start).parse(text)
    except (LarkError, SpecError):
        return False
    return True
