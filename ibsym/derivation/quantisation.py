"""|sg[code] - e|^2 and w |code - sg[e]|^2: what moves the codebook and the codes of a vector-quantised factor, beside the bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy

from ibsym.derivation.model import BoundTerm, Note, Step, SurrogateTerm
from ibsym.derivation.planning import samplers_of
from ibsym.derivation.unused import touched
from ibsym.facts import Relation
from ibsym.rules.catalogue import CODEBOOK, COMMITMENT
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density, Expression
from ibsym.terms.vectors import Coordinates


def surrogates(spec: Spec, coordinates: Coordinates, items: Iterable[BoundTerm]) -> tuple[SurrogateTerm, ...]:
    """Both, of each vector-quantised factor that a term touches, under each joint that one is an average over; no weights of 0."""
    kept = tuple(items)
    names = dict.fromkeys(j for item in kept for j in samplers_of(item.term))
    seen = {factor.text for item in kept for factor in touched(spec, item)}
    parts = {part.name: part for name in names for _, part in coordinates.samplers(name)}
    sign = 1 if spec.sense == "minimize" else -1
    found = []
    for part in parts.values():
        for factor in part.factors:
            if factor.text not in seen or factor.family is None or not factor.family.facts.quantised:
                continue
            for rule in (CODEBOOK, COMMITMENT):
                weight = sympy.Rational(str(factor.family.option(rule.name)))
                if weight:
                    found.append(SurrogateTerm(sign * weight, rule.name, Density.factor(factor), part.name))
    return tuple(found)


def surrogate_steps(found: Iterable[SurrogateTerm], state: Expression) -> Iterator[Step]:
    """A step for each: the expression stays, the loss has more than it."""
    for item in found:
        rule = CODEBOOK if item.name == CODEBOOK.name else COMMITMENT
        what = (
            "the chosen vectors move towards the codes of "
            if rule is CODEBOOK
            else "the codes stay near the vectors chosen by "
        )
        adds = f"the loss adds {float(abs(item.coefficient)):g} times the square of the distance: "
        note = Note((adds, what, item.density, "; a surrogate, no part of the bound"))
        yield Step(rule.name, Relation.APPROX, state, state, cite=rule.sources, note=note)
