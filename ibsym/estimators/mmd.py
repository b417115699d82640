"""MMD^2(P,Q) = E k(a,a') + E k(b,b') - 2 E k(a,b): zero if and only if P = Q, for a characteristic kernel."""

from __future__ import annotations

from ibsym.estimators.base import Estimator, Option

ESTIMATOR = Estimator(
    name="mmd",
    statement=r"D(P\|Q) \approx \mathrm{MMD}^2(P,Q)",
    estimates=("KL",),
    example="KL(q(z)||p(z))",
    sources=("Gretton et al. 2012", "Zhao et al. 2019"),
    known="surrogate, zero iff equal",
    options=(
        Option("kernel", "choice", "rbf", choices=("rbf", "inverse-multiquadratic")),
        Option("bandwidth", "number"),
        Option("scales", "numbers"),
    ),
    lowering="distances.mmd",
    coupled=True,
)
