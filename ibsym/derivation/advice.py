"""Why there is no bound, and what to declare: found by trying, not by rote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import sympy

from ibsym.derivation.model import Computable, Plan
from ibsym.derivation.planning import Planner, estimates, samplers_of
from ibsym.errors import DerivationError, Edit, PlacedError, Remedy, SolverError, SpecError, Way
from ibsym.estimators import ESTIMATORS, ONE_SIDED
from ibsym.facts import Side, Sign
from ibsym.proving.elemental import ElementalInequality, InequalityKind, subsets
from ibsym.spec.families import USUAL, dense
from ibsym.spec.grammar import QuantitySyntax, quantities
from ibsym.spec.graphs import Factor
from ibsym.spec.model import EstimatorUse, Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)
from ibsym.terms.reading import Reader, density
from ibsym.terms.signs import REALS, sign
from ibsym.terms.vectors import Vector, combine

WHENCE = {Side.UPPER: "above", Side.LOWER: "below"}
WIDE, NARROW = 6, 2
"""Beyond how many variables only densities with few conditioners, or with all, are thought of, and how many are few."""
TOGETHER = 3
"""How many parameters are narrowed at once so that a coefficient has a sign."""
TRIED, FEW = 40, 10
"""How many densities are tried one by one before the advice becomes a general one, and how many where each takes a second."""


def no_sign(spec: Spec, coefficient: sympy.Expr, term: Term, sides: tuple[Side, Side | None] | None = None) -> SpecError:
    """The coefficient of a term that needs an inequality has no sign.

    ``sides``: from where the objective is bounded, and the term by its estimator: an interval with which they agree is told first.
    """
    names = sorted((s.name for s in coefficient.free_symbols), key=lambda n: (spec.intervals[n] != REALS, n))
    what = f"the coefficient {coefficient} of {term} may be positive or negative, so no inequality can be used for it"
    for several in range(1, min(len(names), TOGETHER) + 1):
        tried = (dict(zip(c, e, strict=True)) for c in combinations(names, several) for e in product(*_entries(spec, c)))
        known = [(entries, found) for entries in tried if (found := _sign(spec, coefficient, entries)) is not Sign.UNKNOWN]
        agreeing = [(e, found) for e, found in known if sides is not None and sides[0].times(found) is sides[1]]
        if known:
            entries = (agreeing or known)[0][0]
            way = tuple(Edit(("parameters", n), entry) for n, entry in entries.items())
            remedy = Remedy.of(
                way, otherwise="another interval that fixes the sign" if several == 1 else "others that fix the sign"
            )
            return SpecError(what, key=f"parameters.{next(iter(entries))}", remedy=remedy)
    return SpecError(
        what, key=f"parameters.{names[0]}", remedy="intervals that fix the sign, or a sum of terms with one sign each"
    )


def _entries(spec: Spec, names: Iterable[str]) -> Iterator[list[dict[str, float]]]:
    """Entries of parameters that contain their defaults, and end where signs change or at the default, within what they are now."""
    for name in names:
        default, (low, high) = spec.parameters[name].default, spec.intervals[name]
        ends = ((0, None), (None, 0), (0, 1), (1, None), (None, default), (default, None))
        narrowed = [(max(low, REALS[0] if a is None else a), min(high, REALS[1] if b is None else b)) for a, b in ends]
        yield [
            {"default": default} | {k: v for k, v, free in (("min", a, REALS[0]), ("max", b, REALS[1])) if v != free}
            for a, b in dict.fromkeys(narrowed)
            if a <= default <= b
        ]


def _sign(spec: Spec, coefficient: sympy.Expr, entries: Mapping[str, Mapping[str, float]]) -> Sign:
    intervals = {n: (entry.get("min", REALS[0]), entry.get("max", REALS[1])) for n, entry in entries.items()}
    return sign(coefficient, {**spec.intervals, **intervals})


def unused_estimator(
    planner: Planner, use: EstimatorUse, wanted: Term, objective: Expression, terms: Iterable[Term]
) -> SpecError:
    """An estimator that the bound has no place for; ``terms`` are what it might have been meant for."""
    key = f'estimators."{use.key}"'
    without = Edit(("estimators", use.key))
    if use.estimator in ONE_SIDED and objective.coefficient(wanted) != 0:
        side = ONE_SIDED[use.estimator]
        others = [e for e in _estimators(wanted, -side) if ESTIMATORS[e].one_sided is not None]
        return SpecError(
            f"{use.estimator} bounds {wanted} from {WHENCE[side]}, and the objective needs a bound from {WHENCE[-side]}",
            key=key,
            remedy=Remedy(
                "one of " + ", ".join(others) + ", or leave it out" if others else "leave it out",
                *((Edit(("estimators", use.key), e),) for e in others),
                (without,),
            ),
        )
    coordinates = planner.coordinates
    taken = {t for _, t in planner.requested}
    possible = [t for t in dict.fromkeys(terms) if t not in taken and estimates(use.estimator, t)]
    equal = [t for t in possible if coordinates.equal(coordinates.vector(t), coordinates.vector(wanted))]
    chosen = (equal or possible)[:4]
    meant = " or ".join(f'estimators."{t}"' for t in chosen)
    entry = planner.spec.keys["estimators"][use.key]
    kept, left = _expanding(planner.spec, wanted)
    if kept:  # what the expansion would keep has cancelled with what a bound dropped
        told = f"leave it out, and {', '.join(map(repr, kept))} of derivation.expand, which changes nothing"
        way = (without, Edit(("derivation", "expand"), left))
        return SpecError(f"{wanted} cancels, so its estimator has no use", key=key, remedy=Remedy(told, way))
    return SpecError(
        f"{wanted} does not occur in the bound, so its estimator has no use",
        key=key,
        remedy=Remedy(
            f"{meant}, or leave it out" if meant else "leave it out, or name a term that the bound keeps",
            (without,),
            *((without, Edit(("estimators", str(t)), entry)) for t in chosen),
        ),
    )


def _expanding(spec: Spec, wanted: Term) -> tuple[list[str], list[str]]:
    """The expansions that keep a relative entropy, as they were written, and the others."""
    kept: list[str] = []
    left: list[str] = []
    reader, written = Reader(spec, "derivation.expand"), spec.keys.get("derivation", {}).get("expand", ())
    for (quantity, second), text in zip(spec.expansions, written, strict=True):
        entropy, model = reader.term(quantity), reader.density(second)
        mine = isinstance(entropy, Entropy) and wanted == RelativeEntropy(Density(entropy.joint, entropy.of), (model,))
        (kept if mine else left).append(text)
    return kept, left


def _estimators(term: Term, side: Side) -> list[str]:
    """Estimators of a term that need nothing else said and may stand for it from a side: those that bound it from there first."""
    found = [e for e in ESTIMATORS.values() if not e.plain and not any(o.kind in ("density", "size") for o in e.options)]
    fitting = [e for e in found if e.one_sided in (side, None) and estimates(e.name, term)]
    return [e.name for e in sorted(fitting, key=lambda e: (e.side is not side, not e.usual))]


def no_bound(
    planner: Planner, term: Term, coefficient: sympy.Expr, side: Side, plan: Plan | None, helps: Callable[[Term, Way], bool]
) -> PlacedError:
    """The error for a term without a useful bound, with the obstacle and what to change: of what was tried the first that ``helps``."""
    spec = planner.spec
    head = f"no {side.value} bound of {term} can be computed with what was declared (its weight is {coefficient})"
    if plan is not None:
        found = Expression.of(*((x, c.term) for x, c in plan.computed))
        head = f"the only {side.value} bound of {term} is {found}, which nothing that is learned can change"
    wrong = next(
        (
            use
            for use, t in planner.requested
            if t == term and use.estimator in ONE_SIDED and ONE_SIDED[use.estimator] is not side
        ),
        None,
    )
    if wrong is not None:
        return unused_estimator(planner, wrong, term, Expression.of((1, term)), ())
    place = _written(spec, term)
    reasons = []
    sampled = isinstance(term, JensenShannon | FDivergence) or (isinstance(term, TotalCorrelation) and term.coordinatewise)
    blocked = None if sampled else _unevaluated(planner, term, coefficient, side)
    if sampled:
        head += ": it is not a sum of expected log-densities"
    if blocked is not None and blocked.family is not None:
        reasons.append(f"{blocked} is {blocked.family.name} and has no density that can be evaluated")
    discrete = None if sampled else _discrete_only(planner, term, coefficient, side)
    if discrete is not None:
        reasons.append(f"a bound would drop {discrete} >= 0, which holds for discrete variables only")
    tried: Iterator[Remedy] = _remedies(planner, term, coefficient, side, blocked, place)
    remedy = next((r for r in tried if helps(term, r.ways[0])), None)
    if remedy is None:
        remedy = Remedy("another term: no one factor, family or estimator more gives it a bound")
    return DerivationError(head, key="objective", remedy=remedy, reasons=reasons, column=place.column if place else None)


def _written(spec: Spec, term: Term) -> QuantitySyntax | None:
    """Where the objective has a term."""
    reader = Reader(spec, "objective")
    return next((q for q in quantities(spec.objective.expression) if reader.term(q) == term), None)


def _remedies(
    planner: Planner, term: Term, coefficient: sympy.Expr, side: Side, blocked: Factor | None, place: QuantitySyntax | None
) -> Iterator[Remedy]:
    """What might give a term a bound: a family with a density, the term read the other way, a density more, an estimator."""
    spec = planner.spec
    if blocked is not None:
        yield dense(blocked.text, spec.variables[blocked.of[0]].kind)
    turned = MutualInformation(term.joint, term.groups[::-1], term.given) if isinstance(term, MutualInformation) else term
    if turned != term and place is not None and _written(spec, turned) is None:
        old = spec.objective_text[place.column - 1 :]
        old = old[: old.index(")") + 1]
        new = spec.objective_text[: place.column - 1] + str(turned) + spec.objective_text[place.column - 1 + len(old) :]
        yield Remedy(f"{turned} in its place, the same quantity read the other way", (Edit(("objective",), new),))
    wanted = _hypothetical(planner, term, coefficient, side)
    if wanted is not None and len(wanted.of) == 1:
        family = Edit(("families", str(wanted)), USUAL[spec.variables[wanted.of[0]].kind])
        way = (Edit(("joints", wanted.head), str(wanted), more=True), family)
        yield Remedy(f"declare {wanted}: {way[0]}, and {family} or another with a density", way)
    parts = [term]
    if isinstance(term, CrossEntropy):
        parts = [RelativeEntropy(term.first, term.second)]
    for part in parts:
        for name in _estimators(part, side):
            yield Remedy.of((Edit(("estimators", str(part)), name),))


def _useful(plan: Plan | None) -> bool:
    return plan is not None and any(c.learned for _, c in plan.computed)


def _plan(
    planner: Planner,
    term: Term,
    coefficient: sympy.Expr,
    side: Side,
    rows: Sequence[ElementalInequality] = (),
    extra: Sequence[Computable] = (),
    discrete: bool = False,
) -> Plan | None:
    """A plan under other circumstances; where the solver fails there is no advice, and the error stays the first one."""
    try:
        return planner.plan(term, coefficient, side, extra=extra, more=rows, discrete=discrete, widest=WIDE)
    except SolverError:
        return None


@dataclass(frozen=True)
class _Addition:
    """A density that might have been there: what it would let be computed, and the relative entropy to it."""

    of: Factor | Density
    item: Computable
    rows: tuple[ElementalInequality, ...] = ()


def _first(
    planner: Planner, term: Term, coefficient: sympy.Expr, side: Side, additions: Sequence[_Addition]
) -> Factor | Density | None:
    """The first density that alone gives a useful bound. Where all of them together give none, each alone is not tried."""

    def helps(chosen: Sequence[_Addition]) -> bool:
        items = [a.item for a in chosen]
        plan = _plan(planner, term, coefficient, side, [r for a in chosen for r in a.rows], items)
        return plan is not None and _useful(plan) and any(c in items for _, c in plan.computed)

    if not helps(additions):
        return None
    tried = additions[: TRIED if planner.listed else FEW]
    return next((a.of for a in tried if helps([a])), None)


def _unevaluated(planner: Planner, term: Term, coefficient: sympy.Expr, side: Side) -> Factor | None:
    """A declared factor that would give a bound if its density could be evaluated."""
    spec = planner.spec
    (sampler, *_) = samplers_of(term)
    additions = []
    for factor in spec.factors.values():
        inside = {*factor.of, *factor.given} <= set(spec.joints[sampler].variables)
        if factor.family is None or factor.evaluated or factor.empirical or not inside:
            continue
        log = ExpectedLog(sampler, (Density(factor.head, factor.of, factor.given),))
        additions.append(_Addition(factor, Computable(log, planner.coordinates.log_factor(sampler, factor))))
    found = _first(planner, term, coefficient, side, additions)
    return found if isinstance(found, Factor) else None


def _discrete_only(planner: Planner, term: Term, coefficient: sympy.Expr, side: Side) -> Term | None:
    """The entropy or cross-entropy that a bound would drop if every variable were discrete, where that is the only obstacle."""
    spec = planner.spec
    if all(map(spec.discrete, spec.variables)):
        return None
    plan = _plan(planner, term, coefficient, side, discrete=True)
    if not _useful(plan) or plan is None:
        return None
    return next((r.term for _, r in plan.gaps if r.kind in (InequalityKind.ENTROPY, InequalityKind.CROSS_ENTROPY)), None)


def _hypothetical(planner: Planner, term: Term, coefficient: sympy.Expr, side: Side) -> Density | None:
    """A density that was not declared and would give a bound, the smallest first.

    Of an information only densities of its own variables: another's would be a guess at a system that nobody meant.
    """
    spec = planner.spec
    (sampler, *_) = samplers_of(term)
    joint = spec.joints[sampler]
    others = sorted(
        (j for j in spec.joints.values() if j.name != sampler and j.name not in spec.sources), key=lambda j: not j.rooted
    )
    head = others[0].name if others else next((n for n in ("p", "r") if n not in spec.joints), "model")
    match term:
        case MutualInformation(groups=groups):
            targets = [groups[-1], groups[0]]
        case RelativeEntropy(second=second) | CrossEntropy(second=second):
            targets = [d.of for d in second]
        case _:
            targets = []
    own = {v for g in term.groups for v in g} | {*term.given} if isinstance(term, MutualInformation) else {*joint.variables}
    targets += [(v,) for v in joint.variables if (v,) not in targets and v in own]
    declared = {(frozenset(f.of), frozenset(f.given)) for f in spec.factors.values() if f.evaluated and f not in joint.factors}
    additions = []
    for of in targets:
        rest = [v for v in joint.variables if v not in of and v in own]
        for given in subsets(rest):
            if len(rest) > WIDE and NARROW < len(given) < len(rest):
                continue
            if (frozenset(of), frozenset(given)) in declared:
                continue
            model = Density(head, of, given)
            vector: Vector = {("hypothetical", of, given): 1}
            first = density(spec, sampler, of, given)
            gap = combine((1, planner.coordinates.log_density(sampler, first)), (-1, vector))
            row = ElementalInequality(RelativeEntropy(first, (model,)), InequalityKind.RELATIVE_ENTROPY, gap, learned=True)
            additions.append(_Addition(model, Computable(ExpectedLog(sampler, (model,)), vector), (row,)))
    found = _first(planner, term, coefficient, side, additions)
    return found if isinstance(found, Density) else None
