"""Deciding claims: right - left as a non-negative combination of elemental inequalities and premises, exactly.

``0 <= difference`` is of Shannon type if and only if the linear program has a solution; its multipliers are the proof. One joint
is treated in entropy space, several joints in cross-entropy space.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ibsym.errors import SolverError, shown
from ibsym.facts import Fact
from ibsym.proving.claims import Linear
from ibsym.proving.densities import refuse_discrete
from ibsym.proving.problem import Problem, Proof
from ibsym.proving.program import LimitError, Postponed
from ibsym.proving.several import Several
from ibsym.proving.single import Single

INCONSISTENT = "inconsistent premises: no distribution satisfies them"
POSTPONED = "undecided: not thorough"


@dataclass(frozen=True)
class Verdict:
    """What the linear program says of a claim: TRUE with proofs, FALSE for "no proof of Shannon type", UNKNOWN at a limit."""

    provable: Fact
    proofs: tuple[Proof, ...] = ()
    note: str = ""


def decide(
    problem: Problem,
    *,
    continuous: bool = False,
    axioms: Sequence[str] = (),
    time_limit: float = 60.0,
    thorough: bool = True,
) -> Verdict:
    """The verdict on a claim within the time limit (seconds); UNKNOWN where only a large program, not ``thorough``, would tell."""
    if continuous:
        refuse_discrete(problem)
    deadline = time.monotonic() + time_limit
    prover = reading(problem, continuous, axioms)
    try:
        if prover.contradiction(deadline):
            return Verdict(Fact.FALSE, note=INCONSISTENT)
        proofs = []
        for clause in problem.clauses:
            proof = _one_of(prover, clause, deadline, thorough)
            if proof is None:
                return Verdict(
                    Fact.FALSE,
                    note="not provable by Shannon-type inequalities" + ("" if not axioms else " and the further axioms"),
                )
            proofs.append(proof)
    except Postponed:
        return Verdict(Fact.UNKNOWN, note=POSTPONED)
    except LimitError:
        return Verdict(Fact.UNKNOWN, note="undecided: limit")
    except SolverError as error:
        raise SolverError(f"{shown(problem.text)!r}: {error}") from None
    return Verdict(Fact.TRUE, tuple(proofs))


def _one_of(prover: Single | Several, clause: list[Linear], deadline: float, thorough: bool) -> Proof | None:
    """A proof that one of the forms is non-negative.

    Where form k is not on its own, it is so together with those after it: form k + sum mu_j form_j >= 0 with mu >= 0. That is a proof
    of form k in the case that all after it are at most 0.
    """
    for k, form in enumerate(clause):
        proof = prover.prove(form, deadline, thorough, otherwise=clause[k + 1 :])
        if proof is not None:
            return proof
    return None


def reading(problem: Problem, continuous: bool = False, axioms: Sequence[str] = ()) -> Single | Several:
    """The space that the problem's quantities are vectors of."""
    return Several(problem, continuous) if problem.several else Single(problem, continuous, axioms)
