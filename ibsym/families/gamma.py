"""log r(v) = sum [a log b + (a - 1) log v - b v - log Gamma(a)]: shape a, the ``concentration``, and ``rate`` b.

E v = a / b and E log v = psi(a) - log b give the entropy and the relative entropies.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, digamma, log_gamma, weighted

GAMMA = "gamma"

family(
    FamilyFacts(
        GAMMA,
        ("positive",),
        (Role("concentration", Constraint.POSITIVE), Role("rate", Constraint.POSITIVE)),
        draws=drawn("Gamma", concentration="concentration", rate="rate"),
    )
)


def parameters(law: Law) -> tuple[sympy.Expr, sympy.Expr]:
    """a and b."""
    return law.parameter("concentration"), law.parameter("rate")


@log_density_of(GAMMA)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    a, b = parameters(law)
    body = a * sympy.log(b) + weighted(a - 1, sympy.log(VALUE)) - b * VALUE - log_gamma(a)
    return Formula(EventSum(body), "sum [a log b + (a - 1) log v - b v - log Gamma(a)]")


@entropy_of(GAMMA)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    a, b = parameters(law)
    body = a - sympy.log(b) + log_gamma(a) + (1 - a) * digamma(a)
    return Formula(EventSum(body), "sum [a - log b + log Gamma(a) + (1 - a) psi(a)], psi the derivative of log Gamma")


@relative_entropy_of((GAMMA, GAMMA))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    (a, b), (c, d) = parameters(first), parameters(second)
    body = (a - c) * digamma(a) - log_gamma(a) + log_gamma(c) + c * (sympy.log(b) - sympy.log(d)) + a * (d - b) / b
    return Formula(
        EventSum(body),
        "sum [(a - a') psi(a) - log Gamma(a) + log Gamma(a') + a' log b/b' + a (b' - b)/b], psi the derivative of log Gamma",
    )
