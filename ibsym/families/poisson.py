"""log r(v) = sum [v l - e^l - log v!] of counts, l the logarithm of the rate. Its entropy has no closed form."""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, log_density_of, relative_entropy_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, expected, log_gamma, weighted

POISSON = "poisson"

family(
    FamilyFacts(
        POISSON,
        ("count",),
        (Role("log_rate", Constraint.LOGARITHM),),
        reparameterised=False,
        draws=drawn("Poisson", rate=sympy.exp(sympy.Symbol("log_rate", real=True))),
    )
)


@log_density_of(POISSON)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    rate = law.parameter("log_rate")
    body = weighted(VALUE, rate) - sympy.exp(rate) - log_gamma(VALUE + 1)
    return Formula(EventSum(body), "sum [v l - e^l - log v!], l = log rate")


@relative_entropy_of((POISSON, POISSON))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    a, b = first.parameter("log_rate"), second.parameter("log_rate")
    body = expected(a, a - b) - sympy.exp(a) + sympy.exp(b)
    return Formula(EventSum(body), "sum [e^l (l - l') - e^l + e^l'], l = log rate")
