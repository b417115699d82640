"""log r(v) = -n log 2 on n bits, -log K on K classes, 0 on [0, 1]^n, log (K-1)! on the simplex: the uniform law, nothing learned."""

from __future__ import annotations

import sympy

from ibsym.families.base import CLASSES, SIZE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import FamilyFacts, drawn, family
from ibsym.families.functions import ClassSum, EventSum, LogSoftmax, logsigmoid, unit_cumulant

family(
    FamilyFacts(
        "uniform",
        ("unit", "simplex", "binary", "categorical"),
        learned=False,
        draws=drawn("Uniform", low=0, high=1),
        draws_on={
            "binary": drawn("Bernoulli", logits=0),
            "categorical": drawn("OneHotCategorical", logits=0),
            "simplex": drawn("Dirichlet", concentration=1),
        },
    )
)

HALF = sympy.Rational(1, 2)


def log_volume(law: Law) -> Formula:
    """The logarithm of the number, or of the volume, of the values."""
    if law.space.kind == "binary":
        return Formula(SIZE * sympy.log(2), "n log 2")
    if law.space.kind == "categorical":
        return Formula(SIZE * sympy.log(CLASSES), "n log K" if law.space.event else "log K")
    if law.space.kind == "simplex":
        return Formula(-sympy.loggamma(SIZE), "-log (K-1)!")
    return Formula(sympy.Integer(0), "0")


@log_density_of("uniform")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    volume = log_volume(law)
    return Formula(-volume.expression, volume.text.removeprefix("-") if volume.text.startswith("-") else f"-{volume.text}")


@entropy_of("uniform")
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    return log_volume(law)


@relative_entropy_of(*(("uniform", name) for name in ("uniform", "bernoulli", "categorical", "continuous-bernoulli")))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    if second.name == "uniform":
        return Formula(sympy.Integer(0), "0")
    a = second.parameter("logits")
    if second.name == "bernoulli":
        return Formula(
            -HALF * EventSum(logsigmoid(a) + logsigmoid(-a) + 2 * sympy.log(2)),
            "-1/2 sum [log s(a) + log s(-a) + 2 log 2], s the sigmoid",
        )
    if second.name == "categorical":
        text = "sum [-1/K sum log softmax(a) - log K]" if first.space.event else "-1/K sum log softmax(a) - log K"
        return Formula(EventSum(-ClassSum(LogSoftmax(a)) / CLASSES - sympy.log(CLASSES)), text)
    return Formula(EventSum(unit_cumulant(a) - HALF * a), "sum [A(a) - a/2], A(a) = log (e^a - 1)/a")
