"""Rows on demand: the program over all elemental inequalities, of which only those are written down that its dual violates.

``target + sum x_k row_k = 0`` with x >= 0 has a solution unless some h has h . row >= 0 for all rows and h . target > 0. The program over
a few rows, with a surplus allowed in every coordinate at a price of 1, has such an h for its dual, within -1 <= h <= 1; the rows
that h violates are added until the surplus is zero or none is violated.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Protocol

from ibsym.errors import SolverError
from ibsym.proving import entropic
from ibsym.proving.entropic import Elemental, Mask, Reduction
from ibsym.proving.program import TINY, Column, LimitError
from ibsym.proving.warm import Warm
from ibsym.terms.vectors import Coordinate, Vector

PRICE = 1e-4
"""What a multiplier costs beside a surplus of 1: short proofs before long ones."""
VIOLATED = 1e-7
BATCH = 60
MOST, HALF = 40, 10
"""How many inequalities a program begins with, for every pair of variables."""
MAX_ATOMS = 16


class Space:
    """All sets of some atoms as one array: h of the coordinates that are left gives h of every set."""

    def __init__(self, atoms: Sequence[Mask], reduction: Reduction):
        import numpy as np
        from scipy.sparse import csr_array

        self.atoms, self.reduction = tuple(atoms), reduction
        self.masks: list[Mask] = [0]
        for atom in atoms:
            self.masks += [m | atom for m in self.masks]
        self.coordinates: dict[Coordinate, int] = {}
        if reduction.trivial:  # every set but the empty one is a coordinate
            count = len(self.masks) - 1
            self.coordinates = {("H", mask): k for k, mask in enumerate(self.masks[1:])}
            starts_at = np.concatenate([[0], np.arange(count + 1)])
            self.matrix = csr_array((np.ones(count), np.arange(count), starts_at), shape=(count + 1, max(1, count)))
            return
        data: list[float] = []
        places: list[int] = []
        starts = [0]
        for mask in self.masks:
            for key, value in reduction.apply(entropic.h(mask)).items():
                places.append(self.coordinates.setdefault(key, len(self.coordinates)))
                data.append(float(value))
            starts.append(len(data))
        shape = (len(self.masks), max(1, len(self.coordinates)))
        self.matrix = csr_array((np.array(data), np.array(places, dtype=np.int64), np.array(starts)), shape=shape)

    def everywhere(self, dual: dict[Coordinate, float]) -> tuple[Any, Any]:
        """h of every set, and how many coordinates behind it have no value yet."""
        import numpy as np

        h, unknown = np.zeros(self.matrix.shape[1]), np.ones(self.matrix.shape[1])
        for key, place in self.coordinates.items():
            if key in dual:
                h[place], unknown[place] = dual[key], 0
        return self.matrix @ h, abs(self.matrix) @ unknown > 0


class Source(Protocol):
    """A large family of vectors that are never negative."""

    def violated(self, h: Any, unknown: Any, below: float, most: int) -> Iterable[tuple[object, Vector]]:
        """Some members that are less than ``below`` in h, with their vectors, the most negative first."""
        ...


class Elementals:
    """H(A | all others), for discrete variables, and I(A;B|S), as places in the array of all sets."""

    def __init__(self, space: Space, discrete: bool):
        import numpy as np

        self.space, n = space, len(space.atoms)
        full, every = (1 << n) - 1, np.arange(1 << n)
        blocks = []
        for i, j in combinations(range(n), 2):
            c = every[(every >> i & 1 | every >> j & 1) == 0]
            blocks.append(np.stack([c | 1 << i, c | 1 << j, c | 1 << i | 1 << j, c], axis=1))
        if discrete:
            blocks += [np.array([[full, 0, full ^ 1 << i, 0]]) for i in range(n)]
        self.places = np.concatenate(blocks) if blocks else np.zeros((0, 4), dtype=np.int64)

    def violated(self, h: Any, unknown: Any, below: float, most: int) -> list[tuple[Elemental, Vector]]:
        """The elemental inequalities that a point of entropies violates most."""
        import numpy as np

        p = self.places
        slack = h[p[:, 0]] + h[p[:, 1]] - h[p[:, 2]] - h[p[:, 3]]
        candidates = np.nonzero(slack < below)[0]
        new = unknown[p[candidates]].sum(axis=1)
        near = candidates[new <= 1]
        chosen = near if len(near) else candidates
        ranked = chosen[np.argsort(slack[chosen], kind="stable")[:most]]
        return [(e, e.vector) for e in self.elementals(ranked)]

    def near(self, marked: Iterable[Mask]) -> list[Elemental]:
        """The inequalities of which most sets, or half, are marked: where a program begins."""
        import numpy as np

        known = {0, *marked}
        mark = np.array([m in known for m in self.space.masks])
        score = mark[self.places].sum(axis=1)
        n = len(self.space.atoms)
        most, half = np.nonzero(score >= 3)[0][: MOST * n * n], np.nonzero(score == 2)[0][: HALF * n * n]
        return self.elementals(np.concatenate([most, half]))

    def elementals(self, rows: Any) -> list[Elemental]:
        """The inequalities of some rows."""
        import numpy as np

        a, b, both, c = np.array(self.space.masks, dtype=np.int64)[self.places[rows]].T
        single = b == 0  # H(all) - H(all but one)
        parts = np.where(single, a & ~both, both & ~b), np.where(single, 0, both & ~a), np.where(single, both, c)
        return list(map(Elemental, *(part.tolist() for part in parts)))


@dataclass
class Master:
    """The program over the columns that are written down so far."""

    target: Vector
    columns: list[Column] = field(default_factory=list)
    keys: dict[Coordinate, int] = field(default_factory=dict)
    data: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    origin: list[tuple[int, int]] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key in self.target:
            self.keys.setdefault(key, len(self.keys))

    def add(self, column: Column) -> None:
        """A column more, twice if its multiplier is free."""
        keys, values = self.keys, [float(value) for value in column.vector.values()]
        places = [keys.setdefault(key, len(keys)) for key in column.vector]
        for sign in (1, -1) if column.free else (1,):
            self.places += places
            self.data += values if sign == 1 else [-value for value in values]
            self.starts.append(len(self.data))
            self.origin.append((len(self.columns), sign))
            self.costs.append(column.cost)
        self.columns.append(column)

    def solve(
        self, price: float, time_limit: float, surplus: bool = True
    ) -> tuple[float, list[float], dict[Coordinate, float]]:
        """The surplus that is left, where one is allowed, the multipliers, and h."""
        import numpy as np
        from scipy.optimize import linprog
        from scipy.sparse import csc_array, eye_array, hstack

        size = len(self.keys)
        if not size:
            return 0.0, [0.0] * len(self.columns), {}
        right = np.zeros(size)
        for key, value in self.target.items():
            right[self.keys[key]] = -float(value)
        body = csc_array((self.data, self.places, self.starts), shape=(size, len(self.costs)))
        matrix = hstack([body, eye_array(size), -eye_array(size)], format="csc") if surplus else body
        costs = np.concatenate([price * np.array(self.costs), np.ones(2 * size if surplus else 0)])
        options = {"time_limit": time_limit}
        answer = linprog(costs, A_eq=matrix, b_eq=right, bounds=(0, None), method="highs-ds", options=options)
        if answer.status == 1:
            raise LimitError("the time limit of the linear program was reached")
        if answer.status != 0:
            raise SolverError(f"the linear-programming solver gave no verdict: {answer.message}")
        rough = [0.0] * len(self.columns)
        for (k, sign), x in zip(self.origin, answer.x, strict=False):
            rough[k] += sign * float(x)
        left = float(answer.x[len(self.costs) :].sum())
        return left, rough, {key: float(answer.eqlin.marginals[place]) for key, place in self.keys.items()}


@dataclass(frozen=True)
class Found:
    """The columns of a proof with their rough multipliers; ``labels`` of those that a source gave."""

    columns: list[Column]
    labels: list[object]
    rough: list[float]


def search(target: Vector, columns: Sequence[Column], space: Space, sources: Sequence[Source], deadline: float) -> Found | None:
    """``target + sum x_k column_k = 0`` over given columns and those of the sources; None where even all of these do not do."""
    master = Master(target)
    program = Warm(master)
    for column in columns:
        master.add(column)
    labels: list[object] = []
    known: set[object] = set()
    price = PRICE
    while True:
        surplus, rough, h = program.solve(price, max(0.01, deadline - time.monotonic()))
        if surplus <= TINY * max(1, len(master.keys)):
            return Found(master.columns, labels, rough)
        grown = False
        values, unknown = space.everywhere({key: -value for key, value in h.items()})
        for source in sources:
            for label, vector in source.violated(values, unknown, -price - VIOLATED, BATCH * len(space.atoms)):
                if label not in known:
                    known.add(label)
                    labels.append(label)
                    small = space.reduction.apply(vector)
                    master.add(Column(small, 1.0))
                    grown = True
        if not grown:
            if not price:
                return None
            price = 0.0
        if time.monotonic() > deadline:
            raise LimitError("the time limit was reached before all inequalities were looked at")
