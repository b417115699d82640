"""log r(v) = log softmax(a)_v for a class index v; for weights of the classes, from a relaxation, sum v log softmax(a).

An array of symbols has a law for each of them, and the sums of these.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import CLASSES, VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import FamilyFacts, Role, family, marginal, positive, relaxation
from ibsym.families.functions import ClassSum, EventSum, EveryClass, LogSoftmax, Pick, expected, weighted

family(
    FamilyFacts(
        "categorical",
        ("categorical",),
        (Role("logits"),),
        reparameterised=False,
        options={"relax": relaxation(), "temperature": positive(0.5), "marginal": marginal()},
    )
)


@log_density_of("categorical")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    log_r = LogSoftmax(law.parameter("logits"))
    if law.every:
        return Formula(EveryClass(log_r), "log softmax(a) of every class")
    if law.soft:
        return Formula(EventSum(ClassSum(weighted(VALUE, log_r))), "sum v log softmax(a)")
    return Formula(EventSum(Pick(log_r, VALUE)), f"{'sum ' if law.space.event else ''}log softmax(a)_v")


@entropy_of("categorical")
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    log_r = LogSoftmax(law.parameter("logits"))
    return Formula(-EventSum(ClassSum(expected(log_r, log_r))), "-sum r log r, r = softmax(a)")


@relative_entropy_of(("categorical", "categorical"), ("categorical", "uniform"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    log_a = LogSoftmax(first.parameter("logits"))
    if second.name == "uniform":
        text = "sum [log K + sum r log r], r = softmax(a)" if first.space.event else "log K + sum r log r, r = softmax(a)"
        return Formula(EventSum(ClassSum(expected(log_a, log_a)) + sympy.log(CLASSES)), text)
    log_b = LogSoftmax(second.parameter("logits"))
    return Formula(EventSum(ClassSum(expected(log_a, log_a - log_b))), "sum r log r/r', r = softmax(a)")
