"""KL(P||Q) ~ E_P[f] - log E_Q[clip(e^f, e^-t, e^t)]: Donsker and Varadhan's value with a clipped mean, less variance for some bias."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Critic, Estimator, Option, Words


def value(m: Words) -> Any:
    """The logit between -t and t is (|f + t| - |f - t|)/2."""
    t = m.option("clip")
    return m.P(m.f) - m.log(m.Q(m.exp((m.abs(m.f + t) - m.abs(m.f - t)) / 2)))


ESTIMATOR = Estimator(
    name="smile",
    statement=r"D(P\|Q) \approx E_P[f] - \log E_Q[\mathrm{clip}(e^f, e^{-t}, e^{t})]",
    estimates=("KL", "I", "TC"),
    example="I_q(X;Z)",
    sources=("Song & Ermon 2020",),
    known="estimate, of less variance than the unclipped one and biased by the clipping",
    options=(Option("clip", "number", 5.0),),
    critic=Critic(value, "E_P[f] - log E_Q[clip(e^f)]", loss="logistic", exact=False),
    coupled=True,
)
