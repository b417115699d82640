"""log r(v) = sum [(a - 1) log v + (b - 1) log(1 - v) - log B(a, b)] on [0, 1], log B = log Gamma(a) + log Gamma(b) - log Gamma(a + b).

a is ``concentration1``, b ``concentration0``. E log v = psi(a) - psi(a + b) gives the entropy and the relative entropies.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, digamma, log_gamma, weighted

BETA = "beta"
LOG_B = "log B(a, b) = log Gamma(a) + log Gamma(b) - log Gamma(a + b)"

family(
    FamilyFacts(
        BETA,
        ("unit",),
        (Role("concentration1", Constraint.POSITIVE), Role("concentration0", Constraint.POSITIVE)),
        draws=drawn("Beta", concentration1="concentration1", concentration0="concentration0"),
    )
)


def concentrations(law: Law) -> tuple[sympy.Expr, sympy.Expr]:
    """a and b; 1 and 1 for the uniform law."""
    if law.name == "uniform":
        return sympy.Integer(1), sympy.Integer(1)
    return law.parameter("concentration1"), law.parameter("concentration0")


def log_beta(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    """log B(a, b)."""
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)


@log_density_of(BETA)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    a, b = concentrations(law)
    body = weighted(a - 1, sympy.log(VALUE)) + weighted(b - 1, sympy.log(1 - VALUE)) - log_beta(a, b)
    return Formula(EventSum(body), f"sum [(a - 1) log v + (b - 1) log(1 - v) - log B(a, b)], {LOG_B}")


@entropy_of(BETA)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    a, b = concentrations(law)
    body = log_beta(a, b) - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)
    return Formula(
        EventSum(body),
        f"sum [log B(a, b) - (a - 1) psi(a) - (b - 1) psi(b) + (a + b - 2) psi(a + b)], {LOG_B}, psi its derivative",
    )


@relative_entropy_of((BETA, BETA), (BETA, "uniform"), ("uniform", BETA))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    (a, b), (c, d) = concentrations(first), concentrations(second)
    if first.name == "uniform":
        return Formula(EventSum(log_beta(c, d) + c + d - 2), f"sum [log B(a', b') + a' + b' - 2], {LOG_B}")
    body = log_beta(c, d) - log_beta(a, b) + (a - c) * digamma(a) + (b - d) * digamma(b) + (c - a + d - b) * digamma(a + b)
    return Formula(
        EventSum(body),
        "sum [log B(a', b') - log B(a, b) + (a - a') psi(a) + (b - b') psi(b) + (a' - a + b' - b) psi(a + b)], "
        f"{LOG_B}, psi the derivative of log Gamma",
    )
