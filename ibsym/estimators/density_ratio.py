"""KL(P||Q) = E_P[log P/Q], by the logit of a classifier of P against Q."""

from __future__ import annotations

from ibsym.estimators.base import Critic, Estimator

ESTIMATOR = Estimator(
    name="density-ratio",
    statement=r"D(P\|Q) \approx E_P[f],\; f \to \log P/Q",
    estimates=("KL", "I", "TC"),
    example="KL(q(z)||p(z))",
    sources=("Sugiyama et al. 2012", "Mescheder et al. 2017"),
    known="estimate, exact at the optimal critic",
    critic=Critic(lambda m: m.P(m.f), "E_P[f]", loss="logistic", first_only=True),
    usual=True,
    called=("discriminator", "critic", "adversarial", "ratio", "log-ratio"),
)
