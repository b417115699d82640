"""Plans: the cheapest computable bound of one term, found by linear programming and kept as an exact certificate.

The order of preference: (1) multipliers of dropped informations, entropies and cross-entropies, (2) sizes of computable terms
that are no densities of the information term's second argument, (3) multipliers of relative entropies to conditionals without
a learned factor, (4) of those to learned ones, then one fixed order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import assert_never

import sympy

from ibsym.derivation.critics import refuse_undrawable
from ibsym.derivation.fitted import fitted
from ibsym.derivation.model import Computable, Plan
from ibsym.derivation.programs import TIER_2, Found, Widening, priced, undominated, used
from ibsym.errors import Edit, Remedy, SolverError, SpecError
from ibsym.estimators import ESTIMATORS, ONE_SIDED
from ibsym.estimators.base import Drawn
from ibsym.facts import Side
from ibsym.proving.elemental import ElementalInequality, elemental_rows, estimator_row, subsets
from ibsym.proving.program import solve
from ibsym.spec.graphs import Factor
from ibsym.spec.model import EstimatorUse, Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Term,
    TotalCorrelation,
)
from ibsym.terms.reading import Reader
from ibsym.terms.vectors import Coordinates, Equation, Span, combine

MAX_JOINTS, MAX_SIZE = 16, 200_000
LISTED = 800
"""Up to which size of a spec every row and every equation is written down: half a second at two joints of seven variables."""
FEW, SUBSETS, PAIR = 7, 8, 2
"""Up to how many variables of fixed law all conditional entropies are offered as constants, and all joint ones; beyond, of how many."""


def refuse_large(spec: Spec) -> None:
    """Arrays of contexts grow with sum n 2^n over the joints of n variables: about two seconds at three joints of twelve."""
    sizes = [len(j.variables) for j in spec.joints.values() if j.rooted or len(j.factors) > 1]
    if len(spec.joints) > MAX_JOINTS or sum(n << min(n, 60) for n in sizes) > MAX_SIZE:
        raise SpecError(
            f"{len(spec.joints)} joints of up to {max(sizes, default=0)} variables are too much for a derivation",
            key="joints",
            remedy=f"at most twelve variables in four joints, ten in sixteen; at most {MAX_JOINTS} joints",
        )


def samplers_of(term: Term) -> tuple[str, ...]:
    """The joints that a term is an expectation under."""
    match term:
        case Entropy(joint=joint) | MutualInformation(joint=joint) | TotalCorrelation(joint=joint) | ExpectedLog(joint=joint):
            return (joint,)
        case RelativeEntropy(first=first) | CrossEntropy(first=first) | JensenShannon(first=first) | FDivergence(first=first):
            return (first.head,)
        case Estimate(term=inner) | Slack(estimate=inner):
            return samplers_of(inner)
    assert_never(term)


KINDS: dict[str, type] = {
    "KL": RelativeEntropy,
    "I": MutualInformation,
    "TC": TotalCorrelation,
    "JS": JensenShannon,
    "F": FDivergence,
    "E": ExpectedLog,
}
"""Kinds of terms that have estimators, as specs write them."""


def estimates(estimator: str, term: Term) -> bool:
    """Whether an estimator is one of such terms: of informations of two groups; of conditional ones, if it has a critic."""
    critic = ESTIMATORS[estimator].critic is not None
    match term:
        case _ if ESTIMATORS[estimator].plain:
            plain = True
        case MutualInformation(groups=groups, given=given):
            plain = len(groups) == 2 and (critic or not given)
        case TotalCorrelation(given=given):
            plain = not given
        case RelativeEntropy(first, second):
            plain = critic or (not first.given and not any(d.given for d in second))
        case ExpectedLog(_, second):
            plain = len(second) == 1
        case _:
            plain = True
    return plain and isinstance(term, tuple(KINDS[k] for k in ESTIMATORS[estimator].estimates))


def _of_classes(spec: Spec, estimator: str, term: Term) -> bool:
    """Whether an estimator counts classes, and the term's variables have none."""
    if ESTIMATORS[estimator].drawn is not Drawn.CONDITIONERS or not isinstance(term, RelativeEntropy):
        return False
    return any(spec.variables[v].kind != "categorical" for v in term.first.of)


