"""log q(z_i) ~ log 1/(N M) sum_j q(z_i|x_j), over the rows of a batch."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Estimator, Mixture, Option


def mixture(m: Batch, table: Any) -> Any:
    """Of N rows, M are in the batch; without N the batch is the data set, and its mean the mixture."""
    number = m.option("dataset_size")
    return m.log_sum_exp(table) - m.log(m.rows(table) if number is None else m.rows(table) * m.size(number))


ESTIMATOR = Estimator(
    name="minibatch-weighted",
    statement=r"\log q(z_i) \approx \log \tfrac{1}{NM}\sum_j q(z_i|x_j)",
    estimates=("KL", "I", "TC"),
    example="TC_q(Z)",
    sources=("Chen et al. 2018",),
    known="biased estimate",
    options=(Option("dataset_size", "size", above=1),),
    mixture=Mixture(mixture, lambda n: f"log of {'1/B' if n is None else f'1/({n} B)'} sum_j over the batch's components"),
    coupled=True,
    called=("mws", "minibatch-weighted-sampling"),
)
