"""What each bound term is computed from: closed form or draws, and where draws must carry a gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ibsym.derivation.critics import factors, sides
from ibsym.derivation.model import BoundTerm
from ibsym.errors import AuditError, Edit, Remedy, SpecError
from ibsym.estimators import ESTIMATORS
from ibsym.estimators.base import Drawn
from ibsym.spec.families import FAMILIES, USUAL, closed_entropy, closed_relative_entropy
from ibsym.spec.grammar import parse
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Estimate,
    ExpectedLog,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)
from ibsym.terms.vectors import Coordinates


def declared(spec: Spec, d: Density) -> Factor:
    """The factor that a density is, by its joint's declaration."""
    factor = spec.joints[d.head].factor_of(d.of, d.given)
    if factor is None:
        raise AuditError(f"{d} is computed, and no declared factor is it")
    return factor


def estimator_of(spec: Spec, term: Term) -> str:
    """``closed-form`` where the families and the graph allow it, else ``sampled``.

    A cross term E_j log r(u|v) has a closed form only if u comes from its own factor and is independent of v given that
    factor's conditioners.
    """
    match term:
        case RelativeEntropy(first, (second,)):
            a, b = declared(spec, first).family, declared(spec, second).family
            return "closed-form" if a and b and closed_relative_entropy(a, b) else "sampled"
        case ExpectedLog(joint, (model,)):
            own = spec.joints[joint].by_variable.get(model.of[0])
            if own is None or own.family is None or own.empirical or frozenset(own.of) != frozenset(model.of):
                return "sampled"
            evaluated = declared(spec, model)
            if own == evaluated:
                return "closed-form" if closed_entropy(own.family) else "sampled"
            free = spec.joints[joint].independent(own.of, model.given, own.given)
            closed = (
                evaluated.family is not None
                and closed_entropy(own.family)
                and closed_relative_entropy(own.family, evaluated.family)
            )
            return "closed-form" if free and closed else "sampled"
    return "sampled"


class Importance(NamedTuple):
    """What weights a model's draws: its factors above some variables, the latent variables among these, the joint that draws them."""

    factors: tuple[Factor, ...]
    latents: tuple[str, ...]
    encoder: Joint | None


def importance(spec: Spec, coordinates: Coordinates, joint: str, model: Density) -> Importance:
    """The encoder is the first joint that draws all latent variables, with densities, from the source of the joint averaged over."""
    above = spec.joints[model.head].ancestral_factors(model.of)
    factors = tuple(f for f in spec.joints[model.head].factors if f in above and not {*f.of} & {*model.given})
    latents = tuple(v for f in factors for v in f.of if v not in model.of)
    names = [joint, *(j.name for j in spec.joints.values() if j.rooted and j.name != model.head)]
    (_, first), *others = coordinates.samplers(joint)
    wanted = None if others else source(spec, first)
    for name in names if wanted is not None else ():
        (_, part), *others = coordinates.samplers(name)
        if not others and source(spec, part) == wanted and {*latents, *model.scope} <= {*part.variables}:
            owners = [part.by_variable[v] for v in latents]
            if all(f.evaluated and f.family is not None and f.family.sampled for f in owners):
                return Importance(factors, latents, part)
    return Importance(factors, latents, None)


def source(spec: Spec, joint: Joint) -> str | None:
    """The source that a joint draws from, or from its marginal; None where it observes nothing."""
    return next((s for s in spec.sources if any(f.empirical and f.head == s for f in joint.factors)), None)


def _with_option(spec: Spec, factor: Factor, option: str, value: Any) -> Remedy:
    """The entry of a factor's family with one option more, the others as they are."""
    given: Any = next((e for text, e in spec.keys["families"].items() if str(parse(text, "density")) == str(factor)), {})
    entry = {"family": given} if isinstance(given, str) else dict(given)
    return Remedy.of((Edit(("families", str(factor)), {**entry, option: value}),))


def _reparameterised(spec: Spec, factor: Factor) -> Remedy:
    """The families with a density, and draws that carry gradients, in the space of a factor's variable; the usual one first."""
    kind = spec.variables[factor.of[0]].kind
    found = [f.name for f in FAMILIES.values() if kind in f.spaces and f.learned and f.reparameterised and f.evaluated]
    found.sort(key=lambda name: (name != USUAL[kind], name == "external"))
    ways = ((Edit(("families", str(factor)), name),) for name in found)
    told = " or ".join(filter(None, (", ".join(found[:-1]), found[-1])))
    return Remedy(f"a family whose draws are reparameterised: {told}", *ways)


