"""I(A;B) <= E log j(b_i|a_i) - E log j(b_k|a_i), k != i."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Estimator, Option, Value
from ibsym.facts import Side


def value(m: Batch) -> Any:
    """The mean of a row at its own partner, minus that at the others'."""
    table = m.conditional()
    return m.mean(m.own(table)) - m.mean_of_others(table)


ESTIMATOR = Estimator(
    name="club",
    statement=r"I(A;B) \le E\log j(b_i|a_i) - E \log j(b_k|a_i),\; k \ne i",
    estimates=("I",),
    example="I_q(X;Z)",
    sources=("Cheng et al. 2020",),
    known="upper bound for the true conditional",
    side=Side.UPPER,
    options=(Option("density", "density"),),
    value=Value(value, "E log q(z_i|x_i) - E log q(z_j|x_i), j != i"),
    coupled=True,
)
