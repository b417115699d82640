"""I(X;Z) <= -mean_i log mean_j exp(-KL(q_i||q_j)), of X uniform over the rows of a fixed set."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Drawn, Estimator, Value


def value(m: Batch) -> Any:
    """Each row's own component counts, at a divergence of 0."""
    table = m.divergences()
    return m.mean(m.log(m.rows(table)) - m.log_sum_exp(-table))


ESTIMATOR = Estimator(
    name="pairwise-kl",
    statement=r"I(X;Z) \approx -\tfrac1N\sum_i \log \tfrac1N \sum_j e^{-D(q(z|x_i)\|q(z|x_j))}",
    estimates=("I",),
    example="I_q(X;Z)",
    sources=("Kolchinsky & Tracey 2017",),
    known="upper bound for X uniform over the rows, all of a fixed set; of a minibatch at most log B, and no bound",
    value=Value(value, "-E_i log mean_j exp(-KL(q_i||q_j))", drawn=Drawn.NOTHING, within_rows=True),
    coupled=True,
)
