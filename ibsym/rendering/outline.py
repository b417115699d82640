"""What there is to say of a derivation, in an order and in words that all renderers share; no notation and no markup here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

import sympy

from ibsym.derivation import unopposed, unused
from ibsym.derivation.critics import VERBS
from ibsym.derivation.model import BoundTerm, Derivation, GapTerm, Plan, Step, SurrogateTerm
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Relation
from ibsym.rendering import notation
from ibsym.rendering.boxes import Box, Mark, broken, width
from ibsym.rules.catalogue import SURROGATES
from ibsym.spec.families import FamilyUse
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import Spec
from ibsym.terms.measures import CrossEntropy, Estimate, ExpectedLog, Expression, RelativeEntropy, Weighted
from ibsym.terms.premises import Nonnegative, Premise

Item = TypeVar("Item")
SENSES = {"minimize": "Minimise", "maximize": "Maximise"}
COMPUTED = {"closed-form": "in closed form", "sampled": "from samples of the joint"}
CLOSABLE = {True: "closable", False: "not closable"}
FOLKLORE = ("", "Gibbs")  # named, and cited nowhere
FORMS = {"value": "value", "saturating": "saturating form", "non-saturating": "non-saturating form", "nwj": "NWJ form"}


def unique(items: Iterable[Item]) -> tuple[Item, ...]:
    """The items once each, in order of first appearance."""
    return tuple(dict.fromkeys(items))


def premises(step: Step) -> tuple[Premise, ...]:
    """The premises of a step, without the positivity of its own gap, which is shown with the gap, unless it needs a condition."""
    return tuple(p for p in step.premises if not isinstance(p, Nonnegative) or p.discrete)


def said(premise: Premise) -> str:
    """A premise in words; of a gap that is shown beside it, the condition alone."""
    return "its variables discrete" if isinstance(premise, Nonnegative) and premise.discrete else str(premise)


def still(step: Step) -> bool:
    """Whether the expression stays as it was (a relaxation changes gradients, not terms)."""
    return step.before == step.after


def fresh(step: Step) -> frozenset[Weighted]:
    """The parts that the step brought in."""
    return frozenset(step.after.parts) - frozenset(step.before.parts)


def wholes(derivation: Derivation) -> Iterator[Derivation]:
    """The derivation and those of its critics' constraints."""
    yield derivation
    for constraint in derivation.constraints:
        if constraint.derivation is not None:
            yield constraint.derivation


def conditions(derivation: Derivation) -> tuple[Premise, ...]:
    """Every premise of every step, once by its words."""
    found = (p for d in wholes(derivation) for s in d.steps for p in premises(s))
    return tuple({said(p): p for p in found}.values())


def sources(derivation: Derivation) -> tuple[str, ...]:
    """What the spec cites, then what the steps cite, once."""
    cited = [*derivation.spec.cite, *(c for d in wholes(derivation) for s in d.steps for c in s.cite)]
    return named(cited)


def named(cited: Iterable[str]) -> tuple[str, ...]:
    """Each of the sources by itself, once, in their order."""
    return unique(part.strip() for c in cited for part in c.split(";") if part.strip() not in FOLKLORE)


def verdict(derivation: Derivation) -> str:
    """What the relation of the whole chain says, in a sentence, and what is hardly meant."""
    return " ".join((_relation(derivation), *cautions(derivation)))


def cautions(derivation: Derivation) -> tuple[str, ...]:
    """What is allowed and hardly meant: a density that nothing opposes, and what was declared in vain."""
    lost = unopposed.sentence(derivation.unopposed, derivation.spec.sense)
    return tuple(filter(None, (lost, unused.sentence(derivation.unused))))


def _relation(derivation: Derivation) -> str:
    match derivation.relation:
        case Relation.EQ:
            return "The loss and its constants equal the objective."
        case Relation.LE:
            return "The loss and its constants bound the objective from above; the gap is exact."
        case Relation.GE:
            return "The loss and its constants bound the objective from below; the gap is exact."
    first = next((i for i, s in enumerate(derivation.steps) if s.relation is Relation.APPROX), 0)
    proved = " The steps before are proved." if first else ""
    return f"An estimate or a surrogate enters where a step is marked ≈, so the whole is no bound.{proved}"


