"""term -> I_q(X;Z), E_{q(x)} D_KL(q(z|x) ‖ p(z)), ... as boxes: every renderer takes its notation from here.

Total over the term nodes: a new node does not type-check until it has a notation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

import sympy

from ibsym.derivation.model import Note, SurrogateTerm
from ibsym.facts import Relation
from ibsym.rendering.boxes import Accent, Box, Fence, Hat, Letter, Mark, Number, Quotient, Row, Script, Style, Word, joined, row
from ibsym.spec.graphs import Factor
from ibsym.spec.spaces import Space
from ibsym.spec.variables import capitalised
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Term,
    TotalCorrelation,
    Weighted,
)
from ibsym.terms.premises import Discrete, Independent, Irrelevant, Nonnegative, Premise, SharedFactor

_SPELLED = """alpha beta gamma delta epsilon zeta eta theta iota kappa mu nu xi pi rho sigma tau upsilon phi chi psi omega lam
Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"""
GREEK = dict(zip(_SPELLED.split(), "αβγδϵζηθικμνξπρστυϕχψωλΓΔΘΛΞΠΣΥΦΨΩ", strict=True))
HATS = {"hat": Hat.HAT, "tilde": Hat.TILDE, "bar": Hat.BAR}
RELATIONS = {Relation.EQ: Mark.EQ, Relation.LE: Mark.LE, Relation.GE: Mark.GE, Relation.APPROX: Mark.APPROX}


def name(text: str, style: Style = Style.ITALIC) -> Box:
    """A name from a spec: one letter, a Greek letter, a letter with an index, a letter with a hat, else a word.

    >>> name("z"), name("lam")
    (Letter(text='z'), Letter(text='λ'))
    >>> name("x2")
    Script(base=Letter(text='x'), sub=Number(text='2'), sup=None)
    """
    if len(text) == 1:
        return Letter(text)
    if text in GREEK:
        return Letter(GREEK[text])
    parts = text.split("_")
    if len(parts) > 1 and all(parts):
        indices = joined(Mark.COMMA, tuple(_index(p) for p in parts[1:]))
        base = name(parts[0], style)
        if isinstance(base, Script) and base.sub is not None:
            return Script(base.base, joined(Mark.COMMA, (base.sub, indices)))
        return Script(base, indices)
    indexed = re.fullmatch(r"([A-Za-z]+?)(\d+)", text)
    if indexed and (len(indexed[1]) == 1 or indexed[1] in GREEK or _hat(indexed[1])):
        return Script(name(indexed[1], style), Number(indexed[2]))
    hatted = _hat(text)
    if hatted:
        return Accent(HATS[hatted[2]], Letter(hatted[1]))
    return Word(text, style)


def _hat(text: str) -> re.Match[str] | None:
    return re.fullmatch(r"([A-Za-z])(hat|tilde|bar)", text)


def _index(text: str) -> Box:
    return Number(text) if text.isdigit() else name(text, Style.UPRIGHT)


def value(variable: str) -> Box:
    """A variable's value: ``z1`` is z with index 1."""
    return name(variable)


def random(variable: str) -> Box:
    """The random variable: ``z1`` is Z with index 1."""
    return name(capitalised(variable))


def head(text: str) -> Box:
    """A joint's or source's name as a density; the data's own is p with index data."""
    return Script(Letter("p"), Word("data", Style.UPRIGHT)) if text == "data" else name(text, Style.UPRIGHT)


def subscript(joint: str) -> Box:
    """A joint's name under a quantity."""
    return name(joint, Style.UPRIGHT)


def _listed(names: tuple[str, ...], spell: Callable[[str], Box] = value) -> Box:
    return joined(Mark.COMMA, tuple(map(spell, names)))


def _conditioned(body: Box, given: tuple[str, ...], spell: Callable[[str], Box] = value) -> Box:
    return row(body, Mark.GIVEN, _listed(given, spell)) if given else body


def law(who: str, of: tuple[str, ...], given: tuple[str, ...] = ()) -> Box:
    """r(a|b)."""
    return row(head(who), Fence("()", _conditioned(_listed(of), given)))


def density(item: Density | Factor) -> Box:
    """A density; for a mixture its components with their weights, if there are several."""
    if isinstance(item, Factor) and len(item.components) == 1:
        return law(item.components[0].joint, item.components[0].of)
    if isinstance(item, Factor) and item.components:
        parts = [row(number(sympy.Rational(c.weight)), Mark.THIN, law(c.joint, c.of)) for c in item.components]
        return Fence("()", joined(Mark.PLUS, tuple(parts)))
    return law(item.head, item.of, item.given)


