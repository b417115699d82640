"""[Certificate] -> [LossProgram]: what a certified bound computes, term by term."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy

from ibsym.checking.certificate import Certificate
from ibsym.derivation.model import BoundTerm, Constraint, Derivation
from ibsym.errors import EmissionError
from ibsym.estimators import ESTIMATORS
from ibsym.lowering.divergences import with_critic
from ibsym.lowering.documentation import about
from ibsym.lowering.expectations import ROWS, Sampling
from ibsym.lowering.mixtures import minibatch
from ibsym.lowering.naming import TAKEN, check_parameters, input_names, unused
from ibsym.lowering.players import density_of, fit
from ibsym.lowering.program import (
    CriticLoss,
    Input,
    Limit,
    Load,
    LossProgram,
    Node,
    OverDraws,
    Parameter,
    Ref,
    Size,
    Step,
    TermValue,
    children,
)
from ibsym.lowering.quantisation import surrogate as quantised_surrogate
from ibsym.lowering.section import Section
from ibsym.lowering.section import loads as section_loads
from ibsym.lowering.terms import Estimated, direct, mean, plain
from ibsym.lowering.translation import elementwise
from ibsym.lowering.values import estimated
from ibsym.terms.measures import (
    CrossEntropy,
    Entropy,
    ExpectedLog,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)


def lower(certificate: Certificate) -> LossProgram:
    """The program of a certified bound: loss = sum of coefficients times values, to be minimised.

    Raises :class:`~ibsym.errors.EmissionError` with the factor or estimator that would help where the families that were
    declared cannot compute a term.
    """
    return _program(certificate.derivation)


def check_computable(derivation: Derivation) -> None:
    """Raises as :func:`lower` would, before there is a certificate: what no program computes is no bound to show."""
    _program(derivation)


def _program(derivation: Derivation) -> LossProgram:
    spec = derivation.spec
    sampling = Sampling(spec, derivation.coordinates, (c.divergence for c in derivation.constraints))
    section = Section(sampling)
    sign = 1 if spec.sense == "minimize" else -1
    terms: list[TermValue] = []
    critics: dict[str, CriticLoss] = {}
    items = merged(derivation.bound)
    for item, name in zip(items, step_names(items), strict=True):
        found = _estimate(section, item, critics)
        value = section.step(name, found.value, *found.comment)
        surrogate = None
        if found.surrogate is not None:
            surrogate = section.step(f"{name}_model", found.surrogate, found.surrogate_comment)
        terms.append(
            TermValue(
                item.text,
                item.estimator,
                sign * item.coefficient,
                value,
                surrogate,
                found.rows,
                found.why,
                found.note,
            )
        )
    for added in derivation.surrogates:
        found = quantised_surrogate(section, added)
        value = section.step(f"{added.name}_{'_'.join(added.density.of)}", found.value, *found.comment)
        terms.append(
            TermValue(added.text, "surrogate", sign * added.coefficient, value, None, found.rows, found.why, found.note)
        )
    if not terms:
        raise EmissionError(
            f"nothing is left to compute: every term of {derivation.objective} is a constant\n"
            "  write: an objective with a term that a learned factor touches"
        )
    terms, rows = per_row(section, terms)
    loads = section.inputs()
    inputs = declare(loads, spec.parameters)
    limits = tuple(limit(sampling, c) for c in derivation.constraints if c.derivation is not None)
    check_parameters(spec, (i.name for i in (*inputs, *(i for part in limits for i in part.inputs))))
    return LossProgram(
        spec.name,
        spec.class_name,
        inputs,
        tuple(
            Parameter(
                n,
                float(p.default),
                *map(float, p.interval),
            )
            for n, p in spec.parameters.items()
        ),
        reduced(section.steps, terms, rows, {*spec.parameters, *(i.name for i in inputs)}),
        tuple(terms),
        rows,
        batch(loads),
        tuple(replace(c, inputs=used(c.steps, inputs)) for c in critics.values()),
        limits,
        tuple((c.divergence, str(c.critic.through)) for c in derivation.constraints),
        about(derivation),
    )


def per_row(section: Section, terms: list[TermValue]) -> tuple[list[TermValue], str | None]:
    """The batch axis of which every term is a per-row average; what is the same for any input is one of any rows."""
    numbers = [t.surrogate is None and fixed(section, section.steps[t.value.index].node) for t in terms]
    axes = {t.rows for t, number in zip(terms, numbers, strict=True) if not number}
    if len(axes) != 1 or None in axes:
        return terms, None
    (rows,) = axes
    return [replace(t, rows=rows) for t in terms], rows


def fixed(section: Section, node: Node) -> bool:
    """Whether a value depends on sizes alone."""
    match node:
        case Load():
            return False
        case Size():
            return True
        case Ref():
            return fixed(section, section.steps[node.index].node)
    return all(fixed(section, child) for child in children(node))


def merged(bound: Iterable[BoundTerm]) -> list[BoundTerm]:
    """The terms, equal ones added up."""
    found: dict[str, BoundTerm] = {}
    for item in bound:
        if item.text not in found:
            found[item.text] = item
            continue
        old = found[item.text]
        if replace(old, coefficient=item.coefficient) != item:
            raise EmissionError(
                f"{item.text} is asked for in two ways, by {old.estimator} and by {item.estimator}\n  write: one estimator for it"
            )
        found[item.text] = replace(old, coefficient=sympy.expand(old.coefficient + item.coefficient))
    return [i for i in found.values() if i.coefficient != 0]


def _estimate(section: Section, item: BoundTerm, critics: dict[str, CriticLoss]) -> Estimated:
    if item.estimator == "closed-form" or ESTIMATORS[item.estimator].plain:
        return direct(section, item.term, item.estimator)
    estimator = ESTIMATORS[item.estimator]
    if estimator.critic is not None:
        by_critic, critics[item.text] = with_critic(section, item, estimator)
        return by_critic
    if (density := density_of(item)) is not None:
        critics[item.text] = fit(section, item, density)
    return minibatch(section, item) if estimator.value is None else estimated(section, item, estimator, estimator.value)


def step_names(items: Iterable[BoundTerm]) -> list[str]:
    """Local names of the terms: kl_z, log_p_x, js_x_z, i_z_y, tc_z; where two would be equal, conditioners and joint come in."""
    words = [_words(plain(item)) for item in items]
    names = ["_".join(kind) for kind, _, _ in words]
    longer = ["_".join((*kind, *(("given", *given) if given else ()))) for kind, given, _ in words]
    longest = [f"{name}_under_{joint}" for name, (_, _, joint) in zip(longer, words, strict=True)]
    for better in (longer, longest):
        names = [better[k] if names.count(name) > 1 else name for k, name in enumerate(names)]
    return names


def _words(term: Term) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    match term:
        case ExpectedLog(joint, second):
            return ("log", second[0].head, *(v for d in second for v in d.of)), tuple(v for d in second for v in d.given), joint
        case Entropy(joint, of, given):
            return ("h", *of), given, joint
        case MutualInformation(joint, groups, given) | TotalCorrelation(joint, groups, given):
            return ("i" if isinstance(term, MutualInformation) else "tc", *(v for g in groups for v in g)), given, joint
        case RelativeEntropy(first) | CrossEntropy(first) | JensenShannon(first) | FDivergence(_, first):
            return (str(term).split("(")[0].split("[")[0].lower(), *first.of), first.given, first.head
    return ("term",), (), ""


def used(steps: Iterable[Step], inputs: Iterable[Input]) -> tuple[Input, ...]:
    """The inputs that some steps load."""
    keys = {load.key for step in steps for load in section_loads(step.node)}
    return tuple(i for i in inputs if i.key in keys)


def declare(loads: Iterable[Load], parameters: Iterable[str]) -> tuple[Input, ...]:
    """Inputs by name."""
    found = list(loads)
    names = input_names([load.key for load in found], TAKEN)
    return tuple(Input(names[load.key], load.key, load.axes, load.integer) for load in found)


def reduced(steps: list[Step], terms: Iterable[TermValue], rows: str | None, taken: set[str]) -> tuple[Step, ...]:
    """Steps under unique names; a term's value is the mean over draws where rows are kept, else over everything."""
    values = {t.value.index for t in terms}
    used = set(TAKEN) | taken
    result: list[Step] = []
    for k, step in enumerate(steps):
        node = step.node
        if k in values:
            node = (OverDraws("mean", node) if "S" in node.axes else node) if rows is not None else mean(node)
        name = unused(step.name, used)
        used.add(name)
        result.append(replace(step, name=name, node=node))
    return tuple(result)


