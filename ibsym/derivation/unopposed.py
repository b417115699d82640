"""Terms that a density of its own can make as small as it likes: a loss with one of them has no minimum.

inf over m of E_q[log m(A|B)] = -inf, and sup over m of KL(q||m) = inf, where m may be any law of its family and nothing else in the loss
holds it; a decoder whose log-likelihood has lost its sign learns to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from ibsym.derivation.model import BoundTerm, SurrogateTerm
from ibsym.derivation.unused import touched
from ibsym.facts import Sign
from ibsym.spec.model import Spec
from ibsym.terms.measures import CrossEntropy, ExpectedLog, RelativeEntropy
from ibsym.terms.signs import sign


def unopposed(spec: Spec, bound: Iterable[BoundTerm], surrogates: Iterable[SurrogateTerm] = ()) -> tuple[str, ...]:
    """The factors that gain without end from the one term that evaluates them, as the spec writes them."""
    items, held = tuple(bound), {str(s.density) for s in surrogates}
    uses = [{f.text for f in touched(spec, item)} for item in items]
    found = []
    for item, used in zip(items, uses, strict=True):
        others = {*chain.from_iterable(u for u in uses if u is not used), *held}
        match item.term:
            case ExpectedLog(joint=drawn, second=evaluated):
                gains = Sign.NONNEGATIVE
            case RelativeEntropy(first=first, second=evaluated) | CrossEntropy(first=first, second=evaluated):
                gains, drawn = Sign.NONPOSITIVE, first.head
            case _:
                continue  # the density of an estimate has a player of its own
        weight = item.coefficient if spec.sense == "minimize" else -item.coefficient
        if sign(weight, spec.intervals) is not gains:
            continue
        for density in evaluated:
            factor = spec.joints[density.head].factor_of(density.of, density.given)
            if factor is not None and factor.learned and density.head != drawn and factor.text in used - others:
                found.append(factor.text)
    return tuple(dict.fromkeys(found))


def sentence(names: tuple[str, ...], sense: str) -> str:
    """The note; empty where every density is held by something."""
    if not names:
        return ""
    end = "minimum" if sense == "minimize" else "maximum"
    subject = f"{names[0]} learns" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} learn"
    return f"{subject} to be as wrong as can be, which nothing opposes: the objective has no {end}. Was another sign meant?"
