"""log r(v) = sum [v log s(a) + (1 - v) log s(-a)], s the sigmoid of the logits a; never a probability's logarithm.

Both logarithms are written out, so that the gradient v s(-a) - (1 - v) s(a) keeps its digits where a bit is certain.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, cross_entropy_of, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import FamilyFacts, Role, drawn, family, positive, relaxation
from ibsym.families.functions import EventSum, binary_cross_entropy, expected, logsigmoid

family(
    FamilyFacts(
        "bernoulli",
        ("binary",),
        (Role("logits"),),
        reparameterised=False,
        options={"relax": relaxation(), "temperature": positive(0.5)},
        draws=drawn("Bernoulli", logits="logits"),
        called=("sigmoid", "binary"),
    )
)


@log_density_of("bernoulli")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    a = law.parameter("logits")
    return Formula(-EventSum(binary_cross_entropy(VALUE, a)), "sum [v log s(a) + (1 - v) log s(-a)], s the sigmoid")


@entropy_of("bernoulli")
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    a = law.parameter("logits")
    return Formula(
        -EventSum(expected(logsigmoid(a), logsigmoid(a)) + expected(logsigmoid(-a), logsigmoid(-a))),
        "-sum [s(a) log s(a) + s(-a) log s(-a)], s the sigmoid",
    )


@relative_entropy_of(("bernoulli", "bernoulli"), ("bernoulli", "uniform"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    a = first.parameter("logits")
    if second.name == "uniform":
        body = expected(logsigmoid(a), logsigmoid(a)) + expected(logsigmoid(-a), logsigmoid(-a)) + sympy.log(2)
        return Formula(EventSum(body), "sum [s(a) log s(a) + s(-a) log s(-a) + log 2], s the sigmoid")
    b = second.parameter("logits")
    body = _divergence(a, b) + _divergence(-a, -b)
    return Formula(EventSum(body), "sum [s(a) log s(a)/s(a') + s(-a) log s(-a)/s(-a')], s the sigmoid")


def _divergence(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    """s(a) log s(a)/s(b), one outcome's part."""
    return expected(logsigmoid(a), logsigmoid(a) - logsigmoid(b))


@cross_entropy_of(("bernoulli", "bernoulli"))
def cross_entropy(first: Law, second: Law) -> Formula:
    """-E_r[log r']: with no difference of logarithms in it."""
    a, b = first.parameter("logits"), second.parameter("logits")
    body = expected(logsigmoid(a), logsigmoid(b)) + expected(logsigmoid(-a), logsigmoid(-b))
    return Formula(-EventSum(body), "-sum [s(a) log s(a') + s(-a) log s(-a')], s the sigmoid")