def batch(loads: Iterable[Load]) -> Size | None:
    """The size of the first source's batch, or of the first batch there is."""
    found = list(loads)
    for fits in (lambda a: a == ROWS, lambda a: a.startswith(f"{ROWS}_")):
        for load in found:
            for place, axis in enumerate(load.axes):
                if fits(axis):
                    return Size(load, (place - len(load.axes),))
    return None


def limit(sampling: Sampling, constraint: Constraint) -> Limit:
    """rate - budget <= 0: the bound of what a critic's code tells, in nats."""
    derivation = constraint.derivation
    assert isinstance(derivation, Derivation)
    multiplier = constraint.critic.multiplier
    information = f"{derivation.objective} <= {constraint.budget}"
    if len(derivation.constants) or multiplier is None:
        raise EmissionError(
            f"the constraint {information} is bounded by {derivation.final}, whose constants are not known\n  write: a prior for the code"
        )
    section = Section(sampling)
    total: sympy.Expr = sympy.Integer(0)
    means: dict[str, Node] = {}
    items = merged(derivation.bound)
    for k, (item, name) in enumerate(zip(items, step_names(items), strict=True)):
        found = _estimate(section, item, {})
        if item.model_side is not None:
            raise EmissionError(
                f"the constraint {information} has a term that needs a critic of its own: {item.text}\n  write: no estimator for it"
            )
        node = section.step(name, mean(found.value), *found.comment)
        total += item.coefficient * sympy.Symbol(f"term{k}", real=True)
        means[f"term{k}"] = node
    rate = (
        next(iter(means.values()))
        if len(means) == 1 and total == sympy.Symbol("term0", real=True)
        else elementwise(total, **means)
    )
    if total.free_symbols - {sympy.Symbol(n, real=True) for n in means}:
        raise EmissionError(f"the constraint {information} has parameters among its weights\n  write: numbers")
    inputs = declare(section.inputs(), sampling.spec.parameters)
    steps = reduced(section.steps, (), None, {i.name for i in inputs})
    return Limit(constraint.divergence, information, inputs, steps, rate, constraint.budget, multiplier)
