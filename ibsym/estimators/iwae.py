"""E log p(x) >= E log mean_k p(x,z_k)/q(z_k|x)."""

from __future__ import annotations

from ibsym.estimators.base import Estimator
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="iwae",
    statement=r"E[\log p(x)] \ge E\log \tfrac1K \sum_k p(x,z_k)/q(z_k|x)",
    estimates=("E",),
    example="E_q[log p(x)]",
    sources=("Burda et al. 2016",),
    known="lower bound, tighter as K grows",
    side=Side.LOWER,
    lowering="draws.iwae",
)
