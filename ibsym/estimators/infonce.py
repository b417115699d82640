"""I(A;B) >= E log e^f(a_i,b_i) / mean_k e^f(a_i,b_k), at most log K."""

from __future__ import annotations

from ibsym.estimators.base import Estimator
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="infonce",
    statement=r"I(A;B) \ge E \log \frac{e^{f(a_i,b_i)}}{\frac1K\sum_k e^{f(a_i,b_k)}}",
    estimates=("I",),
    example="I_q(X;Z)",
    sources=("van den Oord et al. 2018",),
    known="lower bound, at most log K",
    side=Side.LOWER,
    lowering="pairs.infonce",
    coupled=True,
)
