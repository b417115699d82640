"""SW_2^2(P,Q), the squared Wasserstein distance of one-dimensional projections: zero if and only if P = Q."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Estimator, Option, Value


def value(m: Batch) -> Any:
    """Of one-dimensional laws the distance is that of the quantiles."""
    return m.quantile_distance(*m.sorted_projections(*m.samples(), m.option("projections")))


ESTIMATOR = Estimator(
    name="sliced-wasserstein",
    statement=r"D(P\|Q) \approx SW_2^2(P,Q)",
    estimates=("KL",),
    example="KL(q(z)||p(z))",
    sources=("Bonneel et al. 2015", "Kolouri et al. 2019"),
    known="surrogate, zero iff equal",
    options=(Option("projections", "whole", 50, most=100_000),),
    value=Value(value, "the mean over directions of the integral of (F^-1 - G^-1)^2", why="compares two samples as wholes"),
    coupled=True,
    called=("swd", "wasserstein", "swae"),
)
