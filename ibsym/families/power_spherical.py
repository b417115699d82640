"""log r(v) = k log(1 + <m, v>) - (a + b) log 2 - b log pi - log Gamma(a) + log Gamma(a + b), b = (n - 1)/2, a = b + k.

The power spherical law on the sphere of n dimensions (De Cao & Aziz 2020).
"""

from __future__ import annotations

import sympy

from ibsym.families.base import SIZE, VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Axes, Constraint, FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, defined, digamma, log_gamma
from ibsym.families.uniform_sphere import LOG_AREA

POWER = "power-spherical"

family(
    FamilyFacts(
        POWER,
        ("sphere",),
        (Role("mean", Constraint.DIRECTION), Role("concentration", Constraint.POSITIVE, Axes.SCALAR)),
        draws=drawn("PowerSpherical", mean="mean", concentration="concentration"),
    )
)

B = (SIZE - 1) / 2
LOG_TWO = sympy.log(2)


def log_constant(k: sympy.Expr) -> sympy.Expr:
    """The logarithm of the density's constant."""
    return log_gamma(2 * B + k) - log_gamma(B + k) - (2 * B + k) * LOG_TWO - B * sympy.log(sympy.pi)


def mean_log(k: sympy.Expr) -> sympy.Expr:
    """E log(1 + <m, v>) = log 2 + psi(a) - psi(a + b)."""
    return LOG_TWO + digamma(B + k) - digamma(2 * B + k)


@log_density_of(POWER)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    k = defined(law.parameter("concentration"))
    cosine = EventSum(law.parameter("mean") * VALUE)
    return Formula(k * sympy.log(1 + cosine) + log_constant(k), "k log(1 + <mean, v>) + log C(k)")


@entropy_of(POWER)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    k = defined(law.parameter("concentration"))
    return Formula(
        -k * mean_log(k) - log_constant(k),
        "-k [log 2 + psi(a) - psi(a + b)] - log C(k), b = (n - 1)/2, a = b + k, psi the derivative of log Gamma",
    )


@relative_entropy_of((POWER, "uniform-sphere"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    k = defined(first.parameter("concentration"))
    return Formula(
        k * mean_log(k) + log_constant(k) + LOG_AREA,
        "k [log 2 + psi(a) - psi(a + b)] + log C(k) + log area, b = (n - 1)/2, a = b + k, psi the derivative of log Gamma",
    )
