"""log q(z_i) ~ log 1/(N M) sum_j q(z_i|x_j), over the rows of a batch."""

from __future__ import annotations

from ibsym.estimators.base import Estimator, Option

ESTIMATOR = Estimator(
    name="minibatch-weighted",
    statement=r"\log q(z_i) \approx \log \tfrac{1}{NM}\sum_j q(z_i|x_j)",
    estimates=("KL", "I", "TC"),
    example="TC_q(Z)",
    sources=("Chen et al. 2018",),
    known="biased estimate",
    options=(Option("dataset_size", "size", above=1),),
    lowering="pairs.minibatch",
    coupled=True,
)
