"""E_j[log r], H_j and KL as per-row values: closed forms where the bound says so, else densities at samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import EmissionError
from ibsym.families.base import (
    VALUE,
    Formula,
    Law,
    cross_entropy,
    entropy,
    exact,
    integrated_log_density,
    log_density,
    relative_entropy,
)
from ibsym.lowering.enumeration import summed
from ibsym.lowering.expectations import Sampling
from ibsym.lowering.program import Mean, Node
from ibsym.lowering.section import Evaluation, Section, laws
from ibsym.lowering.translation import elementwise
from ibsym.spec.graphs import Factor, Joint
from ibsym.terms.measures import CrossEntropy, Density, Entropy, Estimate, ExpectedLog, RelativeEntropy, Term


@dataclass(frozen=True)
class Estimated:
    """A term's value before its mean over rows, or a number; what the model minimises where that is something else.

    ``rows`` is the batch axis that the value is a per-row average over; without it ``why`` completes "..., which ...".
    """

    value: Node
    comment: tuple[str, ...]
    surrogate: Node | None = None
    surrogate_comment: str = ""
    rows: str | None = None
    why: str = ""
    note: str = ""


PartValue = Callable[[Joint], tuple[Node, Formula]]


def direct(section: Section, term: Term, estimator: str) -> Estimated:
    """A term that is computed as it stands."""
    sampling = section.sampling
    match term:
        case RelativeEntropy(first, second):
            return _averaged(
                sampling, first.head, str(term), estimator, _divergence(section, first, second, estimator == "closed-form")
            )
        case ExpectedLog(joint, second):
            return _averaged(
                sampling, joint, str(term), estimator, _expected_log(section, second, estimator == "closed-form", 1)
            )
        case CrossEntropy(first, second):
            return _averaged(
                sampling, first.head, str(term), estimator, _expected_log(section, second, estimator == "closed-form", -1)
            )
        case Entropy(joint, of, given):
            return _averaged(
                sampling,
                joint,
                str(term),
                estimator,
                _expected_log(section, (Density(joint, of, given),), estimator == "closed-form", -1),
            )
    raise EmissionError(f"{term} cannot be computed as it stands\n  write: an estimator for it, or factors with densities")


def _averaged(sampling: Sampling, joint: str, text: str, estimator: str, value: PartValue) -> Estimated:
    """The value under a joint; under a mixture, the weighted mean of its parts' means."""
    parts = sampling.parts(joint)
    how = "in closed form" if estimator == "closed-form" else "at samples"
    if len(parts) == 1:
        node, formula = value(parts[0][1])
        rows = sampling.rows(parts[0][1])
        per_row = rows in node.axes
        return Estimated(
            node, (f"{text} {how}: {formula.text}",), rows=rows if per_row else None, why="" if per_row else "has no rows"
        )
    if any(f.origin is not None for _, part in parts for f in part.factors):
        raise EmissionError(
            f"{text} is an expectation under {joint}, whose components have variables of their own under the same names\n"
            "  write: other names for these, or an estimator with a critic"
        )
    total: sympy.Expr = sympy.Integer(0)
    means: dict[str, Node] = {}
    for k, (weight, part) in enumerate(parts):
        node, formula = value(part)
        total += weight * sympy.Symbol(f"mean{k}", real=True)
        means[f"mean{k}"] = mean(node)
    mixed = " + ".join(f"{float(w):g} {p.name}" for w, p in parts)
    comment = (f"{text} {how}: {formula.text}", f"the mean over {joint} = {mixed}")
    return Estimated(elementwise(total, **means), comment, why=f"is a mean over {len(parts)} batches")


def mean(node: Node) -> Node:
    """The mean over rows and draws; a number is its own."""
    return Mean(node) if node.axes else node


def _divergence(section: Section, first: Density, second: tuple[Density, ...], closed: bool) -> PartValue:
    sampling = section.sampling
    own = sampling.declared(first)

    def value(part: Joint) -> tuple[Node, Formula]:
        if closed and len(second) == 1:
            both = Evaluation(sampling, part, own, sampling.declared(second[0]))
            return averaged_over_classes(section, both, relative_entropy(*laws(both)), f"kl_{'_'.join(first.of)}")
        values = {"first": let_at_sample(section, part, first)}
        total = sympy.Symbol("first", real=True)
        for k, density in enumerate(second):
            values[f"second{k}"] = let_at_sample(section, part, density)
            total -= sympy.Symbol(f"second{k}", real=True)
        return elementwise(total, **values), Formula(total, f"log {first} - log {''.join(map(str, second))}")

    return value


