"""E log p(x) >= E log mean_k p(x,z_k)/q(z_k|x)."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Drawn, Estimator, Value
from ibsym.facts import Side


def value(m: Batch) -> Any:
    """The more draws, the tighter."""
    return m.log_mean_of_draws(m.importance_weights())


ESTIMATOR = Estimator(
    name="iwae",
    statement=r"E[\log p(x)] \ge E\log \tfrac1K \sum_k p(x,z_k)/q(z_k|x)",
    estimates=("E",),
    example="E_q[log p(x)]",
    sources=("Burda et al. 2016",),
    known="lower bound, tighter as K grows",
    side=Side.LOWER,
    value=Value(
        value,
        "E log 1/S sum_s of the weights",
        why="",
        note="without a Monte-Carlo axis it has one draw",
        drawn=Drawn.LATENTS,
        copies=8,
    ),
    called=("importance-weighted", "importance-sampling"),
)
