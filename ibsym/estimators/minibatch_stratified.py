"""log q(z_i) ~ log sum_j w_ij q(z_i|x_j), the weights of a row unbiased for the data set."""

from __future__ import annotations

from ibsym.estimators.base import Estimator, Option

ESTIMATOR = Estimator(
    name="minibatch-stratified",
    statement=r"\log q(z_i) \approx \log \sum_j w_{ij}\, q(z_i|x_j)",
    estimates=("KL", "I", "TC"),
    example="TC_q(Z)",
    sources=("Chen et al. 2018",),
    known="biased estimate",
    options=(Option("dataset_size", "size", above=1),),
    lowering="pairs.minibatch",
    coupled=True,
)