def let_at_sample(section: Section, part: Joint, density: Density) -> Node:
    """log r(a|b) at the samples of the joint, as a step of its own; a constant stays where it is used."""
    node, formula = at_sample(section, part, density)
    if not node.axes:
        return node
    return section.let(f"log_{density.head}_{'_'.join(density.of)}", node, f"log {density} at samples: {formula.text}")


def at_sample(section: Section, part: Joint, density: Density) -> tuple[Node, Formula]:
    """log r(a|b) at the samples of the joint."""
    factor = section.sampling.declared(density)
    evaluation = Evaluation(section.sampling, part, factor)
    evaluation.sized_by = (VALUE,)  # a constant of the law needs none of its parameters
    formula = _log_density(evaluation.first, section.sampling.own(part, factor.of[0]), factor)
    return averaged_over_classes(section, evaluation, formula, f"log_{density.head}_{'_'.join(density.of)}")


def averaged_over_classes(section: Section, evaluation: Evaluation, formula: Formula, name: str) -> tuple[Node, Formula]:
    """The formula's value at every row, variables with exact sums summed out."""
    node, classes = evaluation.with_classes(formula)
    return summed(section, evaluation.joint, name, (node, formula), classes)


def _log_density(law: Law, own: Factor, factor: Factor) -> Formula:
    """log of the factor's density at draws of their own factor; over noise in a cell it is integrated, or the noise's own constant."""
    if own != factor and factor.family is not None and factor.family.facts.quantised:
        raise EmissionError(
            f"all the mass of {factor} ({factor.family.name}) is on one class, and {factor.of[0]} is drawn from {own}\n"
            f'  write: families."{factor}" = "categorical"'
        )
    noise = own.family
    if noise is None or noise.facts.cell is None or law.family.outside:
        return log_density(law)
    if own == factor:
        constant = entropy(law)
        return Formula(-constant.expression, f"-{constant.text}")
    return integrated_log_density(law, exact(noise.option(noise.facts.cell)))


def _expected_log(section: Section, second: tuple[Density, ...], closed: bool, sign: int) -> PartValue:
    def value(part: Joint) -> tuple[Node, Formula]:
        total: sympy.Expr = sympy.Integer(0)
        values: dict[str, Node] = {}
        texts = []
        for k, density in enumerate(second):
            factor_sign, (node, formula) = _closed(section, part, density) if closed else (1, at_sample(section, part, density))
            total += sign * factor_sign * sympy.Symbol(f"log{k}", real=True)
            values[f"log{k}"] = node
            texts.append(formula.text if sign * factor_sign > 0 else _negative(formula.text))
        formula = Formula(total, " + ".join(texts))
        return (values["log0"] if total == sympy.Symbol("log0", real=True) else elementwise(total, **values)), formula

    return value


def _negative(text: str) -> str:
    """The text with a minus; one summand's own minus goes.

    >>> _negative("-sum r log r, r = softmax(a)"), _negative("h + k")
    ('sum r log r, r = softmax(a)', '-(h + k)')
    """
    outside = re.sub(r"\[[^][]*\]", "", text)
    return text[1:] if text.startswith("-") and " + " not in outside and " - " not in outside else f"-({text})"


def _closed(section: Section, part: Joint, density: Density) -> tuple[int, tuple[Node, Formula]]:
    """Minus E[log r(a|b)], a drawn from its own factor: the entropy, or the cross-entropy to the factor that is evaluated."""
    sampling = section.sampling
    factor = sampling.declared(density)
    own = sampling.own(part, factor.of[0])
    if own == factor:
        alone = Evaluation(sampling, part, own)
        return -1, averaged_over_classes(section, alone, entropy(alone.first), f"h_{factor.of[0]}")
    both = Evaluation(sampling, part, own, factor)
    return -1, averaged_over_classes(section, both, cross_entropy(*laws(both)), f"ce_{factor.of[0]}")


def plain(item: BoundTerm) -> Term:
    """The term itself, also where an estimator stands in for it."""
    return item.term.term if isinstance(item.term, Estimate) else item.term


def refuse(item: BoundTerm) -> EmissionError:
    """What an estimator cannot stand for."""
    return EmissionError(f"{item.estimator} does not estimate {item.text}\n  write: another estimator for it")
