"""log r(v) = sum [log Gamma((n+1)/2) - log Gamma(n/2) - 1/2 log n pi - log s - (n+1)/2 log(1 + y^2/n)], y = (v - m)/s; n is ``df``."""

from __future__ import annotations

import mpmath
import sympy

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family, positive
from ibsym.families.functions import EventSum

STUDENT = "student-t"
HALF = sympy.Rational(1, 2)

family(
    FamilyFacts(
        STUDENT,
        ("real",),
        (Role("mean"), Role("scale", Constraint.POSITIVE)),
        options={"df": positive(3.0)},
        draws=drawn("StudentT", df="df", loc="mean", scale="scale"),
    )
)


def log_constant(n: sympy.Rational) -> sympy.Expr:
    """The logarithm of the density's constant, at scale 1: a number."""
    half = mpmath.mpf(n.p) / n.q / 2
    return sympy.Float(mpmath.loggamma(half + 0.5) - mpmath.loggamma(half) - mpmath.log(2 * half * mpmath.pi) / 2)


@log_density_of(STUDENT)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    n, scale = law.number("df"), law.parameter("scale")
    distance = (VALUE - law.parameter("mean")) / scale
    body = log_constant(n) - sympy.log(scale) - (n + 1) * HALF * sympy.log(1 + distance**2 / n)
    return Formula(
        EventSum(body),
        "sum [log C - log s - (n+1)/2 log(1 + y^2/n)], y = (v - mean)/s, C = Gamma((n+1)/2) / (Gamma(n/2) (n pi)^(1/2))",
    )


@entropy_of(STUDENT)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    n = law.number("df")
    half = mpmath.mpf(n.p) / n.q / 2
    spread = sympy.Float((half + 0.5) * (mpmath.digamma(half + 0.5) - mpmath.digamma(half)))
    body = sympy.log(law.parameter("scale")) - log_constant(n) + spread
    return Formula(EventSum(body), "sum [log s - log C + (n+1)/2 (psi((n+1)/2) - psi(n/2))]")
