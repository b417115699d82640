"""Under which independences a claim would hold: the smallest sets of I(a;b|C) = 0 that are enough, among its variables.

A set is not enough while some h, of which every elemental inequality and premise holds, violates the claim and gives 0 to all of the set.
So a set that is enough has a member in what each such h makes positive, and the programs that fail supply them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from ibsym.facts import Fact
from ibsym.proving import entropic
from ibsym.proving.claims import Constant, terms_of
from ibsym.proving.notation import Chain
from ibsym.proving.problem import Problem
from ibsym.proving.prover import decide
from ibsym.proving.single import Single
from ibsym.terms.vectors import Vector

MAX_VARIABLES = 8
LISTED = 6
"""Up to how many variables sets are tried one after another where no h is looked for: of several joints, or with alternatives."""
MOST = 3
"""How many independences a set has at most."""
VIOLATED, POSITIVE = 1e-5, 1e-7


def sufficient(
    problem: Problem, *, continuous: bool = False, axioms: Sequence[str] = (), time_limit: float = 60.0
) -> tuple[tuple[str, ...], ...]:
    """The smallest sets of independences, among one size all of them, under which the claim is proved; within the time."""
    deadline = time.monotonic() + time_limit
    joint = next(iter(problem.joints), None)
    numbers = any(isinstance(q, Constant) for q in terms_of((*problem.claims, *problem.premises)))
    plain = not (problem.several or axioms or numbers) and all(len(clause) == 1 for clause in problem.clauses)
    most = MAX_VARIABLES if plain else LISTED
    choices = list(_independences(problem.variables if len(problem.variables) <= most else (), joint))
    refuted = Violations(problem, choices, continuous) if plain and choices else None
    for size in range(MOST + 1):
        found: list[tuple[str, ...]] = []
        for chosen in refuted.sets(size, deadline) if refuted else combinations(range(len(choices)), size):
            left = deadline - time.monotonic()
            if left <= 0:
                return tuple(found)
            richer = replace(problem, chains=(*problem.chains, *(choices[k] for k in chosen)))
            if decide(richer, continuous=continuous, axioms=axioms, time_limit=left).provable is Fact.TRUE:
                found.append(tuple(choices[k].text for k in chosen))
        if found:
            return tuple(found)
    return ()


class Violations:
    """Points of entropies that satisfy the premises and violate the claim, and which independences hold at them."""

    def __init__(self, problem: Problem, choices: Sequence[Chain], continuous: bool):
        import numpy as np

        space = Single(replace(problem, chains=(), functions=()), continuous, ())
        size = 1 << len(problem.variables)

        def row(vector: Vector) -> Any:
            found = np.zeros(size)
            for key, value in vector.items():
                found[entropic.mask_of(key)] = float(value)
            return found

        def zero(chain: Chain) -> list[Any]:
            groups = [space.mask(g) for g in chain.groups]
            parts = [(sum(groups[:i]), sum(groups[i + 1 :]), groups[i]) for i in range(1, len(groups) - 1)]
            return [row(entropic.information(a & ~c, b & ~c, c)) for a, b, c in parts]

        atoms = tuple(1 << i for i in range(len(problem.variables)))
        self.forms = [row(space.vector(clause[0])) for clause in problem.clauses]
        self.never = [row(v) for _, v in entropic.elementals(atoms, not continuous)]
        self.never += [row(p.vector) for p in space.premises if not p.zero]
        self.zero = [row(p.vector) for p in space.premises if p.zero] + [r for c in problem.chains for r in zero(c)]
        for f in problem.functions:
            of, by = space.mask(f.of), space.mask(f.by)
            self.zero.append(row(entropic.conditional(of & ~by, by)))
        self.choices = np.array([zero(c)[0] for c in choices])
        self.broken: list[Any] = []
        """For every point which of the choices it does not satisfy."""

    def sets(self, size: int, deadline: float) -> Iterator[tuple[int, ...]]:
        """The sets of one size that no point is left of, each once, in order."""
        yield from sorted(self._grown((), size, deadline))

    def _grown(self, chosen: tuple[int, ...], size: int, deadline: float) -> set[tuple[int, ...]]:
        import numpy as np

        if time.monotonic() > deadline:
            return set()
        broken = next((b for b in self.broken if not b[list(chosen)].any()), None)
        if broken is None and (broken := self._point(chosen)) is None and len(chosen) == size:
            return {tuple(sorted(chosen))}
        if broken is not None and len(chosen) == size:
            return set()
        found: set[tuple[int, ...]] = set()
        further = range(len(self.choices)) if broken is None else np.nonzero(broken)[0]
        for k in (int(k) for k in further if k not in chosen):
            found |= self._grown((*chosen, k), size, deadline)
        return found

    def _point(self, chosen: Sequence[int]) -> Any:
        """What a point at which the chosen independences hold breaks of the others; None where there is no such point."""
        import numpy as np
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        zero = [*self.zero, *(self.choices[k] for k in chosen)]
        most = csr_array(-np.array(self.never))
        for form in self.forms:
            answer = linprog(
                form,
                A_ub=most,
                b_ub=np.zeros(len(self.never)),
                A_eq=csr_array(np.array(zero)) if zero else None,
                b_eq=np.zeros(len(zero)) if zero else None,
                bounds=[(0, 0), *[(-1, 1)] * (len(form) - 1)],
                method="highs",
            )
            if answer.status == 0 and answer.fun < -VIOLATED:
                broken = self.choices @ answer.x > POSITIVE
                self.broken.append(broken)
                return broken
        return None


def _independences(variables: Sequence[str], joint: str | None) -> Iterator[Chain]:
    """I(a;b|C) = 0 for single variables a and b, smaller conditions first."""
    for size in range(len(variables) - 1):
        for a, b in combinations(variables, 2):
            for given in combinations([v for v in variables if v not in (a, b)], size):
                text = f"{a} _|_ {b}" + (f" | {','.join(given)}" if given else "") + (f" in {joint}" if joint else "")
                yield Chain(((a,), given, (b,)), joint, text)
