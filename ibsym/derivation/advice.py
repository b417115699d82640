"""Why there is no bound, and what to declare: found by trying, not by rote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy

from ibsym.derivation.model import Computable, Plan
from ibsym.derivation.planning import Planner, estimates, samplers_of
from ibsym.errors import DerivationError, IbsymError, SolverError, SpecError
from ibsym.estimators import ONE_SIDED
from ibsym.facts import Side
from ibsym.proving.elemental import Row, RowKind, subsets
from ibsym.spec.graphs import Factor
from ibsym.spec.model import EstimatorUse, Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)
from ibsym.terms.reading import density
from ibsym.terms.signs import REALS
from ibsym.terms.vectors import Vector, combine

WHENCE = {Side.UPPER: "above", Side.LOWER: "below"}
WIDE, NARROW = 6, 2
"""Beyond how many variables only densities with few conditioners, or with all, are thought of, and how many are few."""
TRIED, FEW = 40, 10
"""How many densities are tried one by one before the advice becomes a general one, and how many where each takes a second."""


def no_sign(spec: Spec, coefficient: sympy.Expr, term: Term) -> SpecError:
    """The coefficient of a term that needs an inequality has no sign."""
    names = sorted(s.name for s in coefficient.free_symbols)
    open_ones = [n for n in names if spec.intervals[n] == REALS] or names
    default = f"{spec.parameters[open_ones[0]].default:g}"
    return SpecError(
        f"the coefficient {coefficient} of {term} may be positive or negative, so no inequality can be used for it",
        key=f"parameters.{open_ones[0]}",
        remedy=f"{open_ones[0]} = {{ default = {default}, min = 0 }}, or another interval that fixes the sign",
    )


def unused_estimator(
    planner: Planner, use: EstimatorUse, wanted: Term, objective: Expression, terms: Iterable[Term]
) -> SpecError:
    """An estimator that the bound has no place for; ``terms`` are what it might have been meant for."""
    key = f'estimators."{use.key}"'
    if use.estimator in ONE_SIDED and objective.coefficient(wanted) != 0:
        side = ONE_SIDED[use.estimator]
        others = [n for n, other in ONE_SIDED.items() if other is not side and n != "iwae"]
        return SpecError(
            f"{use.estimator} bounds {wanted} from {WHENCE[side]}, and the objective needs a bound from {WHENCE[-side]}",
            key=key,
            remedy="leave it out" if use.estimator == "iwae" else "one of " + ", ".join(others),
        )
    coordinates = planner.coordinates
    taken = {t for _, t in planner.requested}
    possible = [t for t in dict.fromkeys(terms) if t not in taken and estimates(use.estimator, t)]
    equal = [t for t in possible if coordinates.equal(coordinates.vector(t), coordinates.vector(wanted))]
    meant = " or ".join(f'estimators."{t}"' for t in (equal or possible)[:4])
    return SpecError(
        f"{wanted} does not occur in the bound, so its estimator has no use",
        key=key,
        remedy=f"{meant}, or leave it out" if meant else "leave it out, or name a term that the bound keeps",
    )


def no_bound(planner: Planner, term: Term, coefficient: sympy.Expr, side: Side, plan: Plan | None) -> IbsymError:
    """The error for a term without a useful bound, with the obstacle and the factor to declare."""
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
    if isinstance(term, JensenShannon | FDivergence) or (isinstance(term, TotalCorrelation) and term.coordinatewise):
        name = {JensenShannon: "logistic", FDivergence: "dual"}.get(type(term), "minibatch-weighted")
        return DerivationError(f'{head}: it is not a sum of expected log-densities\n  write: estimators."{term}" = "{name}"')
    reasons = []
    blocked = _unevaluated(planner, term, coefficient, side)
    if blocked is not None and blocked.family is not None:
        reasons.append(f"{blocked} is {blocked.family.name} and has no density that can be evaluated")
    discrete = _discrete_only(planner, term, coefficient, side)
    if discrete is not None:
        reasons.append(f"a bound would drop {discrete} >= 0, which holds for discrete variables only")
    wanted = None if blocked is not None else _hypothetical(planner, term, coefficient, side)
    if blocked is not None:
        remedy = f'families."{blocked}" = "diagonal-normal", or another family with a density'
    elif wanted is not None:
        remedy = f'declare {wanted}: joints.{wanted.head} = "... {wanted}", and families."{wanted}" = a family with a density'
    else:
        remedy = f"an estimator for {term}, or for a relative entropy that it decomposes into"
    reason = "".join(f"\n  {r}" for r in reasons)
    return DerivationError(f"{head}{reason}\n  write: {remedy}")


def _useful(plan: Plan | None) -> bool:
    return plan is not None and any(c.learned for _, c in plan.computed)


def _plan(
    planner: Planner,
    term: Term,
    coefficient: sympy.Expr,
    side: Side,
    rows: Sequence[Row] = (),
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
    rows: tuple[Row, ...] = ()


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
    return next((r.term for _, r in plan.gaps if r.kind in (RowKind.ENTROPY, RowKind.CROSS_ENTROPY)), None)


def _hypothetical(planner: Planner, term: Term, coefficient: sympy.Expr, side: Side) -> Density | None:
    """A density that was not declared and would give a bound, the smallest first."""
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
    targets += [(v,) for v in joint.variables if (v,) not in targets]
    declared = {(frozenset(f.of), frozenset(f.given)) for f in spec.factors.values() if f.evaluated and f not in joint.factors}
    additions = []
    for of in targets:
        rest = [v for v in joint.variables if v not in of]
        for given in subsets(rest):
            if len(rest) > WIDE and NARROW < len(given) < len(rest):
                continue
            if (frozenset(of), frozenset(given)) in declared:
                continue
            model = Density(head, of, given)
            vector: Vector = {("hypothetical", of, given): 1}
            first = density(spec, sampler, of, given)
            gap = combine((1, planner.coordinates.log_density(sampler, first)), (-1, vector))
            row = Row(RelativeEntropy(first, (model,)), RowKind.RELATIVE_ENTROPY, gap, learned=True)
            additions.append(_Addition(model, Computable(ExpectedLog(sampler, (model,)), vector), (row,)))
    found = _first(planner, term, coefficient, side, additions)
    return found if isinstance(found, Density) else None