def relaxations(spec: Spec, coordinates: Coordinates, items: Iterable[BoundTerm]) -> Iterator[tuple[Factor, Term]]:
    """Factors whose draws are discrete, learned, and needed with a gradient: relaxed ones are named once, others are refused."""
    seen: set[str] = set()
    for item in items:
        for factor in _drawn(spec, coordinates, item):
            family = factor.family
            if family is None or not factor.learned or family.reparameterised or family.enumerated:
                continue
            if not family.carries_gradient:
                remedy = _reparameterised(spec, factor)
                for option, value in (("relax", "concrete"), ("reparameterised", True)):
                    if option in family.facts.options:
                        remedy = _with_option(spec, factor, option, value)
                        break
                raise SpecError(
                    f"draws of {factor} ({family.name}) carry no gradient, and {item.text} needs one",
                    key=f'families."{factor}"',
                    remedy=remedy,
                )
            if factor.text not in seen:
                seen.add(factor.text)
                yield factor, item.quantity


def refuse_undrawn(spec: Spec, coordinates: Coordinates, items: Iterable[BoundTerm]) -> None:
    """Raises where a term is an average over draws of a factor that has none, or whose variable is summed over."""
    for item in items:
        for factor in _averaged(spec, coordinates, item):
            if factor.enumerated and isinstance(item.term, Estimate):
                raise SpecError(
                    f"{factor} is summed over exactly, and {item.estimator} of {item.text} takes its draws",
                    key=f'families."{factor}"',
                    remedy=Remedy.of(
                        (Edit(("families", str(factor)), {"family": "categorical", "relax": "concrete"}),),
                        otherwise="another estimator",
                    ),
                )
            if factor.family is not None and not factor.family.sampled:
                raise SpecError(
                    f"{factor} ({factor.family.name}) has no draws, and {item.text} is an average over them",
                    key=f'families."{factor}"',
                    remedy=_with_option(spec, factor, "sampled", True),
                )


def _averaged(spec: Spec, coordinates: Coordinates, item: BoundTerm) -> Iterator[Factor]:
    """The factors whose draws a term is an average over, with a gradient or without."""
    term = item.term.term if isinstance(item.term, Estimate) else item.term
    if isinstance(item.term, Estimate) and ESTIMATORS[item.estimator].drawn is Drawn.LATENTS:
        return  # an encoder is a joint with draws; where there is none, the lowering says what is missing
    if (
        not isinstance(item.term, Estimate)
        or isinstance(term, ExpectedLog)
        or ESTIMATORS[item.estimator].drawn is Drawn.CONDITIONERS
    ):
        yield from _drawn(spec, coordinates, item)
        return
    first, second = sides(spec, term)
    for d in (first, *second):
        if spec.joints[d.head].rooted:
            yield from factors(spec, d)


def _drawn(spec: Spec, coordinates: Coordinates, item: BoundTerm) -> Iterator[Factor]:
    """The factors whose draws a term's gradient passes through."""
    term = item.term
    if isinstance(term, Estimate):
        yield from _drawn_for_estimate(spec, coordinates, item, term.term)
        return
    match term:
        case RelativeEntropy(first, (second,)):
            scope = {*first.given, *second.given} if item.estimator == "closed-form" else first.scope | second.scope
            joint = first.head
        case ExpectedLog(joint, (model,)):
            own = spec.joints[joint].by_variable.get(model.of[0])
            scope = set(model.scope)
            if item.estimator == "closed-form" and own is not None:
                scope = {*model.given, *own.given} - set(model.of)
        case _:
            return
    for _, part in coordinates.samplers(joint):
        yield from part.ancestral_factors(scope)


def _drawn_for_estimate(spec: Spec, coordinates: Coordinates, item: BoundTerm, term: Term) -> Iterator[Factor]:
    how = ESTIMATORS[item.estimator].drawn
    if how is Drawn.CONDITIONERS and isinstance(term, RelativeEntropy):
        for d in (term.first, *term.second):
            joint = spec.joints[d.head]
            yield from joint.ancestral_factors(joint.by_variable[d.of[0]].given)
    elif how is Drawn.NOTHING:
        return
    elif how is Drawn.LATENTS and isinstance(term, ExpectedLog | CrossEntropy):
        sampler = term.joint if isinstance(term, ExpectedLog) else term.first.head
        found = importance(spec, coordinates, sampler, term.second[0])
        if found.encoder is not None:
            yield from found.encoder.ancestral_factors(found.latents)
    elif isinstance(term, TotalCorrelation):
        yield from spec.joints[term.joint].ancestral_factors(term.groups[0])
    elif isinstance(term, RelativeEntropy | JensenShannon | FDivergence | MutualInformation):
        first, second = sides(spec, term)
        if item.model_side is not None and item.model_side.surrogate:
            first_too = item.model_side.first
        else:
            critic = ESTIMATORS[item.estimator].critic
            first_too, second = True, () if critic is not None and critic.first_only else second
        for d in (first, *second) if first_too else second:
            yield from factors(spec, d)
