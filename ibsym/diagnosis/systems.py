"""sum c_A t_A = s sum c_B(parameters) t_B: whether a system is another, under names, a scale and values of the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import sympy

from ibsym.diagnosis.coefficients import ascii_text
from ibsym.diagnosis.naming import Naming
from ibsym.terms.measures import Estimate, Term
from ibsym.terms.vectors import Coordinates, Span, Vector

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation

COMPUTED = "computed"
PREFIX = "their_"


@dataclass(frozen=True)
class Item:
    """A term of what is minimised: its vector modulo what is known of the joints, weight, treatment."""

    text: str
    vector: Mapping[Any, Fraction]
    weight: sympy.Expr
    treatment: str
    shown: str

    def same(self, other: Item) -> bool:
        """Whether it is the other's term under the other's treatment."""
        return self.treatment == other.treatment and (self.text == other.text or dict(self.vector) == dict(other.vector))


@dataclass(frozen=True)
class Difference:
    """``what`` is kept, missing, extra, weighted or estimated otherwise; with both weights."""

    what: str
    term: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Match:
    """How a system is another's: the scale, the other's parameters, what differs; ``exact`` where nothing does."""

    name: str
    exact: bool
    naming: Naming
    parameters: Mapping[str, sympy.Expr]
    scale: sympy.Expr
    differences: tuple[Difference, ...]
    families: tuple[str, ...]
    cost: float

    @property
    def special(self) -> bool:
        """Whether the other has parameters that this system holds at numbers."""
        return any(not v.is_Symbol for v in self.parameters.values())


def bare(expression: sympy.Expr, prefix: str = "") -> sympy.Expr:
    """Symbols by name alone."""
    return sympy.sympify(expression).xreplace(
        {s: sympy.Symbol(prefix + s.name) for s in sympy.sympify(expression).free_symbols}
    )


class _Reduced:
    """The vectors of terms modulo every known equation; once for each system of coordinates, whatever it is compared with."""

    _known: ClassVar[WeakKeyDictionary[Coordinates, _Reduced]] = WeakKeyDictionary()

    def __init__(self, coordinates: Coordinates):
        self.span = Span(e.vector for e in coordinates.equations(coordinates.spec.joints))
        self.vectors: dict[Term, Vector] = {}

    @classmethod
    def of(cls, coordinates: Coordinates) -> _Reduced:
        """What is remembered of the coordinates."""
        if coordinates not in cls._known:
            cls._known[coordinates] = cls(coordinates)
        return cls._known[coordinates]

    def vector(self, coordinates: Coordinates, term: Term) -> Vector:
        """A term's vector in these coordinates, which are not kept, so that they can be forgotten."""
        if term not in self.vectors:
            self.vectors[term] = self.span.reduce(coordinates.vector(term))
        return self.vectors[term]


@lru_cache(4096)
def _simple(expression: sympy.Expr) -> sympy.Expr:
    return sympy.simplify(expression)


def _zero(expression: sympy.Expr) -> bool:
    """Whether an expression is 0; most that are show it as they stand."""
    return bool(expression == 0) or bool(_simple(expression) == 0)


def items(derivation: Derivation, naming: Naming, prefix: str = "") -> list[Item]:
    """What a derivation minimises, term by term, in another system's names."""
    sign = -1 if derivation.spec.sense == "maximize" else 1
    reduced = _Reduced.of(derivation.coordinates)
    found: dict[tuple[str, str], Item] = {}
    for bound in derivation.bound:
        term = bound.term.term if isinstance(bound.term, Estimate) else bound.term
        treatment = COMPUTED if bound.estimator in ("closed-form", "sampled") else bound.estimator
        text = str(naming.node(term))
        vector: dict[Any, Fraction] = {}
        for key, value in reduced.vector(derivation.coordinates, term).items():
            name = naming.coordinate(key)
            vector[name] = vector.get(name, Fraction(0)) + Fraction(value)
        weight = bare(sign * bound.coefficient, prefix)
        before = found.get((text, treatment))
        total = weight + (before.weight if before else 0)
        found[text, treatment] = Item(text, vector, total, treatment, bound.estimator)
    return list(found.values())


