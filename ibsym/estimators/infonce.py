"""I(A;B) >= E log e^f(a_i,b_i) / mean_k e^f(a_i,b_k), at most log K."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Estimator, Option, Value
from ibsym.facts import Side


def value(m: Batch) -> Any:
    """log K is added last: it would be lost on either logarithm where scores are large."""
    if m.option("critic") == "inner-product":
        return m.mean(m.pair_share())
    table = m.scores()
    return m.mean(m.first(m.own(table) - m.log_sum_exp(table)) + m.log(m.rows(table)))


ESTIMATOR = Estimator(
    name="infonce",
    statement=r"I(A;B) \ge E \log \frac{e^{f(a_i,b_i)}}{\frac1K\sum_k e^{f(a_i,b_k)}}",
    estimates=("I",),
    example="I_q(X;Z)",
    sources=("van den Oord et al. 2018",),
    known="lower bound, at most log K",
    side=Side.LOWER,
    options=(Option("critic", "choice", "scores", choices=("scores", "inner-product")),),
    value=Value(value, "E log e^f_ii / mean_j e^f_ij, at most log B", within_rows=True),
    coupled=True,
    called=("nce", "nt-xent", "contrastive", "simclr"),
)
