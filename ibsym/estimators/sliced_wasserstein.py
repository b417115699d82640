"""SW_2^2(P,Q), the squared Wasserstein distance of one-dimensional projections: zero if and only if P = Q."""

from __future__ import annotations

from ibsym.estimators.base import Estimator, Option

ESTIMATOR = Estimator(
    name="sliced-wasserstein",
    statement=r"D(P\|Q) \approx SW_2^2(P,Q)",
    estimates=("KL",),
    example="KL(q(z)||p(z))",
    sources=("Bonneel et al. 2015", "Kolouri et al. 2019"),
    known="surrogate, zero iff equal",
    options=(Option("projections", "whole", 50, most=100_000),),
    lowering="distances.sliced_wasserstein",
    coupled=True,
)
