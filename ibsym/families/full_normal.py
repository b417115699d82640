"""N(m, C C^T): log density -1/2 |C^-1 (v - m)|^2 - sum log diag C - n/2 log 2 pi, for a lower triangular C.

Relative entropy to N(m', C' C'^T): 1/2 [|C'^-1 C|^2 - n + |C'^-1 (m - m')|^2] + sum log diag C' - sum log diag C. A diagonal
normal has C = diag(e^(l/2)).
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Axes, Constraint, FamilyFacts, Role, drawn_whole, family
from ibsym.families.functions import Columns, Diagonal, EventSum, Inverse, RowSum, Solve, SolveMatrix, standardised
from ibsym.families.gaussian import DIAGONAL, HALF, LOG_TWO_PI, moments

family(
    FamilyFacts(
        "full-normal",
        ("real",),
        (Role("mean"), Role("cholesky", Constraint.TRIANGULAR, Axes.MATRIX)),
        draws=drawn_whole("MultivariateNormal", loc="mean", scale_tril="cholesky"),
        called=("multivariate-normal", "multivariate-gaussian", "full-gaussian", "full-covariance-normal"),
    )
)

FULL = "full-normal"


@log_density_of(FULL)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    root = law.parameter("cholesky")
    white = Solve(root, VALUE - law.parameter("mean"))
    body = HALF * white**2 + sympy.log(Diagonal(root)) + HALF * LOG_TWO_PI
    return Formula(-EventSum(body), "-sum [1/2 w^2 + log diag C + 1/2 log 2 pi], w = C^-1 (v - mean)")


@entropy_of(FULL)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    body = sympy.log(Diagonal(law.parameter("cholesky"))) + HALF * (LOG_TWO_PI + 1)
    return Formula(EventSum(body), "sum [log diag C + 1/2 log 2 pi + 1/2]")


@relative_entropy_of((FULL, FULL), *((FULL, name) for name in DIAGONAL), *((name, FULL) for name in DIAGONAL))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    shift = _mean(first) - _mean(second)
    if second.name != FULL:
        logvar = moments(second)[1]
        trace = standardised(standardised(RowSum(first.parameter("cholesky") ** 2), logvar), logvar)
        distance = standardised(shift, logvar) ** 2
    else:
        root = second.parameter("cholesky")
        distance = Solve(root, shift) ** 2
        if first.name == FULL:
            trace = RowSum(SolveMatrix(root, first.parameter("cholesky")) ** 2)
        else:
            trace = RowSum(Inverse(root) ** 2 * Columns(sympy.exp(moments(first)[1])))
    body = HALF * (trace - 1 + distance) + _log_root(second) - _log_root(first)
    return Formula(EventSum(body), "1/2 [tr(V'^-1 V) - n + |C'^-1 (mean - mean')|^2 + log det V' - log det V], V = C C^T")


def _mean(law: Law) -> sympy.Expr:
    return law.parameter("mean") if law.name == FULL else moments(law)[0]


def _log_root(law: Law) -> sympy.Expr:
    return sympy.log(Diagonal(law.parameter("cholesky"))) if law.name == FULL else moments(law)[1] / 2
