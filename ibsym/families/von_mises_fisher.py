"""log r(v) = k <m, v> - (w+1) log 2 pi - [log I_w(k) - w log k], w = n/2 - 1, on the sphere of n dimensions."""

from __future__ import annotations

import sympy

from ibsym.families.base import SIZE, VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Axes, Constraint, FamilyFacts, Role, drawn_whole, family
from ibsym.families.functions import EventSum, bessel_ratio, log_bessel
from ibsym.families.uniform_sphere import LOG_AREA

family(
    FamilyFacts(
        "von-mises-fisher",
        ("sphere",),
        (Role("mean", Constraint.DIRECTION), Role("concentration", Constraint.POSITIVE, Axes.SCALAR)),
        draws=drawn_whole("VonMisesFisher", mean="mean", concentration="concentration"),
        called=("vmf",),
    )
)

VMF = "von-mises-fisher"


def log_constant(k: sympy.Symbol) -> sympy.Expr:
    """The logarithm of the density's constant."""
    return -SIZE / 2 * sympy.log(2 * sympy.pi) - log_bessel(SIZE, k)


@log_density_of(VMF)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    k = law.parameter("concentration")
    return Formula(k * EventSum(law.parameter("mean") * VALUE) + log_constant(k), "k <mean, v> + log C(k)")


@entropy_of(VMF)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    k = law.parameter("concentration")
    return Formula(-k * bessel_ratio(SIZE, k) - log_constant(k), "-k A(k) - log C(k), A(k) = I_(n/2)(k) / I_(n/2-1)(k)")


@relative_entropy_of((VMF, "uniform-sphere"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    k = first.parameter("concentration")
    return Formula(
        k * bessel_ratio(SIZE, k) + log_constant(k) + LOG_AREA, "k A(k) + log C(k) + log area, A(k) = I_(n/2)(k) / I_(n/2-1)(k)"
    )
