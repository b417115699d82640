"""objective (relation) bound + constants, gap included: replayed, verified over the rationals, evaluated in random worlds.

Lowering takes the :class:`~ibsym.checking.certificate.Certificate` that :func:`audit` returns and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from ibsym.checking.certificate import Certificate
from ibsym.checking.estimates import standing
from ibsym.checking.exact import Facts, check_computable, check_constant, check_gap, check_plan, difference
from ibsym.checking.finite import STYLES, FiniteWorld
from ibsym.checking.gaussian import GaussianWorld
from ibsym.checking.losses import check_losses
from ibsym.checking.premises import check_premises, check_rule
from ibsym.derivation.model import BoundTerm, Derivation, Step
from ibsym.errors import AuditError
from ibsym.estimators import ESTIMATORS, ONE_SIDED
from ibsym.facts import Relation, Side, Sign
from ibsym.proving.elemental import closable
from ibsym.rules.catalogue import RELAXATION, RULES, SURROGATES
from ibsym.terms.measures import Estimate, Expression, Term

TOLERANCE = 1e-9


def audit(derivation: Derivation, *, worlds: int = 8, seed: int = 0) -> Certificate:
    """The derivation with a certificate, or an :class:`~ibsym.errors.AuditError` that names the step at fault.

    The chain is replayed, every plan and every step is verified over the rationals, and every step is evaluated in ``worlds``
    finite worlds and, where it is a matter of linear terms without discrete-only steps, in half as many Gaussian ones. The loss as it is
    minimised, surrogates included, is held to what is claimed of it at random critics (:mod:`ibsym.checking.losses`).
    """
    facts = Facts(derivation.spec)
    whole = (derivation, Side.of(derivation.spec.sense))
    parts = [whole, *((c.derivation, Side.UPPER) for c in derivation.constraints if c.derivation is not None)]
    checked, largest = 0, 0.0
    for part, side in parts:
        replay(part, side)
        verify(part, side, facts)
        count, error = evaluate(part, side, worlds, seed)
        checked, largest = checked + count, max(largest, error)
        check_losses(part, side, facts, (worlds + 1) // 2, seed)
    return Certificate(derivation, checked, largest)


def label(number: int, step: Step) -> str:
    """How an error names a step."""
    return f"step {number} ({step.rule})"


def stated(term: BoundTerm) -> Term:
    """A term of the bound as an expression has it: the estimate, where an estimator stands for it."""
    if isinstance(term.term, Estimate) or term.estimator not in ESTIMATORS or ESTIMATORS[term.estimator].plain:
        return term.term
    return Estimate(term.term, term.estimator)


def final(derivation: Derivation) -> Expression:
    """The bound and its constants."""
    return Expression.of(*((b.coefficient, stated(b)) for b in derivation.bound)) + derivation.apart


def replay(derivation: Derivation, side: Side) -> None:
    """Every step starts where the last one ended and bounds from the same side; the whole is what its steps add up to."""
    state, relation, gap = derivation.objective, Relation.EQ, Expression()
    for number, step in enumerate(derivation.steps, 1):
        where = label(number, step)
        if not step.before.same(state):
            raise AuditError(f"{where} starts from {step.before}, and what it follows is {state}")
        _check_rule(where, step)
        if step.relation is -side.relation:
            raise AuditError(f"{where} bounds from the wrong side: {step.relation} where {side.relation} is needed")
        state, relation, gap = step.after, relation & step.relation, gap + step.gap
    last = label(len(derivation.steps), derivation.steps[-1]) if derivation.steps else "the objective"
    if not final(derivation).same(state):
        raise AuditError(f"{last} ends at {state}, and the bound and its constants are {final(derivation)}")
    if relation is not derivation.relation:
        raise AuditError(f"{last}: the steps compose to {relation}, and the derivation claims {derivation.relation}")
    told = [s.rule for s in derivation.steps if s.rule in SURROGATES and s.rule != RELAXATION.name]
    if told != [s.name for s in derivation.surrogates]:
        raise AuditError(
            f"the loss adds {', '.join(s.text for s in derivation.surrogates) or 'nothing'}, and the steps say otherwise"
        )
    for added in derivation.surrogates:
        if added.coefficient * side.sign <= 0:
            raise AuditError(f"{added.text} has the weight {added.coefficient}, which pushes the wrong way")
    total = Expression.of(*((g.coefficient, g.term) for g in derivation.gap))
    if not total.same(gap):
        raise AuditError(f"{last}: the steps' gaps add up to {gap}, and the derivation claims {total}")


def _check_rule(where: str, step: Step) -> None:
    """The step's relation is one that its rule can have; what it changes is what the rule changes."""
    if step.rule in SURROGATES or step.rule in ESTIMATORS:
        if step.relation is Relation.EQ:
            raise AuditError(f"{where} is an estimate or a surrogate, and claims equality")
        if not step.before.same(standing(step.after, introduced(step))):
            raise AuditError(f"{where} changes more than the terms that it estimates")
        if any(isinstance(t, Estimate) and t.estimator != step.rule for t in introduced(step)):
            raise AuditError(f"{where} puts in another estimate than its own")
        loose = all(isinstance(t, Estimate) and t.density is not None for t in introduced(step))
        if step.relation is Relation.APPROX and step.rule in ONE_SIDED and not loose:
            raise AuditError(f"{where} is used on the side that it does not bound")
        rule = ESTIMATORS.get(step.rule)
        if step.relation is not Relation.APPROX and (rule is None or rule.side is None):
            raise AuditError(f"{where} has no proved direction, and claims {step.relation}")
    elif step.rule not in RULES:
        raise AuditError(f"{where}: unknown rule {step.rule!r}")
    elif step.relation is Relation.APPROX:
        raise AuditError(f"{where} is marked {step.relation}, which only an estimator or a surrogate may be")
    elif (RULES[step.rule].relation is Relation.EQ) is not (step.relation is Relation.EQ):
        raise AuditError(f"{where} has the relation {step.relation}, and its rule {RULES[step.rule].relation}")
    if step.relation in (Relation.EQ, Relation.APPROX) and len(step.gap):
        raise AuditError(f"{where} has the relation {step.relation} and a gap")
    if step.relation in (Relation.LE, Relation.GE) and not len(step.gap):
        raise AuditError(f"{where} has the relation {step.relation} and no gap")


