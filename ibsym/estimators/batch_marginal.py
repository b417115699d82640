"""KL(q(c)||u(c)) by the shares of classes in two batches."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Drawn, Estimator, Value


def value(m: Batch) -> Any:
    """The relative entropy of the first batch's shares to the second's."""
    r, s = m.class_shares()
    return m.mean_log(r, r) - m.mean_log(r, s)


ESTIMATOR = Estimator(
    name="batch-marginal",
    statement=r"D(q(c)\|u(c)) \approx D(\hat q(c)\|\tfrac1B\sum_b u(c|z_b))",
    estimates=("KL",),
    example="KL(q(c)||u(c))",
    sources=("Springenberg 2016", "Voloshynovskiy et al. 2020"),
    known="biased estimate, consistent in the batch size",
    value=Value(
        value,
        "sum_c r_c [log r_c - log m_c], r and m the classes' shares in the batches",
        why="compares the marginals of two batches",
        drawn=Drawn.CONDITIONERS,
    ),
    coupled=True,
)
