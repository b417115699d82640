"""A derivation as one page that loads nothing: the spec, the chain step by step, bound, gap, certificate and sources."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup, escape

from ibsym.derivation.model import Constraint, Derivation, Plan, Step
from ibsym.facts import Relation
from ibsym.rendering import notation, outline
from ibsym.rendering.boxes import Box, Mark, row
from ibsym.rendering.mathml import math, phrase
from ibsym.rendering.templating import render
from ibsym.rendering.text import SIGNS
from ibsym.terms.measures import Expression, Term

KINDS = {Relation.EQ: "equal", Relation.LE: "bound", Relation.GE: "bound", Relation.APPROX: "estimate"}
BADGES = {
    Relation.EQ: "equal to the objective",
    Relation.LE: "upper bound",
    Relation.GE: "lower bound",
    Relation.APPROX: "estimate",
}


class Line(NamedTuple):
    """A row of a table: a quantity, what is said of it, and a remark."""

    head: Markup
    body: Markup
    remark: Markup = Markup()


class StepView(NamedTuple):
    """A step as the template lays it out; ``pieces`` are terms with whether the step brought them in."""

    number: int
    kind: str
    sign: str
    pieces: list[tuple[Markup, bool]]
    rule: str
    cite: str
    reasons: list[Markup]
    dropped: Markup


class ConstraintView(NamedTuple):
    """A critic's constraint with the derivation of its bound."""

    text: Markup
    start: list[tuple[Markup, bool]]
    steps: list[StepView]


class PlanView(NamedTuple):
    """The certificate of one term."""

    left: list[tuple[Markup, bool]]
    right: list[tuple[Markup, bool]]
    facts: list[Markup]


def term(item: Term) -> str:
    """A term as inline MathML."""
    return str(math(notation.term(item)))


def expression(item: Expression) -> str:
    """A sum of terms as inline MathML."""
    return str(math(notation.expression(item)))


def page(derivation: Derivation) -> str:
    """The whole page."""
    spec = derivation.spec
    context: dict[str, object] = {
        "name": spec.name,
        "title": spec.title,
        "cite": "; ".join(spec.cite),
        "notes": spec.notes,
        "badge": BADGES[derivation.relation],
        "badge_kind": KINDS[derivation.relation],
        "sense": outline.SENSES[spec.sense],
        "objective": _pieces(derivation.objective),
        "source": spec.objective_text,
        "variables": [
            Line(math(row(notation.value(v), Mark.IN, notation.space(s))), escape(str(s))) for v, s in spec.variables.items()
        ],
        "joints": [math(notation.joint(j.name, j.variables, j.factors, j.rooted)) for j in outline.joints(derivation)],
        "families": [
            Line(math(notation.density(f)), escape(outline.family(f.family)))
            for f in outline.factors(derivation)
            if f.family is not None
        ],
        "parameters": [
            Line(math(notation.name(p.name)), escape(p.default), escape(p.interval.replace("inf", "∞").replace("-", "−")))
            for p in outline.parameters(derivation)
        ],
        "steps": _steps(derivation),
        "verdict": outline.verdict(derivation),
        "constraints": [_constraint(c) for c in derivation.constraints],
        "bound": [
            Line(_weighted(b.coefficient, b.term), escape(outline.treatment(b)), escape(outline.remark(derivation.spec, b)))
            for b in derivation.bound
        ]
        + [
            Line(math(notation.surrogate(s)), escape("surrogate"), escape(known)) for s, known in outline.surrogates(derivation)
        ],
        "gap_lead": outline.gap_lead(derivation).capitalize(),
        "gap": [Line(_weighted(g.coefficient, g.term), escape(outline.closable(g))) for g in derivation.gap],
        "constants": _pieces(derivation.constants) if len(derivation.constants) else [],
        "conditions": [phrase(notation.premise(c)) for c in outline.conditions(derivation)],
        "certificate": [_plan(p) for p in outline.plans(derivation)],
        "sources": outline.sources(derivation),
    }
    return render("derivation.html.j2", context)


def _weighted(coefficient: object, item: Term) -> Markup:
    return math(notation.expression(Expression.of((coefficient, item))))


def _pieces(item: Expression, new: frozenset[object] = frozenset()) -> list[tuple[Markup, bool]]:
    boxes: tuple[Box, ...] = notation.pieces(item)
    return [(math(box), part in new) for box, part in zip(boxes, item.parts or (None,), strict=True)]


def _steps(derivation: Derivation) -> list[StepView]:
    return [_step(i, s) for i, s in enumerate(derivation.steps, 1)]


def _step(number: int, step: Step) -> StepView:
    reasons = [phrase(notation.premise(p)) for p in outline.premises(step)] + (
        [phrase(notation.note(step.note))] if step.note else []
    )
    pieces = [] if outline.still(step) else _pieces(step.after, outline.fresh(step))
    dropped = math(row(notation.expression(step.gap), Mark.GE, notation.number(0))) if len(step.gap) else Markup()
    return StepView(
        number, KINDS[step.relation], SIGNS[step.relation], pieces, step.rule, "; ".join(step.cite), reasons, dropped
    )


def _constraint(item: Constraint) -> ConstraintView:
    through = math(notation.density(item.critic.through))
    if item.derivation is None:
        return ConstraintView(Markup("The critic sees its samples through {}.").format(through), [], [])
    constrained = math(row(notation.expression(item.derivation.objective), Mark.LE, notation.coefficient(item.budget)))
    multiplier = math(notation.name(item.critic.multiplier or ""))
    text = Markup("The critic sees its samples through {} and is held to {} by the multiplier {}.").format(
        through, constrained, multiplier
    )
    return ConstraintView(text, _pieces(item.derivation.objective), _steps(item.derivation))


def _plan(plan: Plan) -> PlanView:
    sides = outline.identity(plan)
    facts = outline.unique(e.premise for _, e in plan.equations)
    return PlanView(_pieces(sides[0]), _pieces(sides[1]), [phrase(notation.premise(f)) for f in facts])


def preformatted(text: str) -> str:
    """Text as it stands, in a notebook or a page."""
    return str(Markup("<pre>{}</pre>\n").format(text.rstrip("\n")))
