"""log r(v) = sum [log s(y) + log s(-y) - log b], y = (v - m)/b, s the sigmoid; over cells of a grid, the mass of each.

log(s(u) - s(l)) = log s(u) + log s(-l) + log(1 - e^(l - u)), never a difference of sigmoids. Cells at the ends of a grid are open:
that of 0 and, in [0, 1], that of 1; counts have no last one.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of, log_mass_of
from ibsym.families.facts import Constraint, FamilyFacts, Option, Role, drawn, family
from ibsym.families.functions import EventSum, defined, expm1, logsigmoid, opened

LOGISTIC = "logistic"
DISCRETISED = "discretised-logistic"
ROLES = (Role("mean"), Role("scale", Constraint.POSITIVE))
HALF = sympy.Rational(1, 2)


def levels(default: int) -> Option:
    """A number of values of a grid."""

    def accepts(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= 65536

    return Option(default, accepts, "is not a whole number from 2 on", str(default), spaces=("unit",))


family(FamilyFacts(LOGISTIC, ("real",), ROLES, draws=drawn("Logistic", mean="mean", scale="scale")))
family(
    FamilyFacts(
        DISCRETISED,
        ("unit", "count"),
        ROLES,
        reparameterised=False,
        options={"bins": levels(256)},
        draws=drawn("DiscretisedLogistic", mean="mean", scale="scale", bins="bins"),
    )
)


def standard(law: Law, value: sympy.Expr) -> sympy.Expr:
    """(v - m)/b."""
    return (value - law.parameter("mean")) / defined(law.parameter("scale"))


@log_density_of(LOGISTIC)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    y = standard(law, VALUE)
    body = logsigmoid(y) + logsigmoid(-y) - sympy.log(law.parameter("scale"))
    return Formula(EventSum(body), "sum [log s(y) + log s(-y) - log b], y = (v - mean)/b, s the sigmoid")


@entropy_of(LOGISTIC)
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    return Formula(EventSum(sympy.log(law.parameter("scale")) + 2), "sum [log b + 2]")


def cell(low: sympy.Expr, high: sympy.Expr, width: sympy.Expr) -> sympy.Expr:
    """log(s(u) - s(l)), the width u - l given by itself."""
    return logsigmoid(high) + logsigmoid(-low) + sympy.log(-expm1(-width))


@log_mass_of(LOGISTIC)
def log_mass(law: Law, half: sympy.Expr) -> Formula:
    """log of the mass within ``half`` of v."""
    low, high = standard(law, VALUE - half), standard(law, VALUE + half)
    body = cell(low, high, 2 * half / law.parameter("scale"))
    return Formula(EventSum(body), f"sum log [s((v + {half} - mean)/b) - s((v - {half} - mean)/b)], s the sigmoid")


@log_density_of(DISCRETISED)
def discretised_log_density(law: Law) -> Formula:
    """log r(v): the mass of the cell of v, half a step of the grid to either side."""
    half, last = HALF, ""
    if law.space.kind == "unit":
        half = HALF / (int(law.number("bins")) - 1)
        last = " and 1"
    below, width = opened(half - VALUE, -standard(law, VALUE - half)), 2 * half / law.parameter("scale")
    above, width = standard(law, VALUE + half), opened(half - VALUE, width)
    if law.space.kind == "unit":
        above, width = opened(VALUE + half - 1, above), opened(VALUE + half - 1, width)
    return Formula(
        EventSum(cell(-below, above, width)),
        f"sum log [s((v + h - mean)/b) - s((v - h - mean)/b)], h = {half}, s the sigmoid; cells of 0{last} are open",
    )
