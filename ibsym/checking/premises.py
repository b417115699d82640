"""A - C - B in j, and the other premises a step prints: each read back and checked against the graphs and spaces."""

from __future__ import annotations

import re

from ibsym.checking.exact import Facts, separated
from ibsym.derivation.model import Step
from ibsym.errors import AuditError

_MARKOV = re.compile(r"(.+) - (.+) - (.+) in (\w+)")
_APART = re.compile(r"(.+) and (.+) independent in (\w+)")
_GIVEN = re.compile(r"(.+) independent of (.+) given (.*) in (\w+)")
_FACTOR = re.compile(r"(.+) is a factor of (\w+)")
_POSITIVE = re.compile(r"(.+) >= 0( \(.+\))?")
_DISCRETE = re.compile(r"(\w+) is discrete( \(.+\))?")


def check_premises(facts: Facts, step: Step, where: str) -> None:
    """Every premise of the step is true; one that cannot be read is an error too."""
    for premise in step.premises:
        if not _holds(facts, step, premise):
            raise AuditError(f"{where}: the premise '{premise}' does not hold by the graphs and spaces of the spec")


def _holds(facts: Facts, step: Step, premise: str) -> bool:
    spec = facts.spec
    folded = {v.casefold(): v for v in spec.variables}

    def names(text: str) -> list[str]:
        return [folded[n.strip().casefold()] for n in text.split(",") if n.strip()]

    def independent(a: str, b: str, given: str, joint: str) -> bool:
        return separated(spec.joints[joint], names(a), names(b), names(given))

    try:
        if found := _GIVEN.fullmatch(premise):
            return independent(found[1], found[2], found[3], found[4])
        if found := _MARKOV.fullmatch(premise):
            return independent(found[1], found[3], found[2], found[4])
        if found := _APART.fullmatch(premise):
            return independent(found[1], found[2], "", found[3])
        if found := _FACTOR.fullmatch(premise):
            return found[1] in {f.text for f in spec.joints[found[2]].factors}
        if found := _POSITIVE.fullmatch(premise):
            return found[1] in {str(w.term) for w in step.gap}
        if found := _DISCRETE.fullmatch(premise):
            return all(map(spec.discrete, names(found[1])))
    except KeyError:
        return False
    return False
