"""objective (relation) bound + constants, gap: a derivation in the words that an emitted module tells its reader."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from ibsym.derivation.model import Derivation, GapTerm
from ibsym.derivation.unused import sentence
from ibsym.facts import Relation
from ibsym.lowering.program import About
from ibsym.spec.model import Spec
from ibsym.terms.measures import Entropy, Expression, RelativeEntropy, Slack

SAYS = {
    Relation.EQ: "equal to",
    Relation.LE: "bounded from above by",
    Relation.GE: "bounded from below by",
    Relation.APPROX: "estimated by (an estimate or a surrogate, no bound)",
}


def about(derivation: Derivation) -> About:
    """What the docstring says."""
    spec = derivation.spec
    return About(
        title=spec.title,
        objective=" ".join(spec.objective_text.split()),
        bound=f"{SAYS[derivation.relation]}\n{derivation.final}",
        gap=gaps(derivation.gap),
        constants=str(derivation.constants) if len(derivation.constants) else "",
        cite=tuple(spec.cite),
        notes=" ".join(part for part in (spec.notes, sentence(derivation.unused)) if part),
        digest=digest(spec),
    )


def digest(spec: Spec) -> str:
    """What tells the spec from any other: of its keys, whatever their order and whatever file they stood in."""
    return hashlib.sha256(json.dumps(spec.keys, sort_keys=True, default=str).encode()).hexdigest()[:16]


def gaps(parts: Iterable[GapTerm]) -> tuple[tuple[str, str], ...]:
    """The dropped terms by what is said of them, whether training can close them first of all: that and their sum."""
    found: dict[str, Expression] = {}
    for part in parts:
        says = closing(part)
        found[says] = found.get(says, Expression()) + Expression.of((part.coefficient, part.term))
    return tuple((says, str(total)) for says, total in found.items())


def closing(part: GapTerm) -> str:
    """Whether training can close a dropped term."""
    if part.closable:
        return "closable: zero where the family is rich enough"
    match part.term:
        case Slack():
            return "not closable by the families: what the estimator misses"
        case RelativeEntropy():
            return "not closable: no learned factor in it"
        case Entropy():
            return "not closable: an entropy of the data"
    return "not closable"
