"""KL(P||Q) = sup_f E_P[f] - log E_Q[e^f]."""

from __future__ import annotations

from ibsym.estimators.base import Critic, Estimator

ESTIMATOR = Estimator(
    name="dv",
    statement=r"D(P\|Q) \approx E_P[f] - \log E_Q[e^f]",
    estimates=("KL", "I", "TC"),
    example="KL(q(z)||p(z))",
    sources=("Donsker & Varadhan 1983", "Belghazi et al. 2018"),
    known="estimate, biased upwards on minibatches: a lower bound with exact expectations only",
    critic=Critic(lambda m: m.P(m.f) - m.log(m.Q(m.exp(m.f))), "E_P[f] - log E_Q[e^f]", normalised=False),
    coupled=True,
    called=("mine", "donsker-varadhan"),
)