def matched(ours: Derivation, theirs: Derivation, naming: Naming) -> Match:
    """The other system seen from this one under a naming."""
    mine, other = items(ours, Naming()), items(theirs, naming, PREFIX)
    names = [p for p in theirs.spec.parameters if any(i.weight.has(sympy.Symbol(PREFIX + p)) for i in other)]
    families = tuple(_families(ours, theirs, naming))
    solved = _solved(mine, other, names, theirs)
    if solved is not None:
        scale, values = solved
        return Match(theirs.spec.name, True, naming, values, scale, (), families, 0.1 * len(families) + _dearness(values))
    differences = tuple(_differences(mine, other))
    return Match(
        theirs.spec.name, False, naming, {}, sympy.Integer(1), differences, families, _cost(differences) + 0.1 * len(families)
    )


def solved(mine: Sequence[Item], theirs: Derivation, naming: Naming) -> Match | None:
    """The match of given items with another system, where there is an exact one."""
    other = items(theirs, naming, PREFIX)
    names = [p for p in theirs.spec.parameters if any(i.weight.has(sympy.Symbol(PREFIX + p)) for i in other)]
    found = _solved(mine, other, names, theirs)
    return None if found is None else Match(theirs.spec.name, True, naming, found[1], found[0], (), (), 0.0)


def _dearness(values: Mapping[str, sympy.Expr]) -> float:
    return sum(0.2 if v.is_Symbol else 0.5 if v.is_number else 0.4 for v in values.values())


def _cost(differences: Sequence[Difference]) -> float:
    price = {"kept": 0.0, "weight": 0.6, "estimator": 0.8, "missing": 1.0, "extra": 1.0}
    return 1.0 + sum(price[d.what] for d in differences) - 0.3 * sum(d.what == "kept" for d in differences)


def _solved(
    mine: Sequence[Item], other: Sequence[Item], names: Sequence[str], theirs: Derivation
) -> tuple[sympy.Expr, dict[str, sympy.Expr]] | None:
    """Values of their parameters, and a scale, at which both are one sum; 1 is tried first as the scale."""
    for pairs in (_by_vectors(mine, other), _by_terms(mine, other)):
        if pairs is None:
            continue
        for scale in (sympy.Integer(1), sympy.Symbol("_scale")):
            solution = _solution(pairs, names, scale, theirs)
            if solution is not None:
                return solution
    return None


Pairs = list[tuple[sympy.Expr, sympy.Expr]]


def _by_terms(mine: Sequence[Item], other: Sequence[Item]) -> Pairs | None:
    """Weight against weight, term by term; what they have besides must vanish."""
    pairs: Pairs = []
    left = list(other)
    for item in mine:
        partner = next((o for o in left if item.same(o)), None)
        if partner is None:
            return None
        left.remove(partner)
        pairs.append((item.weight, partner.weight))
    return pairs + [(sympy.Integer(0), o.weight) for o in left]


def _by_vectors(mine: Sequence[Item], other: Sequence[Item]) -> Pairs | None:
    """What is computed counts as one vector; what is estimated term by term."""
    pairs = _by_terms([i for i in mine if i.treatment != COMPUTED], [o for o in other if o.treatment != COMPUTED])
    if pairs is None:
        return None
    totals: dict[Any, list[sympy.Expr]] = {}
    for side, found in enumerate((mine, other)):
        for item in found:
            for key, value in item.vector.items() if item.treatment == COMPUTED else ():
                entry = totals.setdefault(key, [sympy.Integer(0), sympy.Integer(0)])
                entry[side] += item.weight * sympy.Rational(value.numerator, value.denominator)
    return pairs + [(a, b) for a, b in totals.values()]


