"""log r(v) = -sum [|v - m| / b + log 2b], with a fixed scale b or a learned one."""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of, log_mass_of, relative_entropy_of
from ibsym.families.facts import FamilyFacts, Role, drawn, family, positive
from ibsym.families.functions import EventSum, expm1, log_laplace_cell

family(
    FamilyFacts(
        "laplace",
        ("real",),
        (Role("mean"),),
        options={"scale": positive(1.0, learnable=True)},
        called=("laplacian", "double-exponential"),
        draws=drawn("Laplace", loc="mean", scale="scale"),
    )
)


def scale(law: Law) -> sympy.Expr:
    """b: a number, or the symbol of a learned parameter."""
    return law.parameter("scale") if law.family.option("scale") == "learned" else law.number("scale")


@log_density_of("laplace")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    b = scale(law)
    body = sympy.Abs(VALUE - law.parameter("mean")) / b + sympy.log(2 * b)
    return Formula(-EventSum(body), "-sum [|v - mean| / b + log 2b]")


@log_mass_of("laplace")
def log_mass(law: Law, half: sympy.Expr) -> Formula:
    """log of the mass within ``half`` of v."""
    b = scale(law)
    body = log_laplace_cell((VALUE - law.parameter("mean")) / b, half / b)
    return Formula(EventSum(body), f"sum log [F(v + {half}) - F(v - {half})], F of the Laplace law")


@entropy_of("laplace")
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    return Formula(EventSum(sympy.log(2 * scale(law)) + 1), "sum [log 2b + 1]")


@relative_entropy_of(("laplace", "laplace"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    b, b_r = scale(first), scale(second)
    distance = sympy.Abs(first.parameter("mean") - second.parameter("mean"))
    body = distance / b_r + b / b_r * expm1(-distance / b) + b / b_r - 1 + sympy.log(b_r) - sympy.log(b)
    return Formula(EventSum(body), "sum [log b'/b + (d + b e^(-d/b)) / b' - 1], d = |mean - mean'|")