def introduced(step: Step) -> frozenset[Term]:
    """The estimates that a step puts in."""
    before = {w.term for w in step.before}
    return frozenset(w.term for w in step.after if isinstance(w.term, Estimate) and w.term not in before)


def unproved(derivation: Derivation) -> frozenset[Term]:
    """The estimates that stand for their terms without a proved direction."""
    return frozenset(t for s in derivation.steps if s.relation is Relation.APPROX for t in introduced(s))


def verify(derivation: Derivation, side: Side, facts: Facts) -> None:
    """Plans and steps over the rationals: identities of cross-entropy vectors, gaps of terms that are never negative."""
    if not Expression.of(*((p.weight, p.term) for p in derivation.plans)).same(derivation.objective):
        raise AuditError("the plans are not those of the objective's terms")
    for number, step in enumerate(derivation.steps, 1):
        where = label(number, step)
        check_premises(facts, step, where)
        check_gap(facts, step.gap, where)
        if not facts.zero(difference(step.relation, step.before, step.after, step.gap)):
            raise AuditError(f"{where}: after - before is not the gap, by what the graphs say")
        check_rule(facts, step, where, derivation.plans)
    for plan in derivation.plans:
        check_plan(facts, plan)
        if plan.gaps and facts.sign(plan.weight) is not (Sign.NONNEGATIVE if plan.side is side else Sign.NONPOSITIVE):
            raise AuditError(f"the plan of {plan.term} bounds it from the wrong side: its weight is {plan.weight}")
    if not facts.zero(difference(side.relation, derivation.objective, *_of_plans(derivation, side))):
        raise AuditError("the plans do not add up to a bound of the objective")
    for item in derivation.bound:
        check_computable(facts, item.term)
    for constant in derivation.constants:
        check_constant(facts, constant.term)
    for gap in derivation.gap:
        if gap.closable is not closable(facts.coordinates, gap.term):
            raise AuditError(f"the gap {gap.term} is {'not ' if gap.closable else ''}closable by training")