def requested_term(spec: Spec, use: EstimatorUse) -> Term:
    """The term that an entry names, if the estimator estimates such terms."""
    key = f'estimators."{use.key}"'
    term = Reader(spec, key).term(use.term)
    if not estimates(use.estimator, term):
        example = ESTIMATORS[use.estimator].example
        # an entry that is left out changes no objective; another estimator that fits does neither
        known = [n for n, e in ESTIMATORS.items() if not e.plain and not any(o.kind in ("density", "size") for o in e.options)]
        fitting = [n for n in known if estimates(n, term) and not _of_classes(spec, n, term)]
        fitting.sort(key=lambda n: (not ESTIMATORS[n].usual, ESTIMATORS[n].mixture is not None))
        ways = [(Edit(("estimators", use.key), n),) for n in fitting] or [(Edit(("estimators", use.key)),)]
        others = ("one of " if len(fitting) > 1 else "") + ", ".join(fitting) if fitting else "leave it out"
        what = f"{use.estimator} does not estimate {term}, but terms such as {example}"
        raise SpecError(what, key=key, remedy=Remedy(others, *ways))
    if ESTIMATORS[use.estimator].critic is not None:
        refuse_undrawable(spec, term, key)
    if use.model == "nwj" and (isinstance(term, JensenShannon) or (isinstance(term, FDivergence) and term.generator != "kl")):
        what = f"the model side 'nwj' is -E_Q[e^f], the dual of a relative entropy, and {term} is none"
        raise SpecError(what, key=key, remedy='model = "value" or "non-saturating", or leave it out')
    return term


def same_reading(a: Term, b: Term) -> bool:
    """Whether two terms are written alike, up to the joints' names and to the order of variables inside of a group."""
    match a, b:
        case MutualInformation(), MutualInformation():
            return [set(g) for g in a.groups] == [set(g) for g in b.groups] and {*a.given} == {*b.given}
        case TotalCorrelation(), TotalCorrelation():
            return {frozenset(g) for g in a.groups} == {frozenset(g) for g in b.groups} and {*a.given} == {*b.given}
    return type(a) is type(b)


