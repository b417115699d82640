"""I(A;B) <= E log j(b_i|a_i) / mean_{k != i} j(b_i|a_k)."""

from __future__ import annotations

from ibsym.estimators.base import Estimator, Option
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="leave-one-out",
    statement=r"I(A;B) \le E \log \frac{j(b_i|a_i)}{\frac{1}{K-1}\sum_{k\ne i} j(b_i|a_k)}",
    estimates=("I",),
    example="I_q(X;Z)",
    sources=("Poole et al. 2019",),
    known="upper bound in expectation",
    side=Side.UPPER,
    options=(Option("density", "density"),),
    lowering="pairs.leave_one_out",
    coupled=True,
)