def _of_plans(derivation: Derivation, side: Side) -> tuple[Expression, Expression]:
    """The bound and the gap that the plans give together."""
    bound, gap = Expression(), Expression()
    for plan in derivation.plans:
        bound = bound + Expression.of(*((x, c.term) for x, c in plan.computed)).scaled(plan.weight)
        size = plan.weight if plan.side is side else -plan.weight
        gap = gap + Expression.of(*((x, r.term) for x, r in plan.gaps)).scaled(size)
    return bound, gap


def evaluate(derivation: Derivation, side: Side, worlds: int, seed: int) -> tuple[int, float]:
    """Every step, and the whole, in random worlds; the number of worlds and the largest error."""
    tally = Tally()
    stages = list(comparisons(derivation, side))
    for index in range(worlds):
        style = STYLES[index % len(STYLES)]
        finite = FiniteWorld.random(derivation.spec, seed + index, style=style)
        tally.world(f"the {style} world {seed + index}", stages, finite.summands)
    if worlds and not tally.worlds:
        raise AuditError("no world gave every term a value")
    if all(GaussianWorld.reaches(derivation.spec, s.before, s.after, s.gap) for s in stages):
        for index in range((worlds + 1) // 2):
            gaussian = GaussianWorld.random(derivation.spec, seed + index)
            tally.world(f"the Gaussian world {seed + index}", stages, gaussian.summands)
    return tally.worlds, tally.error


def comparisons(derivation: Derivation, side: Side) -> Iterator[Step]:
    """The steps that have a proof, and the whole as one step; estimates without a direction stand for their terms."""
    loose = unproved(derivation)
    for number, step in enumerate(derivation.steps, 1):
        if step.relation is not Relation.APPROX:
            yield replace(
                step, rule=label(number, step), before=standing(step.before, loose), after=standing(step.after, loose)
            )
    gap = Expression.of(*((g.coefficient, g.term) for g in derivation.gap))
    yield Step("bound - objective", side.relation, derivation.objective, standing(final(derivation), loose), gap)


Pairs: TypeAlias = list[tuple[float, float]]
Summands: TypeAlias = Callable[[Expression], Pairs]


@dataclass
class Tally:
    """Worlds in which everything had a value, and the largest error there."""

    worlds: int = 0
    error: float = 0.0

    def world(self, name: str, stages: Iterable[Step], summands: Summands) -> None:
        """All stages in one world. Infinite values are not compared, and the world does not count then."""
        finite = [self.stage(name, s, *map(summands, (s.before, s.after, s.gap))) for s in stages]
        self.worlds += all(finite)

    def stage(self, name: str, stage: Step, before: Pairs, after: Pairs, gap: Pairs) -> bool:
        """The difference equals the gap, whose terms are not negative; both to 1e-9 of what was added up."""
        every = [*before, *after, *gap]
        if not all(math.isfinite(v) for _, v in every):
            return False
        scale = 1 + sum(abs(c * v) for c, v in every)
        for coefficient, value in gap:
            if min(coefficient, value) < -TOLERANCE * scale:
                raise AuditError(f"{stage.rule}: a term of the gap is {coefficient:.3g} * {value:.3g} in {name}")
        low, high, extra = (sum(c * v for c, v in pairs) for pairs in (before, after, gap))
        error = abs((low - high if stage.relation is Relation.GE else high - low) - extra)
        if not error <= TOLERANCE * scale:
            raise AuditError(f"{stage.rule}: what is left of the difference and the gap is {error:.3g} nats in {name}")
        self.error = max(self.error, error / scale)
        return True
