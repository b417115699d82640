"""I(A;B) >= H(B) + E log a(b|a): what a decoder, fitted by a player of its own, guesses of B."""

from __future__ import annotations

from typing import Any

from ibsym.estimators.base import Batch, Estimator, Option, Value
from ibsym.facts import Side


def value(m: Batch) -> Any:
    """H(B) left out: nothing learned touches it."""
    return m.fitted()


ESTIMATOR = Estimator(
    name="adversary",
    statement=r"I(A;B) \ge H(B) + E\log a(b|a)",
    estimates=("I",),
    example="I_q(Z;S)",
    sources=("Ganin et al. 2016", "Barber & Agakov 2003"),
    known="lower bound at any decoder, exact at the best one",
    side=Side.LOWER,
    options=(Option("density", "density"),),
    value=Value(
        value,
        "E[log {density}], {left_out} left out",
        why="",
        note="its value is E_{joint}[log {density}]; {left_out}, which nothing learned touches, is left out",
    ),
    player=True,
    called=("gradient-reversal", "grl"),
)
