"""A step = its rule's change of terms, from its premises alone: each premise against the graphs and spaces, the rule against them.

A rule says of which kinds its premises are and which terms it changes; the identity that the step claims must follow from the
premises that it states, and from no other fact of the graphs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import assert_never

from ibsym.checking.exact import Facts, difference, separated
from ibsym.derivation.model import Plan, Step
from ibsym.errors import AuditError
from ibsym.rules.catalogue import RULES, Rule, dropping
from ibsym.spec.model import Spec
from ibsym.terms.measures import CrossEntropy, Expression, RelativeEntropy, Term
from ibsym.terms.premises import Discrete, Independent, Irrelevant, Nonnegative, Premise, SharedFactor
from ibsym.terms.vectors import Span, Vector, combine


def check_premises(facts: Facts, step: Step, where: str) -> None:
    """Every premise of the step is true by the graphs and spaces of the spec."""
    for premise in step.premises:
        if not holds(facts, step, premise):
            raise AuditError(f"{where}: the premise '{premise}' does not hold by the graphs and spaces of the spec")


def holds(facts: Facts, step: Step, premise: Premise) -> bool:
    """Whether a premise is true: independences by moralisation, signs of the step's own gap."""
    spec = facts.spec
    match premise:
        case Independent(a, b, given, name):
            return _apart(facts, name, a, b, given)
        case Irrelevant(density, further):
            return _apart(facts, density.head, density.of, further, density.given)
        case SharedFactor(density, name):
            return name in spec.joints and str(density) in {f.text for f in spec.joints[name].factors}
        case Nonnegative(term):
            return term in {w.term for w in step.gap} and bool(facts.nonnegative(term))
        case Discrete(variable, space):
            return spec.variables.get(variable) == space and spec.discrete(variable)
    assert_never(premise)


def _apart(facts: Facts, name: str, a: Iterable[str], b: Iterable[str], given: Iterable[str]) -> bool:
    joint = facts.spec.joints.get(name)
    known = joint is not None and {*a, *b, *given} <= set(joint.variables)
    return known and joint is not None and not joint.external & {*a, *b} and separated(joint, a, b, given)


def check_rule(facts: Facts, step: Step, where: str, plans: Iterable[Plan]) -> None:
    """What a step rests on, changes and drops is what its rule does; no fact of the graphs is used that it does not state."""
    if not follows(facts, difference(step.relation, step.before, step.after, step.gap), step.premises):
        raise AuditError(f"{where}: after - before is not the gap, by the premises that it states")
    rule = RULES.get(step.rule)
    if rule is None:
        return
    if not rule.rests_on(step.premises):
        raise AuditError(f"{where} rests on '{'; '.join(map(str, step.premises))}', and its rule on something else")
    changed = [t for t in _terms(step) if step.before.coefficient(t) != step.after.coefficient(t)]
    if not rule.fits(changed):
        raise AuditError(f"{where} changes {', '.join(map(str, changed)) or 'nothing'}, and its rule terms of other kinds")
    if rule.drop is not None:
        _check_drop(facts, step, rule, where, plans)
    if Irrelevant in rule.allows:
        unsaid = next((p for t in changed for p in ignored(facts.spec, t) if p not in step.premises), None)
        if unsaid is not None:
            raise AuditError(f"{where} does not say that {unsaid}")


def follows(facts: Facts, expression: Expression, premises: Iterable[Premise]) -> bool:
    """Whether an expression is zero for every value of its parameters by the premises alone, under all joints."""
    span = Span(v for p in premises for v in _equations(facts, p))
    return not any(span.reduce(v) for v in facts.monomials(expression).values())


def _equations(facts: Facts, premise: Premise) -> Iterator[Vector]:
    """<J|R(a|b,c)> = <J|R(a|b)>, or <J|R(a|b)> = <J|f(a|b)>, under every joint J that has the variables."""
    log = facts.coordinates.by_law
    match premise:
        case Independent(a, b, given, name):
            wide, narrow = (name, a, (*b, *given)), (name, a, given)
        case Irrelevant(density, further):
            wide, narrow = (density.head, density.of, (*density.given, *further)), (density.head, density.of, density.given)
        case SharedFactor(density, name):
            factor = facts.spec.factors[str(density)]
            for sampler in _having(facts, name, density.scope):
                own = log(sampler, name, factor.of, factor.given)
                yield combine((1, own), (-1, facts.coordinates.log_factor(sampler, factor)))
            return
        case Nonnegative() | Discrete():
            return
        case _:
            assert_never(premise)
    for sampler in _having(facts, wide[0], {*wide[1], *wide[2]}):
        yield combine((1, log(sampler, *wide)), (-1, log(sampler, *narrow)))


def _having(facts: Facts, model: str, scope: Collection[str]) -> list[str]:
    needed = {*scope, *facts.spec.joints[model].conditioned(scope)}
    return [s for s in facts.samplers if needed <= set(facts.spec.joints[s].variables)]


def _terms(step: Step) -> list[Term]:
    return list(dict.fromkeys(w.term for e in (step.before, step.after) for w in e))


def _check_drop(facts: Facts, step: Step, rule: Rule, where: str, plans: Iterable[Plan]) -> None:
    """One term is dropped, it is said why it is not negative, and a textbook drops it from one of these terms by this name."""
    if len(step.gap) != 1:
        raise AuditError(f"{where} drops {step.gap}, and its rule one term")
    (dropped,) = (w.term for w in step.gap)
    discrete = {p.variable for p in step.premises if isinstance(p, Discrete)}
    named = isinstance(dropped, CrossEntropy) and {v for d in dropped.second for v in d.of} <= discrete
    if not named and Nonnegative(dropped) not in step.premises:
        raise AuditError(f"{where} does not say why {dropped} is not negative")
    vector = facts.coordinates.vector(dropped)
    losing = [plan for plan in plans if not Span(row.vector for _, row in plan.gaps).reduce(vector)]
    expanded = isinstance(dropped, CrossEntropy) and not losing and named
    if not expanded and rule not in [dropping(plan.side, plan.term, dropped) for plan in losing]:
        raise AuditError(f"{where}: no term of the objective loses {dropped} by this rule")


def ignored(spec: Spec, term: Term) -> Iterator[Irrelevant]:
    """What a relative entropy's first argument is independent of, so that its second may have further conditioners."""
    if isinstance(term, RelativeEntropy):
        extra = {v for d in term.second for v in d.given} - term.first.scope
        yield from (Irrelevant(term.first, (v,)) for v in spec.ordered(extra))
