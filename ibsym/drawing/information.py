"""A derivation as a picture: what each step makes of which terms, what was dropped where, and what is left for the loss.

From left to right the terms of the objective, and every step as a circle between the terms that it takes and those that it gives. A term
that nothing takes is computed, or constant; one that an inequality takes and gives nothing for is dropped.
"""

from __future__ import annotations

from ibsym.derivation.model import BoundTerm, Derivation, Step
from ibsym.drawing.scheme import Kind, Node, Scheme
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Relation
from ibsym.rendering import notation, outline
from ibsym.rendering.tex import tex
from ibsym.terms.measures import Term, Weighted

SIGNS = {Relation.EQ: "=", Relation.LE: r"\leq", Relation.GE: r"\geq", Relation.APPROX: r"\approx"}
WORDS = {Relation.EQ: "=", Relation.LE: "≤", Relation.GE: "≥", Relation.APPROX: "≈"}


def information(derivation: Derivation) -> Scheme:
    """The figure of what was dropped where."""
    drawn = Scheme(derivation.spec.name, legend=tuple(_legend(derivation)))
    moves = [(i, step) for i, step in enumerate(derivation.steps, 1) if not outline.still(step)]
    kinds = _kinds(derivation, moves)
    since: dict[Weighted, int] = dict.fromkeys(derivation.objective.parts, 0)

    def node(part: Weighted) -> Node:
        key = (part, since[part])
        label = tex(notation.weighted(part, first=True)).strip()
        return drawn.nodes.setdefault(key, Node(kinds.get(key, Kind.PART), key, label))

    for part in derivation.objective:
        node(part)
    for i, step in moves:
        circle = drawn.nodes.setdefault(("step", i), Node(Kind.STEP, ("step", i), rf"{i}\,{SIGNS[step.relation]}"))
        taken = _taken(step)
        for part in taken:
            drawn.flow[node(part), circle] = None
            del since[part]
        for part in _given(step):
            since[part] = i
            drawn.flow[circle, node(part)] = None
        for part in step.gap:
            if not any(_dropped(t, step) and t.term == part.term for t in taken):
                key = ("gap", part, i)
                label = tex(notation.weighted(part, first=True)).strip() + r" \geq 0"
                drawn.flow[circle, drawn.nodes.setdefault(key, Node(Kind.DROPPED, key, label))] = None
    return drawn


Moves = list[tuple[int, Step]]


def _kinds(derivation: Derivation, moves: Moves) -> dict[tuple[object, ...], Kind]:
    """What a part is, by the step that brought it in: of the objective, dropped by a step, or left for the loss."""
    since: dict[Weighted, int] = dict.fromkeys(derivation.objective.parts, 0)
    found: dict[tuple[object, ...], Kind] = {(part, 0): Kind.SOURCE for part in since}
    for i, step in moves:
        for part in _taken(step):
            key = (part, since.pop(part))
            if _dropped(part, step):
                found[key] = Kind.DROPPED
        since |= dict.fromkeys(_given(step), i)
    ends = _ends(derivation)
    return found | {(part, i): ends[part] for part, i in since.items()}


def _taken(step: Step) -> list[Weighted]:
    """The parts that a step replaces."""
    return [p for p in step.before if p not in step.after.parts]


def _given(step: Step) -> list[Weighted]:
    """The parts that a step brings in."""
    return [p for p in step.after if p not in step.before.parts]


def _dropped(part: Weighted, step: Step) -> bool:
    """Whether a step drops the whole of a part."""
    return any(g.term == part.term for g in step.gap) and all(p.term != part.term for p in step.after)


def _ends(derivation: Derivation) -> dict[Weighted, Kind]:
    """What the parts of the final expression are: computed, by a critic or without, or constant."""
    computed: dict[Term, BoundTerm] = {b.term: b for b in derivation.bound}
    found = {}
    for part in derivation.final:
        use = computed.get(part.term)
        rule = ESTIMATORS.get(use.estimator) if use is not None else None
        found[part] = (
            Kind.CONSTANT if use is None else Kind.CRITIC if rule is not None and rule.critic is not None else Kind.TERM
        )
    return found


def _legend(derivation: Derivation) -> list[str]:
    """What the circles are, then what the shapes are."""
    steps = [
        f"{i} {WORDS[s.relation]}  {s.rule}" + (f" ({'; '.join(s.cite)})" if s.cite else "")
        for i, s in enumerate(derivation.steps, 1)
    ]
    return [
        *steps,
        "filled: the objective; hatched: dropped, never negative; dashed: constant; round: what the loss computes (thick: by a critic)",
    ]
