"""log N(v; m, e^l) = -1/2 sum [(v - m)^2 e^-l + l + log 2 pi]: what the normals of independent coordinates share.

A standard normal has m = l = 0, an isotropic one a fixed l. Quadratics are evaluated as ((v - m) e^(-l/2))^2: expanded into
products they lose a nat at logvar -12, and e^-l alone overflows at -89 in single precision.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law
from ibsym.families.functions import EventSum, expm1, log_normal_cell, standardised

HALF = sympy.Rational(1, 2)
DEVIATION = sympy.exp(sympy.Symbol("logvar", real=True) / 2)
LOG_TWO_PI = sympy.log(2 * sympy.pi)
DIAGONAL = ("diagonal-normal", "isotropic-normal", "standard-normal")
PAIRS = tuple((a, b) for a in DIAGONAL for b in DIAGONAL)


def moments(law: Law) -> tuple[sympy.Expr, sympy.Expr]:
    """The mean and the log-variance of each coordinate."""
    if law.name == "standard-normal":
        return sympy.Integer(0), sympy.Integer(0)
    if law.name == "isotropic-normal":
        return law.parameter("mean"), 2 * sympy.log(law.number("scale"))
    return law.parameter("mean"), law.parameter("logvar")


def log_density(law: Law) -> Formula:
    """log r(v)."""
    mean, logvar = moments(law)
    quadratic = standardised(VALUE - mean, logvar) ** 2
    return Formula(-HALF * EventSum(quadratic + logvar + LOG_TWO_PI), "-1/2 sum [(v - mean)^2 / var + log var + log 2 pi]")


def log_mass(law: Law, half: sympy.Expr) -> Formula:
    """log of the mass within ``half`` of v."""
    mean, logvar = moments(law)
    body = log_normal_cell(standardised(VALUE - mean, logvar), standardised(half, logvar))
    return Formula(EventSum(body), f"sum log [F(v + {half}) - F(v - {half})], F of N(mean, var)")


def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    _, logvar = moments(law)
    return Formula(HALF * EventSum(logvar + LOG_TWO_PI + 1), "1/2 sum [log var + log 2 pi + 1]")


def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    (mean, logvar), (mean_r, logvar_r) = moments(first), moments(second)
    distance = standardised(mean - mean_r, logvar_r) ** 2
    ratio = logvar - logvar_r
    text = "1/2 sum [r - 1 - log r + (mean - mean')^2 / var'], r = var / var'"
    if second.name == "standard-normal":
        text = "1/2 sum [var - 1 - log var + mean^2]"
    return Formula(HALF * EventSum(expm1(ratio) - ratio + distance), text)


def cross_entropy(first: Law, second: Law) -> Formula:
    """-E[log r'] = H(r) + KL(r || r')."""
    (mean, logvar), (mean_r, logvar_r) = moments(first), moments(second)
    spread = sympy.exp(logvar - logvar_r) + standardised(mean - mean_r, logvar_r) ** 2
    text = "1/2 sum [(var + (mean - mean')^2) / var' + log var' + log 2 pi]"
    return Formula(HALF * EventSum(spread + logvar_r + LOG_TWO_PI), text)
