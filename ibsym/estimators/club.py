"""I(A;B) <= E log j(b_i|a_i) - E log j(b_k|a_i), k != i."""

from __future__ import annotations

from ibsym.estimators.base import Estimator, Option
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="club",
    statement=r"I(A;B) \le E\log j(b_i|a_i) - E \log j(b_k|a_i),\; k \ne i",
    estimates=("I",),
    example="I_q(X;Z)",
    sources=("Cheng et al. 2020",),
    known="upper bound for the true conditional",
    side=Side.UPPER,
    options=(Option("density", "density"),),
    lowering="pairs.club",
    coupled=True,
)
