"""I(A;B) <= E log j(b_i|a_i) / mean_{k != i} j(b_i|a_k)."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Estimator, Option, Value
from ibsym.facts import Side


def value(m: Batch) -> Any:
    """The marginal by the mean of the other rows' conditionals."""
    table = m.conditional()
    return m.mean(m.first(m.own(table) - m.log_sum_exp(m.others(table))) + m.log(m.rows(table) - 1))


ESTIMATOR = Estimator(
    name="leave-one-out",
    statement=r"I(A;B) \le E \log \frac{j(b_i|a_i)}{\frac{1}{K-1}\sum_{k\ne i} j(b_i|a_k)}",
    estimates=("I",),
    example="I_q(X;Z)",
    sources=("Poole et al. 2019",),
    known="upper bound in expectation",
    side=Side.UPPER,
    options=(Option("density", "density"),),
    value=Value(value, "E log q(z_i|x_i) / mean_(j != i) q(z_i|x_j)"),
    coupled=True,
    called=("loo",),
)