def gap_lead(derivation: Derivation) -> str:
    """What the list of dropped terms is."""
    if not derivation.gap:
        return "nothing was dropped"
    return {
        Relation.LE: "the bound exceeds the objective by exactly",
        Relation.GE: "the objective exceeds the bound by exactly",
    }.get(derivation.relation, "what the proved steps dropped")


def estimator(item: BoundTerm) -> str:
    """How code computes a term of the bound, by the name that JSON has for it, with options."""
    options = ", ".join(f"{k} = {_plain(v)}" for k, v in item.options)
    return f"{item.estimator} ({options})" if options else item.estimator


def treatment(item: BoundTerm) -> str:
    """The same in words."""
    return COMPUTED.get(item.estimator, estimator(item))


def summed(spec: Spec, item: BoundTerm) -> str:
    """Which variables of a term are summed over, and not drawn."""
    match item.term:
        case ExpectedLog(joint=head, second=second):
            names = frozenset(v for d in second for v in d.scope)
        case RelativeEntropy(first=first, second=second) | CrossEntropy(first=first, second=second):
            head, closed = first.head, item.estimator == "closed-form"
            apart = frozenset({*first.given, *(v for d in second for v in d.given)} - {*first.of})
            names = apart if closed else first.scope
        case _:
            return ""
    found = spec.joints[head].summed(names) if head in spec.joints else ()
    return f"exact sum over {', '.join(spec.ordered(found))}" if found else ""


def remark(spec: Spec, item: BoundTerm) -> str:
    """What is known of the estimator, and what the loss has for the term."""
    if not isinstance(item.term, Estimate):
        return summed(spec, item)
    rule, side = ESTIMATORS[item.estimator], item.model_side
    couples = "; couples the rows of a batch" if rule.coupled else ""
    if side is None:
        return f"{rule.known}{couples}"
    bound = "; no bound of the objective" if rule.side is not None and not side.bounds else ""
    return f"{rule.known}{bound}{couples}; the model {VERBS.get(side.weight, 'takes')} the {FORMS[side.form]}"


def surrogates(derivation: Derivation) -> tuple[tuple[SurrogateTerm, str], ...]:
    """What the loss adds to the bound, and what is known of it."""
    return tuple((s, SURROGATES[s.name].known) for s in derivation.surrogates)


def closable(item: GapTerm) -> str:
    """Whether a perfect model would close this part of the gap."""
    return CLOSABLE[item.closable]


