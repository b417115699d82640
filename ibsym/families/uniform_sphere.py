"""log r(v) = -log area = -[log 2 + n/2 log pi - log Gamma(n/2)] on the sphere of n dimensions."""

from __future__ import annotations

import sympy

from ibsym.families.base import SIZE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import FamilyFacts, drawn_whole, family

family(FamilyFacts("uniform-sphere", ("sphere",), learned=False, draws=drawn_whole("UniformSphere", like=0)))

LOG_AREA = sympy.log(2) + SIZE / 2 * sympy.log(sympy.pi) - sympy.loggamma(SIZE / 2)


@log_density_of("uniform-sphere")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    return Formula(-LOG_AREA, "-log area")


@entropy_of("uniform-sphere")
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    return Formula(LOG_AREA, "log area")


@relative_entropy_of(("uniform-sphere", "uniform-sphere"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    return Formula(sympy.Integer(0), "0")
