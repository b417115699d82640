"""log r(v) = sum [(a - 1) log v - log Gamma(a)] + log Gamma(sum a) on the simplex, in its first K - 1 coordinates.

E log v = psi(a) - psi(sum a) gives the entropy and the relative entropies. The uniform law has a = 1.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import SIZE, VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, digamma, log_gamma, weighted

DIRICHLET = "dirichlet"

family(
    FamilyFacts(
        DIRICHLET,
        ("simplex",),
        (Role("concentration", Constraint.POSITIVE),),
        draws=drawn("Dirichlet", concentration="concentration"),
    )
)


def concentrations(law: Law) -> tuple[sympy.Expr, sympy.Expr]:
    """a and its sum; 1 and K for the uniform law."""
    if law.name == "uniform":
        return sympy.Integer(1), SIZE
    a = law.parameter("concentration")
    return a, EventSum(a)


@log_density_of(DIRICHLET)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    a, total = concentrations(law)
    body = weighted(a - 1, sympy.log(VALUE)) - log_gamma(a)
    return Formula(EventSum(body) + log_gamma(total), "sum [(a - 1) log v - log Gamma(a)] + log Gamma(sum a)")


@entropy_of(DIRICHLET)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    a, total = concentrations(law)
    body = EventSum(log_gamma(a) - (a - 1) * digamma(a)) - log_gamma(total) + (total - SIZE) * digamma(total)
    return Formula(
        body,
        "sum [log Gamma(a) - (a - 1) psi(a)] - log Gamma(a0) + (a0 - K) psi(a0), a0 = sum a, psi the derivative of log Gamma",
    )


@relative_entropy_of((DIRICHLET, DIRICHLET), (DIRICHLET, "uniform"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    (a, total), (c, total_r) = concentrations(first), concentrations(second)
    body = EventSum(log_gamma(c) - log_gamma(a) + (a - c) * digamma(a))
    body += log_gamma(total) - log_gamma(total_r) - (total - total_r) * digamma(total)
    return Formula(
        body,
        "sum [log Gamma(a') - log Gamma(a) + (a - a') psi(a)] + log Gamma(a0) - log Gamma(a0') - (a0 - a0') psi(a0), a0 = sum a, "
        "psi the derivative of log Gamma",
    )