def _plain(value: object) -> str:
    return (
        ", ".join(map(_plain, value))
        if isinstance(value, tuple | list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def family(use: FamilyUse) -> str:
    """A family with its options."""
    options = ", ".join(f"{k} = {_plain(v)}" for k, v in use.options)
    return f"{use.name} ({options})" if options else use.name


@dataclass(frozen=True, slots=True)
class Parameter:
    """A run-time scalar with its default and interval, as words."""

    name: str
    default: str
    interval: str


def parameters(derivation: Derivation) -> tuple[Parameter, ...]:
    """The spec's parameters in order of declaration."""
    found = []
    for name, entry in derivation.spec.parameters.items():
        low, high = entry.interval
        left, right = "(" if low == -math.inf else "[", ")" if high == math.inf else "]"
        found.append(Parameter(name, f"{entry.default:g}", f"{left}{low:g}, {high:g}{right}"))
    return tuple(found)


def joints(derivation: Derivation) -> tuple[Joint, ...]:
    """The joints worth writing down: those that the spec wrote, not one per source."""
    spec = derivation.spec
    return tuple(j for j in spec.joints.values() if j.name not in spec.sources and not _lone(j))


def _lone(joint: Joint) -> bool:
    """A joint that is one declared marginal: its factor's line among the families says it all."""
    return len(joint.factors) == 1 and joint.factors[0].head == joint.name and not joint.factors[0].components


def factors(derivation: Derivation) -> tuple[Factor, ...]:
    """Every declared factor and source once, sources first; mixtures have no family and are left to their joint's line."""
    spec = derivation.spec
    items = {f.text: f for f in (*spec.sources.values(), *spec.factors.values()) if f.family is not None}
    return tuple(f for f in items.values() if not f.empirical or f == spec.sources.get(f.head))


def plans(derivation: Derivation) -> tuple[Plan, ...]:
    """The certificates of all terms, constraints included; a term that is kept as it stands needs none."""
    found = [p for d in wholes(derivation) for p in d.plans]
    return tuple(p for p in found if len(set(identity(p))) == 2)


def identity(plan: Plan) -> tuple[Expression, Expression]:
    """The two sides of a certificate: the term with its non-negative rows, and what is computed."""
    left = Expression.of((1, plan.term), *((plan.side.sign * _rational(x), r.term) for x, r in plan.gaps))
    return left, Expression.of(*((_rational(x), c.term) for x, c in plan.computed))


def _rational(x: Fraction) -> sympy.Rational:
    return sympy.Rational(x.numerator, x.denominator)


def folded(pieces: tuple[Box, ...], limit: float, indent: float = 2.0) -> list[tuple[Box, ...]]:
    """Pieces of a sum on as few lines as fit, lines after the first set in; a piece that is wider than a line is broken."""
    lines: list[list[Box]] = []
    room = 0.0
    for piece in pieces:
        size = width(piece)
        if lines and size <= room:
            lines[-1].append(piece)
            room -= size
            continue
        full = limit - indent
        first = full if lines else limit
        parts = (piece,) if size <= first else broken(piece, full - 1, first)
        lines += [[parts[0]], *([Mark.QUAD, part] for part in parts[1:])]
        room = (full if len(lines) > 1 else limit) - sum(map(width, lines[-1]))
    return [tuple(line) for line in lines]


@dataclass(frozen=True, slots=True)
class Link:
    """A line of a chain: its relation, what follows it, and the step that says why; without one where steps were left out."""

    relation: Relation
    after: Expression
    step: Step | None
    number: int
    same: bool


def links(derivation: Derivation) -> list[Link]:
    """Every step."""
    return [Link(s.relation, s.after, s, i, still(s)) for i, s in enumerate(derivation.steps, 1)]


def inequalities(derivation: Derivation) -> list[Link]:
    """The chain of inequalities alone: equal expressions are one, and what a bound is rearranged to stands in its place."""
    found: list[Link] = []
    for link in links(derivation):
        if link.relation is Relation.EQ and found:
            found[-1] = replace(found[-1], after=link.after, same=False)
        elif link.relation is not Relation.EQ:
            found.append(link)
    if not found and derivation.steps:
        return [Link(Relation.EQ, derivation.final, None, 1, False)]
    return [replace(link, step=None, number=i) for i, link in enumerate(found, 1)]


@dataclass(frozen=True, slots=True)
class Claim:
    """objective (relation) what the steps before the first estimate or surrogate reach, and their gap."""

    steps: tuple[Step, ...]
    relation: Relation
    reached: Expression
    gap: Expression


SIDES = {
    Relation.EQ: "difference",
    Relation.LE: "right side minus the left",
    Relation.GE: "left side minus the right",
    Relation.APPROX: "difference",
}


def claim(derivation: Derivation) -> Claim:
    """What is proved of a derivation."""
    first = next((i for i, s in enumerate(derivation.steps) if s.relation is Relation.APPROX), len(derivation.steps))
    steps = derivation.steps[:first]
    reached = steps[-1].after if steps else derivation.objective
    gap = Expression.of(*((w.coefficient, w.term) for s in steps for w in s.gap))
    return Claim(steps, next((s.relation for s in steps if s.relation is not Relation.EQ), Relation.EQ), reached, gap)


def written(derivation: Derivation) -> list[Box]:
    """The joints that the spec wrote, as mathematics."""
    return [notation.joint(j.name, j.variables, j.factors, j.rooted) for j in joints(derivation)]
