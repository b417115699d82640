"""KL(P||Q) = sup_f 1 + E_P[f] - E_Q[e^f]."""

from __future__ import annotations

from ibsym.estimators.base import Critic, Estimator
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="nwj",
    statement=r"D(P\|Q) \ge 1 + E_P[f] - E_Q[e^f]",
    estimates=("KL", "I", "TC"),
    example="KL(q(z)||p(z))",
    sources=("Nguyen, Wainwright & Jordan 2010",),
    known="lower bound, exact at the optimal critic",
    side=Side.LOWER,
    critic=Critic(),
    called=("tuba", "f-mine"),
)
