"""log r(v) = log (K-1)! + (K-1) log t + sum [a - (t+1) log v] - K log sum e^(a - t log v), temperature t.

The Gumbel-softmax density on the simplex of K classes (Jang et al. 2017, Maddison et al. 2017).
"""

from __future__ import annotations

import sympy

from ibsym.families.base import CLASSES, VALUE, Formula, Law, log_density_of
from ibsym.families.facts import FamilyFacts, Role, drawn_whole, family, positive
from ibsym.families.functions import ClassSum, LogSumExp

family(
    FamilyFacts(
        "relaxed-categorical",
        ("unit", "simplex"),
        (Role("logits"),),
        options={"temperature": positive(0.5)},
        draws=drawn_whole("RelaxedOneHotCategorical", temperature="temperature", logits="logits"),
        called=("gumbel-softmax", "concrete"),
    )
)


@log_density_of("relaxed-categorical")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    a, t = law.parameter("logits"), law.number("temperature")
    log_value = sympy.log(VALUE)
    inside = ClassSum(a - (t + 1) * log_value) - CLASSES * LogSumExp(a - t * log_value)
    constant = sympy.loggamma(CLASSES) + (CLASSES - 1) * sympy.log(t)
    return Formula(inside + constant, "log (K-1)! + (K-1) log t + sum [a - (t+1) log v] - K log sum e^(a - t log v)")
