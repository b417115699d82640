"""log r(v) = -n log w within w/2 of the mean: a value and uniform noise, which stands for rounding (Balle et al. 2017).

At its own draws the density is that constant. What another density gives to them is integrated: the mass of the cell of width w
around the draw, over its volume, which is the density of a draw of that law plus the same noise. At w = 1 the mass at whole
numbers is the probability of the rounded code.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of
from ibsym.families.facts import FamilyFacts, Role, drawn, family, positive
from ibsym.families.functions import EventSum, barrier

NOISE = "uniform-noise"
MEAN, WIDTH = sympy.symbols("mean width", real=True)

family(
    FamilyFacts(
        NOISE,
        ("real",),
        (Role("mean"),),
        options={"width": positive(1.0)},
        draws=drawn("Uniform", low=MEAN - WIDTH / 2, high=MEAN + WIDTH / 2),
        cell="width",
    )
)


@log_density_of(NOISE)
def log_density(law: Law) -> Formula:
    """log r(v) at any value."""
    width = law.number("width")
    body = barrier(sympy.Abs(VALUE - law.parameter("mean")) - width / 2) + sympy.log(width)
    return Formula(-EventSum(body), f"-n log {float(width):g} where all |v - mean| <= {float(width / 2):g}, else -infinity")


@entropy_of(NOISE)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    return Formula(EventSum(sympy.log(law.number("width"))), f"n log {float(law.number('width')):g}")
