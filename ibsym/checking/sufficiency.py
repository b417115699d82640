"""Under which independences a claim would hold: the smallest sets of I(a;b|C) = 0 that are enough, among its variables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from ibsym.facts import Fact
from ibsym.proving.notation import Chain
from ibsym.proving.problem import Problem
from ibsym.proving.prover import decide

MAX_VARIABLES = 6
MOST = 3
"""How many independences a set has at most."""


def sufficient(
    problem: Problem, *, continuous: bool = False, axioms: Sequence[str] = (), time_limit: float = 60.0
) -> tuple[tuple[str, ...], ...]:
    """The smallest sets of independences, among one size all of them, under which the claim is proved; within the time."""
    deadline = time.monotonic() + time_limit
    joint = next(iter(problem.joints), None)
    choices = list(_independences(problem.variables if len(problem.variables) <= MAX_VARIABLES else (), joint))
    for size in range(MOST + 1):
        found: list[tuple[str, ...]] = []
        for chosen in combinations(choices, size):
            left = deadline - time.monotonic()
            if left <= 0:
                return tuple(found)
            richer = replace(problem, chains=(*problem.chains, *chosen))
            if decide(richer, continuous=continuous, axioms=axioms, time_limit=left).provable is Fact.TRUE:
                found.append(tuple(c.text for c in chosen))
        if found:
            return tuple(found)
    return ()


def _independences(variables: Sequence[str], joint: str | None) -> Iterator[Chain]:
    """I(a;b|C) = 0 for single variables a and b, smaller conditions first."""
    for size in range(len(variables) - 1):
        for a, b in combinations(variables, 2):
            for given in combinations([v for v in variables if v not in (a, b)], size):
                text = f"{a} _|_ {b}" + (f" | {','.join(given)}" if given else "") + (f" in {joint}" if joint else "")
                yield Chain(((a,), given, (b,)), joint, text)
