"""log q(z_i) ~ log sum_j w_ij q(z_i|x_j), the weights of a row unbiased for the data set."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Estimator, Mixture, Option


def mixture(m: Batch, table: Any) -> Any:
    """A row's own component has the weight that it has in the data set, the others stand for all the rest."""
    return m.log_sum_exp(table + m.stratified(table, m.option("dataset_size")))


ESTIMATOR = Estimator(
    name="minibatch-stratified",
    statement=r"\log q(z_i) \approx \log \sum_j w_{ij}\, q(z_i|x_j)",
    estimates=("KL", "I", "TC"),
    example="TC_q(Z)",
    sources=("Chen et al. 2018",),
    known="biased estimate",
    options=(Option("dataset_size", "size", above=1),),
    mixture=Mixture(mixture, lambda n: "log of the weighted sum_j over the batch's components"),
    coupled=True,
    called=("mss", "minibatch-stratified-sampling"),
)