def product(items: tuple[Density, ...] | tuple[Factor, ...]) -> Box:
    """Densities side by side."""
    return joined(Mark.THIN, tuple(density(i) for i in items))


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of a quantity: what it is averaged over, its letter with indices, its arguments."""

    symbol: Box
    arguments: tuple[Box, ...]
    sub: Box | None = None
    sup: Box | None = None
    prefix: tuple[Box, ...] = ()

    @property
    def box(self) -> Box:
        """The parts together."""
        letter = self.symbol if self.sub is None and self.sup is None else Script(self.symbol, self.sub, self.sup)
        return row(*self.prefix, letter, *self.arguments)


def _averaged(first: Density, second: tuple[Density, ...]) -> tuple[Box, ...]:
    """The expectation that a conditional divergence stands under."""
    extra = [v for d in second for v in d.given if v not in first.scope]
    over = (*first.given, *dict.fromkeys(extra))
    return (Script(Mark.EXPECTATION, law(first.head, over)), Mark.THIN) if over else ()


def _versus(first: Density, second: tuple[Density, ...]) -> Box:
    return Fence("()", row(density(first), Mark.AGAINST, product(second)))


def _information(symbol: Box, joint: str, groups: tuple[tuple[str, ...], ...], given: tuple[str, ...]) -> Anatomy:
    body = joined(Mark.SEMICOLON, tuple(_listed(g, random) for g in groups))
    return Anatomy(symbol, (Fence("()", _conditioned(body, given, random)),), subscript(joint))


def anatomy(item: Term) -> Anatomy:
    """The parts of a term, by its kind."""
    match item:
        case Entropy(joint, of, given):
            return _information(Mark.ENTROPY, joint, (of,), given)
        case MutualInformation(joint, groups, given):
            return _information(Mark.INFORMATION, joint, groups, given)
        case TotalCorrelation(joint, groups, given):
            return _information(Mark.TC, joint, groups, given)
        case RelativeEntropy(first, second):
            return Anatomy(Mark.DIVERGENCE, (_versus(first, second),), Mark.KL, prefix=_averaged(first, second))
        case CrossEntropy(first, second):
            return Anatomy(Mark.CE, (_versus(first, second),), prefix=_averaged(first, second))
        case JensenShannon(first, second):
            return Anatomy(Mark.JS, (_versus(first, second),))
        case FDivergence(generator, first, second):
            return Anatomy(Mark.DIVERGENCE, (_versus(first, second),), Word(generator, Style.TEXT))
        case ExpectedLog(joint, second):
            return Anatomy(Mark.EXPECTATION, (Fence("[]", row(Mark.LOG, product(second))),), subscript(joint))
        case Estimate(inner, estimator):
            parts = anatomy(inner)
            labels: tuple[Box, ...] = (Word(estimator, Style.TEXT), *(() if parts.sup is None else (parts.sup,)))
            return replace(parts, symbol=Accent(Hat.WIDE, parts.symbol), sup=joined(Mark.COMMA, labels))
        case Slack():
            return Anatomy(Fence("()", row(term(item.high), Mark.MINUS, term(item.low))), ())
    assert_never(item)


def term(item: Term) -> Box:
    """A term in the notation of the field."""
    return anatomy(item).box


def number(x: sympy.Rational | int) -> Box:
    """A rational number, its sign in front."""
    x = sympy.Rational(x)
    digits = Number(str(abs(x.p)))
    size: Box = digits if x.q == 1 else Quotient(digits, Number(str(x.q)))
    return row(Mark.NEGATIVE, size) if x < 0 else size


def coefficient(x: sympy.Expr) -> Box:
    """A coefficient over the spec's parameters.

    >>> coefficient(sympy.Symbol("beta"))
    Letter(text='β')
    """
    match x:
        case sympy.Rational():
            return number(x)
        case sympy.Symbol():
            return name(x.name)
        case sympy.Add():
            ordered = x.as_ordered_terms()
            parts: list[Box] = [coefficient(ordered[0])]
            for part in ordered[1:]:
                negative = part.could_extract_minus_sign()
                parts += [Mark.MINUS if negative else Mark.PLUS, coefficient(-part if negative else part)]
            return Row(tuple(parts))
        case sympy.Mul() if x.could_extract_minus_sign():
            return row(Mark.NEGATIVE, _factor(-x))
        case sympy.Mul():
            over, under = x.as_numer_denom()
            if under != 1:
                rational, rest = x.as_coeff_Mul()
                if rational != 1 and rational.q != 1 and rest.as_numer_denom()[1] == 1:
                    return joined(Mark.THIN, (number(rational), _factor(rest)))
                return Quotient(coefficient(over), coefficient(under))
            return joined(Mark.THIN, tuple(_factor(f) for f in x.as_ordered_factors()))
        case sympy.Pow() if x.exp.is_Rational and x.exp < 0:
            return Quotient(Number("1"), coefficient(1 / x))
        case sympy.Pow():
            return Script(_factor(x.base, power=True), None, coefficient(x.exp))
        case sympy.Float():
            return Number(f"{float(x):g}")
    raise TypeError(f"a coefficient is arithmetic in numbers and parameters, not {x!r}")


def _factor(x: sympy.Expr, *, power: bool = False) -> Box:
    """A coefficient as a factor of a product: sums in brackets, and whatever is no single letter under a power."""
    box = coefficient(x)
    return Fence("()", box) if x.is_Add or (power and not (x.is_Symbol or (x.is_Integer and x >= 0))) else box


def weighted(part: Weighted, *, first: bool) -> Box:
    """``- beta I``: a term with its sign and coefficient; the first of a sum has a sign only if it is negative."""
    negative, size = part.split()
    factor: tuple[Box, ...] = () if size == 1 else (_factor(size), Mark.THIN)
    sign: tuple[Box, ...] = ((Mark.NEGATIVE if first else Mark.MINUS),) if negative else (() if first else (Mark.PLUS,))
    return row(*sign, *factor, term(part.term))


def surrogate(item: SurrogateTerm) -> Box:
    """``0.25 commitment[q(z|x)]``: what the loss adds, with its weight."""
    size = abs(item.coefficient)
    factor: tuple[Box, ...] = () if size == 1 else (_factor(size), Mark.THIN)
    sign = (Mark.NEGATIVE,) if item.coefficient.is_negative else ()
    name_of = item.text.split("[")[0]
    return row(*sign, *factor, Word(name_of, Style.TEXT), Fence("[]", density(item.density)))


def pieces(expression: Expression) -> tuple[Box, ...]:
    """An expression term by term, signs included; zero is one piece."""
    parts = tuple(weighted(part, first=i == 0) for i, part in enumerate(expression))
    return parts or (Number("0"),)


def expression(item: Expression) -> Box:
    """A sum of terms."""
    return row(*pieces(item))


def joint(who: str, variables: tuple[str, ...], factors: tuple[Factor, ...], rooted: bool) -> Box:
    """q(x,z) = data(x) q(z|x); a set of conditionals without a root is listed."""
    if not rooted:
        return joined(Mark.COMMA, tuple(density(f) for f in factors))
    if len(factors) == 1 and factors[0].head == who and not factors[0].components:
        return density(factors[0])
    return row(law(who, variables), Mark.EQ, product(factors))


def space(item: Space) -> Box:
    """The set that a space is: real[D] as R^D."""
    dims = joined(Mark.TIMES, tuple(Number(d) if d.isdigit() else name(d) for d in item.dims))
    match item.kind:
        case "real":
            return Script(Mark.REALS, None, dims)
        case "binary":
            return Script(Fence("{}", joined(Mark.COMMA, (Number("0"), Number("1")))), None, dims)
        case "unit":
            return Script(Fence("[]", joined(Mark.COMMA, (Number("0"), Number("1")))), None, dims)
        case "positive":
            return Script(Fence("()", joined(Mark.COMMA, (Number("0"), Mark.INFINITY))), None, dims)
        case "count":
            return Script(Mark.COUNTS, Number("0"), dims)
        case "simplex":
            return Script(Mark.SIMPLEX, None, row(dims, Mark.MINUS, Number("1")))
        case "sphere":
            return Script(Mark.SPHERE, None, row(dims, Mark.MINUS, Number("1")))
        case "categorical":
            classes, *event = (Number(d) if d.isdigit() else name(d) for d in item.dims)
            values = Fence("{}", joined(Mark.COMMA, (Number("1"), Mark.DOTS, classes)))
            return Script(values, None, joined(Mark.TIMES, tuple(event))) if event else values
    assert_never(item.kind)


Phrase: TypeAlias = tuple[Box | str, ...]
"""Running text with mathematics in it."""


def _randoms(names: tuple[str, ...]) -> Box:
    return _listed(names, random)


def premise(item: Premise) -> Phrase:
    """What a step rests on, in words and mathematics.

    >>> premise(Discrete("x", Space.parse("binary[D]")))
    (Letter(text='X'), ' is discrete (binary[D])')
    """
    match item:
        case Independent(a, b, given, who) if given:
            return joined(Mark.CHAIN, (_randoms(a), _randoms(given), _randoms(b))), " in ", head(who)
        case Independent(a, b, _, who):
            return _randoms(a), " and ", _randoms(b), " independent in ", head(who)
        case Irrelevant(d, further):
            condition: Phrase = (" given ", _listed(d.given)) if d.given else ()
            return _listed(d.of), " independent of ", _listed(further), *condition, " in ", head(d.head)
        case SharedFactor(factor, who):
            return density(factor), " is a factor of ", head(who)
        case Nonnegative(dropped) if item.discrete:
            return ("its variables discrete",)
        case Nonnegative(dropped):
            return (row(term(dropped), Mark.GE, Number("0")),)
        case Discrete(variable, where):
            return random(variable), f" is discrete ({where})"
    assert_never(item)


def note(item: Note) -> Phrase:
    """What is said of a step besides, its densities and terms as mathematics."""
    return tuple(p if isinstance(p, str) else density(p) if isinstance(p, Density) else term(p) for p in item.parts)
