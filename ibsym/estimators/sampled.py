"""E_j[log j - log r] as the mean at draws of j, though a closed form exists."""

from __future__ import annotations

from ibsym.estimators.base import Estimator

ESTIMATOR = Estimator(
    name="sampled",
    statement=r"E_j[\log j - \log r] = E[\log j(z_i) - \log r(z_i)],\; z_i \sim j",
    estimates=("KL", "E"),
    example="KL(q(z|x)||p(z))",
    sources=("Kingma & Welling 2014",),
    known="the same value in expectation as the closed form, of more variance",
    plain=True,
    called=("monte-carlo", "mc", "sample"),
)
