"""KL(q(c)||u(c)) by the shares of classes in two batches."""

from __future__ import annotations

from ibsym.estimators.base import Estimator

ESTIMATOR = Estimator(
    name="batch-marginal",
    statement=r"D(q(c)\|u(c)) \approx D(\hat q(c)\|\tfrac1B\sum_b u(c|z_b))",
    estimates=("KL",),
    example="KL(q(c)||u(c))",
    sources=("Springenberg 2016", "Voloshynovskiy et al. 2020"),
    known="biased estimate, consistent in the batch size",
    lowering="draws.batch_marginal",
    coupled=True,
)
