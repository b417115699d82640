"""log r(v) = log N(log v; m, e^l) - sum log v: the logarithm is normal, with mean m and log-variance l.

Relative entropies are those of the logarithms, which no change of variable alters.
"""

from __future__ import annotations

import sympy

from ibsym.families import gaussian
from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, expm1, standardised
from ibsym.families.gaussian import HALF, LOG_TWO_PI

LOG_NORMAL = "log-normal"

family(
    FamilyFacts(
        LOG_NORMAL,
        ("positive",),
        (Role("mean"), Role("logvar", Constraint.LOGARITHM)),
        draws=drawn("LogNormal", loc="mean", scale=gaussian.DEVIATION),
    )
)


@log_density_of(LOG_NORMAL)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    mean, logvar = law.parameter("mean"), law.parameter("logvar")
    quadratic = standardised(sympy.log(VALUE) - mean, logvar) ** 2
    body = quadratic + logvar + LOG_TWO_PI + 2 * sympy.log(VALUE)
    return Formula(-HALF * EventSum(body), "-1/2 sum [(log v - mean)^2 / var + log var + log 2 pi + 2 log v]")


@entropy_of(LOG_NORMAL)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    body = law.parameter("logvar") + LOG_TWO_PI + 1 + 2 * law.parameter("mean")
    return Formula(HALF * EventSum(body), "1/2 sum [log var + log 2 pi + 1 + 2 mean]")


@relative_entropy_of((LOG_NORMAL, LOG_NORMAL))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    logvar_r = second.parameter("logvar")
    distance = standardised(first.parameter("mean") - second.parameter("mean"), logvar_r) ** 2
    ratio = first.parameter("logvar") - logvar_r
    body = expm1(ratio) - ratio + distance
    return Formula(HALF * EventSum(body), "1/2 sum [r - 1 - log r + (mean - mean')^2 / var'], r = var / var', of log v")
