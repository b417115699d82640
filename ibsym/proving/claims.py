"""Reading claims and premises: linear relations of entropies, informations and relative entropies, Markov chains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from ibsym.errors import SpecError, shown
from ibsym.spec.grammar import MAX_LENGTH, Arithmetic, ExpressionSyntax, QuantitySyntax, RelationSyntax, parse, quantities
from ibsym.spec.schema import check_name

MAX_VARIABLES = 32
LARGEST = Fraction(10**6)


@dataclass(frozen=True)
class Chain:
    """A Markov chain: each group is independent of those further left given the one between."""

    groups: tuple[tuple[str, ...], ...]
    joint: str | None
    text: str


@dataclass(frozen=True)
class Statement:
    """A relation as written, with its text."""

    syntax: RelationSyntax
    text: str


_CHAIN = re.compile(r"(?P<chain>[^<>=()]+(->[^<>=()]+)+)")


def read_claim(text: str) -> Statement:
    """A relation with ``<=``, ``>=`` or ``=``."""
    return Statement(parse(text, "claim", "claim"), text.strip())  # type: ignore[arg-type]


def read_premise(text: str) -> Chain | Statement:
    """``X -> Y -> Z`` (also ``X,Y -> Z -> W``, ``... in q``), or a relation such as ``H(Y|X) = 0``."""
    if len(text) > MAX_LENGTH:
        raise SpecError(f"a premise has {len(text)} characters, more than {MAX_LENGTH}", key="given", remedy="a shorter one")
    if "->" not in text:
        return Statement(parse(text, "claim", "given"), text.strip())  # type: ignore[arg-type]
    body, _, joint = text.partition(" in ")
    groups = tuple(tuple(n.strip() for n in part.split(",")) for part in body.split("->"))
    for name in (n for g in groups for n in g):
        check_name(name, "given", "variable")
    names = [n for g in groups for n in g]
    if len(groups) < 3:
        raise SpecError(f"{text!r} has two groups, which says nothing", key="given", remedy='"X -> Y -> Z"')
    if len(set(names)) < len(names):
        raise SpecError(f"a variable occurs twice in {text!r}", key="given", remedy="each variable once")
    if joint.strip():
        check_name(joint.strip(), "given", "joint")
    return Chain(groups, joint.strip() or None, text.strip())


def sides(statement: Statement) -> Iterator[ExpressionSyntax]:
    """Left and right."""
    yield statement.syntax.left
    yield statement.syntax.right


def terms_of(statements: Iterable[Statement]) -> Iterator[QuantitySyntax]:
    """Every quantity, in order of appearance."""
    for statement in statements:
        for side in sides(statement):
            yield from quantities(side)


def linear(syntax: ExpressionSyntax) -> list[tuple[Fraction, QuantitySyntax]]:
    """A sum of terms with rational coefficients. Raises :class:`SpecError` on constants, parameters, products of terms."""
    scalar, terms = _linear(syntax)
    remedy = "a relation of information quantities, or 0 on one side"
    if scalar:
        raise SpecError(f"the constant {shown(f'{float(scalar):g}')} stands among the entropies", key="claim", remedy=remedy)
    total: dict[QuantitySyntax, Fraction] = {}
    for x, term in terms:
        total[term] = total.get(term, Fraction(0)) + x
    for x in total.values():
        if x and not 1 / LARGEST <= abs(x) <= LARGEST:
            raise SpecError("a coefficient is not between 1e-6 and 1e6", key="claim", remedy="numbers of ordinary size")
    return terms


def _linear(syntax: ExpressionSyntax) -> tuple[Fraction, list[tuple[Fraction, QuantitySyntax]]]:
    if isinstance(syntax, QuantitySyntax):
        return Fraction(0), [(Fraction(1), syntax)]
    assert isinstance(syntax, Arithmetic)
    if syntax.operator == "number":
        return _number(syntax), []
    if syntax.operator == "parameter":
        raise SpecError(
            f"{syntax.value!r} is no number and no quantity",
            key="claim",
            remedy="H(X), I(X;Y|Z), TC(X;Y;Z), KL(q(z)||p(z))",
            column=syntax.column,
        )
    parts = [_linear(a) for a in syntax.arguments]
    if syntax.operator == "neg":
        ((a, p),) = parts
        return -a, [(-x, t) for x, t in p]
    (a, p), (b, r) = parts
    match syntax.operator:
        case "+":
            return a + b, p + r
        case "-":
            return a - b, p + [(-x, t) for x, t in r]
        case "*" if not (p and r):
            return a * b, [(x * b, t) for x, t in p] + [(x * a, t) for x, t in r]
        case "/" if not r and b:
            return a / b, [(x / b, t) for x, t in p]
    raise SpecError(
        "only sums of multiples of information quantities are linear",
        key="claim",
        remedy='"2*H(X) <= H(X,Y) + H(X,Z)"',
        column=syntax.column,
    )


def _number(syntax: Arithmetic) -> Fraction:
    """A number of ordinary size: the program that decides a claim is solved in floating point first."""
    value = Fraction(syntax.value)
    if value and not 1 / LARGEST <= value <= LARGEST:
        message = f"the number {shown(syntax.value, 40)} is not between 1e-6 and 1e6"
        raise SpecError(message, key="claim", remedy="numbers of ordinary size", column=syntax.column)
    return value


def names_of(statements: Iterable[Statement], chains: Iterable[Chain]) -> list[str]:
    """The variables in order of appearance: a density's ``z`` is a value of ``Z``; other names that differ only by case are refused."""
    found: dict[str, str] = {}
    random: dict[str, str] = {}
    values: dict[str, str] = {}

    def record(name: str, same: dict[str, str], others: dict[str, str]) -> None:
        """One spelling for each variable, and one for its value, which may begin with a small letter instead."""
        key = name.casefold()
        own, other = same.setdefault(key, name), others.get(key)
        if own != name or (other is not None and other[1:] != name[1:]):
            clash = own if own != name else other
            raise SpecError(f"{name!r} and {clash!r} differ only by case", key="claim", remedy="another name")
        found.setdefault(key, name)

    for quantity in terms_of(statements):
        for name in (v for g in (*quantity.groups, quantity.given) for v in g):
            record(name, random, values)
        for density in (quantity.first, *quantity.second):
            for name in () if density is None else (*density.of, *density.given):
                record(name, values, random)
    for chain in chains:
        for name in (n for g in chain.groups for n in g):
            if values.get(name.casefold()) != name:
                record(name, random, values)
    if len(found) > MAX_VARIABLES:
        raise SpecError(
            f"{len(found)} variables are more than {MAX_VARIABLES}", key="claim", remedy="a claim about fewer variables"
        )
    return list(found.values())
