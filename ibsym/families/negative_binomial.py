"""log r(v) = sum [log Gamma(r + v) - log v! - log Gamma(r) + r log s(-a) + v log s(a)] of counts: r failures, successes with logits a.

The mean is r e^a. With zeros of their own, the count is 0 with probability s(g), whatever the rest says.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, log_density_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family
from ibsym.families.functions import EventSum, is_zero, log_gamma, logsigmoid, softplus, weighted

PLAIN = "negative-binomial"
INFLATED = "zero-inflated-negative-binomial"
ROLES = (Role("total_count", Constraint.POSITIVE), Role("logits"))
DENSITY = "log Gamma(r + v) - log v! - log Gamma(r) + r log s(-a) + v log s(a)"

family(
    FamilyFacts(
        PLAIN,
        ("count",),
        ROLES,
        reparameterised=False,
        draws=drawn("NegativeBinomial", total_count="total_count", logits="logits"),
    )
)
family(
    FamilyFacts(
        INFLATED,
        ("count",),
        (*ROLES, Role("gate_logits")),
        reparameterised=False,
        draws=drawn("ZeroInflatedNegativeBinomial", total_count="total_count", logits="logits", gate_logits="gate_logits"),
    )
)


def element(law: Law) -> sympy.Expr:
    """log r(v) of one count, without zeros of their own."""
    r, a = law.parameter("total_count"), law.parameter("logits")
    known = weighted(r, logsigmoid(-a)) + weighted(VALUE, logsigmoid(a))
    return log_gamma(r + VALUE) - log_gamma(VALUE + 1) - log_gamma(r) + known


@log_density_of(PLAIN)
def log_density(law: Law) -> Formula:
    """log r(v)."""
    return Formula(EventSum(element(law)), f"sum [{DENSITY}], s the sigmoid")


@log_density_of(INFLATED)
def inflated_log_density(law: Law) -> Formula:
    """log r(v): at 0, log(s(g) + s(-g) s(-a)^r)."""
    gate = law.parameter("gate_logits")
    at_zero = softplus(gate - law.parameter("total_count") * logsigmoid(-law.parameter("logits")))
    body = logsigmoid(-gate) + element(law) + weighted(is_zero(VALUE), at_zero)
    return Formula(
        EventSum(body), f"sum [log s(-g) + {DENSITY} + [v = 0] log(1 + e^g / s(-a)^r)], s the sigmoid, g the gate's logits"
    )