class Planner:
    """Plans the terms of one spec; remembers rows, equations and computable terms per set of samplers."""

    def __init__(self, spec: Spec):
        refuse_large(spec)
        self.spec = spec
        self.coordinates = Coordinates(spec)
        self._rows: dict[tuple[tuple[str, ...], bool], list[ElementalInequality]] = {}
        self._large = Widening(self.coordinates)
        self._equations: dict[tuple[str, ...], list[Equation]] = {}
        self._spans: dict[tuple[str, ...], Span] = {}

    @cached_property
    def requested(self) -> tuple[tuple[EstimatorUse, Term], ...]:
        """The terms that the spec names an estimator for, each once."""
        found: dict[Term, EstimatorUse] = {}
        for use in self.spec.estimators:
            term = requested_term(self.spec, use)
            if term in found:
                what = f"{found[term].key!r} and {use.key!r} are one term, which has one estimator"
                raise SpecError(what, key=f'estimators."{use.key}"', remedy="one entry a term")
            found[term] = use
        return tuple((use, term) for term, use in found.items())

    @cached_property
    def fitted(self) -> dict[Term, Density]:
        """The declared densities that players of their own fit, by the terms that they serve."""
        found = ((wanted, fitted(self.spec, use, wanted)) for use, wanted in self.requested)
        return {wanted: d for wanted, d in found if d is not None}

    @property
    def listed(self) -> bool:
        """Whether the spec is small enough for every row and equation to be written down."""
        return self.coordinates.size <= LISTED

    def rows(self, samplers: tuple[str, ...], discrete: bool = False) -> list[ElementalInequality]:
        """The elemental inequalities of some samplers' coordinates, once; ``discrete``: as if every variable were."""
        key = samplers, discrete
        if key not in self._rows:
            self._rows[key] = elemental_rows(Coordinates(self.spec.all_discrete()) if discrete else self.coordinates, samplers)
        return self._rows[key]

    def equations(self, samplers: tuple[str, ...]) -> list[Equation]:
        """The equations that the samplers' graphs imply, once."""
        if samplers not in self._equations:
            self._equations[samplers] = self.coordinates.equations(samplers)
        return self._equations[samplers]

    def span(self, samplers: tuple[str, ...]) -> Span:
        """The span of those equations, once."""
        if samplers not in self._spans:
            self._spans[samplers] = Span(e.vector for e in self.equations(samplers))
        return self._spans[samplers]

    def learned_law(self, sampler: str, scope: Iterable[str]) -> bool:
        """Whether the sampler's distribution of these variables depends on a learned factor."""
        names = set(scope)
        return any(f.learned for _, part in self.coordinates.samplers(sampler) for f in part.ancestral_factors(names))

    def serves(self, wanted: Term, term: Term, samplers: tuple[str, ...]) -> bool:
        """Whether the estimate of ``wanted`` may occur in the bound of ``term``: not if it is the same quantity under another name.

        I(A;B) and I(B;A) are read through different variables, and an entry for one says nothing of the other.
        """
        if same_reading(wanted, term):
            return True
        try:
            difference = combine((1, self.coordinates.vector(wanted)), (-1, self.coordinates.vector(term)))
        except SpecError:
            return True
        return bool(self.span(samplers).reduce(difference)) if self.listed else not self.coordinates.equal(difference, {})

    def computables(self, term: Term, samplers: tuple[str, ...]) -> list[Computable]:
        """What can be computed under the samplers: estimators, constants, densities of declared factors; each law once."""
        found: dict[frozenset[object], Computable] = {}

        def record(item: Computable) -> None:
            if item.vector:
                found.setdefault(frozenset(item.vector.items()), item)

        for use, wanted in self.requested:
            if ESTIMATORS[use.estimator].plain or not self.serves(wanted, term, samplers):
                continue
            if use.estimator in ONE_SIDED and wanted not in self.fitted:
                estimate = Estimate(wanted, use.estimator)
                record(Computable(estimate, self.coordinates.vector(estimate), estimated=True))
            else:
                record(Computable(wanted, self.coordinates.vector(wanted), estimated=True))
        second = frozenset(term.groups[-1]) if isinstance(term, MutualInformation) else None

        def cost(of: Iterable[str]) -> float:
            return 0.0 if second is None or set(of) <= second else TIER_2

        for sampler in samplers:
            variables = self.spec.joints[sampler].variables
            fixed = [v for v in variables if not self.learned_law(sampler, (v,))]
            players = {str(d) for d in self.fitted.values()}
            for of, given in self._choices(fixed):
                if not self.learned_law(sampler, (*of, *given)):
                    entropy = Entropy(sampler, of, given)
                    record(Computable(entropy, self.coordinates.vector(entropy), cost(of), learned=False, constant=True))
            for factor in self.spec.factors.values():
                if factor.evaluated and factor.text not in players and {*factor.of, *factor.given} <= set(variables):
                    record(self._evaluated(sampler, factor, cost(factor.of)))
        return list(found.values())

    def _choices(self, fixed: Sequence[str]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Sets of variables with sets of others, of which the entropies may be constants: all, as long as these are few."""
        most = len(fixed) if len(fixed) <= SUBSETS else PAIR
        scopes = [{*f.of, *f.given} for f in self.spec.factors.values()]
        natural = {tuple(v for v in fixed if v in scope) for scope in (*scopes, {*fixed})}
        for of in subsets(fixed):
            if of and (len(of) <= most or of in natural):
                for given in subsets(v for v in fixed if v not in of):
                    if not given or len(fixed) <= FEW or len(of) + len(given) <= PAIR:
                        yield of, given

    def _evaluated(self, sampler: str, factor: Factor, cost: float) -> Computable:
        owner = (
            factor.head
            if factor.head in self.spec.joints
            else next(j.name for j in self.spec.joints.values() if factor in j.factors)
        )
        term = ExpectedLog(sampler, (Density(owner, factor.of, factor.given),))
        learned = factor.learned or self.learned_law(sampler, (*factor.of, *factor.given))
        return Computable(term, self.coordinates.log_factor(sampler, factor), cost, learned, constant=not learned)

    def plan(
        self,
        term: Term,
        weight: sympy.Expr,
        side: Side | None,
        *,
        extra: Sequence[Computable] = (),
        more: Sequence[ElementalInequality] = (),
        discrete: bool = False,
        widest: float = float("inf"),
    ) -> Plan | None:
        """The cheapest plan: an upper bound, a lower one, or an equality where ``side`` is None. None if there is none.

        ``extra`` and ``more`` are what might have been there, ``discrete`` as if every variable were: for advice, which looks no
        further than the first ``widest`` variables of a large spec.
        """
        samplers = self.coordinates.connected(samplers_of(term))
        items = [*self.computables(term, samplers), *extra]
        requested = [estimator_row(self.coordinates, c.term) for c in items if isinstance(c.term, Estimate)]
        given = [] if side is None else [*requested, *more]
        way = side or Side.UPPER
        try:
            if self.listed:
                cone = [] if side is None else [*given, *self.rows(samplers, discrete)]
                with suppress(SolverError):
                    found = self._at_once(term, way, cone, items, samplers)
                    return None if found is None else Plan(term, weight, way, *found)
            found = self._large.plan(term, way, given, items, samplers, discrete, side is not None, widest)
        except SolverError as error:
            raise type(error)(f"{term}: {error}") from None
        return None if found is None else Plan(term, weight, way, *found)

    def _at_once(
        self,
        term: Term,
        side: Side,
        cone: Sequence[ElementalInequality],
        items: Sequence[Computable],
        samplers: tuple[str, ...],
    ) -> Found | None:
        """The program with every row and every equation in it."""
        equations = self.equations(samplers)
        target = self.coordinates.vector(term)
        columns = priced(side.sign, cone, items, equations)
        answer = solve(target, columns)
        if answer is None:
            return None
        if cone:
            zero = [e.vector for e in equations]
            answer = undominated(target, [r.vector for r in cone], items, zero, columns, answer, self.span(samplers))
        return used(answer, cone, items, equations)
