"""I(A;B) >= H(B) + E log a(b|a): what a decoder, fitted by a player of its own, guesses of B."""

from __future__ import annotations

from ibsym.estimators.base import Estimator, Option
from ibsym.facts import Side

ESTIMATOR = Estimator(
    name="adversary",
    statement=r"I(A;B) \ge H(B) + E\log a(b|a)",
    estimates=("I",),
    example="I_q(Z;S)",
    sources=("Ganin et al. 2016", "Barber & Agakov 2003"),
    known="lower bound at any decoder, exact at the best one",
    side=Side.LOWER,
    options=(Option("density", "density"),),
    lowering="players.adversary",
    player=True,
)
