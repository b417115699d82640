"""D_g(P||Q) = sup_f E_P[g'(e^f)] - E_Q[e^f g'(e^f) - g(e^f)]."""

from __future__ import annotations

from ibsym.estimators.base import Critic, Estimator
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="dual",
    statement=r"D_g(P\|Q) \ge E_P[g'(e^f)] - E_Q[e^f g'(e^f) - g(e^f)]",
    estimates=("F",),
    example="F[pearson](data(x)||p(x))",
    sources=("Nguyen, Wainwright & Jordan 2010", "Nowozin et al. 2016"),
    known="lower bound, exact at the optimal critic",
    side=Side.LOWER,
    critic=Critic(),
    called=("fenchel", "fenchel-dual"),
)
