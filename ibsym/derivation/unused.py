"""What a spec declares and its loss never touches: factors that nothing evaluates or draws from, parameters in no weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy

from ibsym.derivation.critics import factors, sides
from ibsym.derivation.model import BoundTerm, Constraint
from ibsym.estimators import ESTIMATORS
from ibsym.estimators.base import Drawn
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)


def unused(spec: Spec, bound: Iterable[BoundTerm], constraints: Iterable[Constraint]) -> tuple[str, ...]:
    """Factors and parameters, as the spec writes them; a source is one whose samples no term is an expectation over."""
    items, limits = list(bound), list(constraints)
    weights = [b.coefficient for b in items]
    seen = {f.text for c in limits for f in (c.critic.through,)}
    names = {c.critic.multiplier for c in limits}
    for constraint in limits:
        weights.append(constraint.budget)
        if constraint.derivation is not None:
            items += constraint.derivation.bound
            weights += [b.coefficient for b in constraint.derivation.bound]
    seen |= {f.text for item in items for f in touched(spec, item)}
    names |= {s.name for w in weights for s in sympy.sympify(w).free_symbols}
    names |= {v for item in items for _, v in item.options if isinstance(v, str)}
    idle = [f.text for f in spec.factors.values() if not f.components and f.text not in seen]
    return (*idle, *(p for p in spec.parameters if p not in names))


def touched(spec: Spec, item: BoundTerm) -> Iterator[Factor]:
    """The factors that a term evaluates, and those that draw what it evaluates them at."""
    term = item.term.term if isinstance(item.term, Estimate) else item.term
    if isinstance(item.term, Estimate) and item.term.density is not None:
        yield spec.factors[str(item.term.density)]
    if isinstance(item.term, Estimate) and ESTIMATORS[item.estimator].drawn is Drawn.LATENTS:
        yield from _importance(spec, term)
    for d in densities(spec, term):
        owner = spec.joints[d.head]
        own = owner.factor_of(d.of, d.given)
        if own is not None:
            yield own
        if isinstance(item.term, Estimate) and owner.rooted:
            yield from factors(spec, d)
    match term:
        case RelativeEntropy(first=first) | CrossEntropy(first=first):
            sampler = first.head
        case ExpectedLog(joint=joint) | Entropy(joint=joint) | MutualInformation(joint=joint) | TotalCorrelation(joint=joint):
            sampler = joint
        case _:
            return
    scope = {v for d in densities(spec, term) for v in d.scope} & {*spec.joints[sampler].variables}
    yield from factors(spec, Density(sampler, spec.ordered(scope)))


def densities(spec: Spec, term: Term) -> tuple[Density, ...]:
    """Every density that a term is made of."""
    match term:
        case ExpectedLog(second=second) | CrossEntropy(second=second):
            return second
        case Entropy(joint, of, given):
            return (Density(joint, of, given),)
    first, second = sides(spec, term)
    return (first, *second)


def _importance(spec: Spec, term: Term) -> Iterator[Factor]:
    """All of the model above what it evaluates, and the joints that may draw the latents of it."""
    for model in densities(spec, term):
        above = [f for f in spec.joints[model.head].ancestral_factors(model.of) if not {*f.of} & {*model.given}]
        yield from above
        latents = {v for f in above for v in f.of} - model.scope
        for joint in spec.joints.values():
            if joint.rooted and joint.name != model.head and latents <= {*joint.variables}:
                yield from factors(spec, Density(joint.name, spec.ordered(latents | (model.scope & {*joint.variables}))))


def sentence(names: tuple[str, ...]) -> str:
    """The note; empty where everything is used."""
    if not names:
        return ""
    return f"Declared, and touched by nothing in the loss: {', '.join(names)}."