def _solution(
    pairs: Pairs, names: Sequence[str], scale: sympy.Expr, theirs: Derivation
) -> tuple[sympy.Expr, dict[str, sympy.Expr]] | None:
    symbols = [sympy.Symbol(PREFIX + n) for n in names]
    unknown = [*symbols, *([scale] if scale.is_Symbol else [])]
    equations = [sympy.expand(a - scale * b) for a, b in pairs]
    equations = [e for e in equations if e != 0]
    if not equations:
        return sympy.Integer(1) if not scale.is_Symbol else scale, {}
    if not unknown or any(not e.free_symbols & set(unknown) for e in equations):
        return None
    try:
        solutions = sympy.solve(equations, unknown, dict=True)
    except NotImplementedError:
        return None
    for solution in solutions:
        values = {n: _simple(solution.get(s, s)) for n, s in zip(names, symbols, strict=True)}
        values = {n: _default(theirs, n) if v.has(*symbols) else v for n, v in values.items()}
        size = solution.get(scale, sympy.Integer(1)) if scale.is_Symbol else scale
        checked = {s: values[n] for n, s in zip(names, symbols, strict=True)} | ({scale: size} if scale.is_Symbol else {})
        if not all(_zero(e.subs(checked)) for e in equations):
            continue
        if _inside(theirs, values) and size != 0 and not size.could_extract_minus_sign():
            return size, values
    return None


def _default(theirs: Derivation, name: str) -> sympy.Expr:
    return sympy.nsimplify(theirs.spec.parameters[name].default)


def _inside(theirs: Derivation, values: Mapping[str, sympy.Expr]) -> bool:
    for name, value in values.items():
        if not value.is_number:
            continue
        entry = theirs.spec.parameters[name]
        low = -float("inf") if entry.min is None else entry.min
        high = float("inf") if entry.max is None else entry.max
        if not value.is_real or not low <= float(value) <= high:
            return False
    return True


def _differences(mine: Sequence[Item], other: Sequence[Item]) -> list[Difference]:
    """Term by term: kept by both, weighed or estimated otherwise, only here, only there."""
    found: list[Difference] = []
    left = list(other)
    for item in mine:
        partner = next((o for o in left if item.same(o)), None)
        loose = next((o for o in left if item.text == o.text or dict(item.vector) == dict(o.vector)), None)
        ours = f"{ascii_text(item.weight)} ({item.shown})"
        if partner is not None or loose is not None:
            chosen = partner or loose
            assert chosen is not None
            left.remove(chosen)
            theirs = f"{shown(chosen.weight)} ({chosen.shown})"
            names = {sympy.Symbol(s.name.removeprefix(PREFIX)) for s in chosen.weight.free_symbols}
            alike = (bool(names) and bool(item.weight.free_symbols)) or _zero(item.weight - chosen.weight)
            what = "estimator" if partner is None else "kept" if alike else "weight"
            found.append(Difference(what, item.text, ours, theirs))
        else:
            found.append(Difference("extra", item.text, ours, "-"))
    return found + [Difference("missing", o.text, "-", f"{shown(o.weight)} ({o.shown})") for o in left]


def shown(weight: sympy.Expr) -> str:
    """A weight of theirs, their parameters by their own names."""
    return ascii_text(weight.xreplace({s: sympy.Symbol(s.name.removeprefix(PREFIX)) for s in weight.free_symbols}))


def _families(ours: Derivation, theirs: Derivation, naming: Naming) -> list[str]:
    """Factors of one place whose families differ."""
    mine = {Naming().factor(t): f for t, f in ours.spec.factors.items()}
    found = []
    for text, factor in theirs.spec.factors.items():
        here = mine.get(naming.factor(text))
        if (
            here is not None
            and factor.family is not None
            and here.family is not None
            and here.family.name != factor.family.name
        ):
            found.append(f"{here.text} is {here.family.name} in place of {factor.family.name}")
    return found
