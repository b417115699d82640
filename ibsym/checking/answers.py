"""The answer to a claim: a proof, a counterexample, or neither."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ibsym.checking.counterexamples import Counterexample, search
from ibsym.checking.sufficiency import sufficient as sets_of
from ibsym.errors import unknown
from ibsym.facts import Fact
from ibsym.proving.problem import Problem, Proof
from ibsym.proving.program import load
from ibsym.proving.prover import INCONSISTENT, POSTPONED, Verdict, decide
from ibsym.shown import Shown

UNITS = ("nats", "bits")
PATIENCE = 2.0
"""Seconds for which a program is tried before a counterexample is looked for, and again before one is looked for at length."""
FIRST = 0.1
"""The share of the time for counterexamples that is spent before a program over many inequalities is begun."""


@dataclass(frozen=True)
class Answer(Shown):
    """What is known of a claim; ``bool()`` raises, since "not proved" is not "false"."""

    claim: str
    premises: tuple[str, ...]
    status: str
    proofs: tuple[Proof, ...]
    counterexample: Counterexample | None
    sufficient: tuple[tuple[str, ...], ...] | None = None

    @property
    def proved(self) -> bool:
        """Whether a proof was found; not proved is not false."""
        return self.status == "proved"

    @property
    def certificate(self) -> list[dict[str, object]] | None:
        """For each direction the exact identity: difference = sum of multiplier * quantity, each zero or non-negative."""
        if not self.proved:
            return None
        return [
            {
                "difference": p.difference,
                "items": [
                    {"multiplier": str(i.multiplier), "quantity": i.quantity, "reason": i.reason, "zero": i.zero}
                    for i in p.items
                ],
            }
            for p in self.proofs
        ]

    def __bool__(self) -> bool:
        raise TypeError(
            "an Answer has no truth value: read .proved and .counterexample, for what is not proved need not be false"
        )


def answer(
    claim: str,
    given: Sequence[str] = (),
    *,
    continuous: bool = False,
    axioms: Sequence[str] = (),
    time_limit: float = 60.0,
    seconds: float = 2.0,
    unit: str = "nats",
    copies: Sequence[str] = (),
    sufficient: bool = False,
) -> Answer:
    """Proves or refutes ``0 <= right - left`` for a linear information (in)equality; see :func:`ibsym.prove`."""
    if unit not in UNITS:
        raise unknown("unit", unit, UNITS, key="unit")
    plain = Problem.read(claim, given, unit)
    problem = plain.with_copies(copies)
    load()
    deadline, found = time.monotonic() + time_limit, None

    def decided(most: float, thorough: bool = True) -> Verdict:
        left = max(0.01, min(most, deadline - time.monotonic()))
        return decide(problem, continuous=continuous, axioms=axioms, time_limit=left, thorough=thorough)

    verdict = decided(PATIENCE, thorough=False)
    if verdict.provable is Fact.UNKNOWN and not continuous:
        found = search(plain, seconds=FIRST * seconds)
    if verdict.note == POSTPONED and found is None:
        verdict = decided(PATIENCE)
    if verdict.provable is Fact.UNKNOWN and found is None and not continuous:
        found = search(plain, seconds=seconds, seed=1)
    if verdict.provable is Fact.UNKNOWN and found is None:
        verdict = decided(time_limit)
    if verdict.provable is Fact.TRUE:
        return Answer(claim, tuple(given), "proved", verdict.proofs, None, ((),) if sufficient else None)
    if found is None and not continuous and verdict.note != INCONSISTENT:
        found = search(plain, seconds=seconds, seed=1)
    enough = sets_of(problem, continuous=continuous, axioms=axioms, time_limit=time_limit) if sufficient else None
    return Answer(claim, tuple(given), "refuted" if found else verdict.note, (), found, enough)
