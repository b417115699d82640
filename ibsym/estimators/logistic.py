"""JS(P,Q) = sup_f log 2 + E_P[log sigmoid(f)]/2 + E_Q[log sigmoid(-f)]/2."""

from __future__ import annotations

from ibsym.estimators.base import Critic, Estimator
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="logistic",
    statement=r"JS(P,Q) \ge \log 2 + \tfrac12 E_P[\log\sigma(f)] + \tfrac12 E_Q[\log\sigma(-f)]",
    estimates=("JS",),
    example="JS(data(x)||p(x))",
    sources=("Goodfellow et al. 2014", "Nowozin et al. 2016"),
    known="lower bound, exact at the optimal critic",
    side=Side.LOWER,
    critic=Critic(loss="logistic"),
    called=("jsd", "js"),
)
