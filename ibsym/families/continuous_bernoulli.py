"""log r(v) = sum [a v - A(a)] on [0, 1], A(a) = log of the integral of e^(a v) = log (e^a - 1)/a; Taylor near a = 0."""

from __future__ import annotations

from ibsym.families.base import VALUE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, unit_cumulant, unit_mean

family(FamilyFacts("continuous-bernoulli", ("unit",), (Role("logits"),), draws=drawn("ContinuousBernoulli", logits="logits")))


@log_density_of("continuous-bernoulli")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    a = law.parameter("logits")
    return Formula(EventSum(a * VALUE - unit_cumulant(a)), "sum [a v - A(a)], A(a) = log (e^a - 1)/a")


@entropy_of("continuous-bernoulli")
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    a = law.parameter("logits")
    return Formula(EventSum(unit_cumulant(a) - a * unit_mean(a)), "sum [A(a) - a A'(a)], A(a) = log (e^a - 1)/a")


@relative_entropy_of(("continuous-bernoulli", "continuous-bernoulli"), ("continuous-bernoulli", "uniform"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    a = first.parameter("logits")
    if second.name == "uniform":
        return Formula(EventSum(a * unit_mean(a) - unit_cumulant(a)), "sum [a A'(a) - A(a)], A(a) = log (e^a - 1)/a")
    b = second.parameter("logits")
    body = (a - b) * unit_mean(a) - unit_cumulant(a) + unit_cumulant(b)
    return Formula(EventSum(body), "sum [(a - a') A'(a) - A(a) + A(a')], A(a) = log (e^a - 1)/a")
