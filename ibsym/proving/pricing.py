"""The cheapest multipliers over all elemental inequalities of large joints, of which a program holds few.

First any solution is sought, with a surplus in every coordinate at a price of 1, as :mod:`ibsym.proving.demand` does; then the cheapest:
the rows whose price is less than what the dual would pay for them come in until there is none. All are one model that goes on from
its last basis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any

from ibsym.proving.contexts import Block, Contexts
from ibsym.proving.demand import PRICE, VIOLATED, Master
from ibsym.proving.elemental import ElementalInequality, InequalityKind
from ibsym.proving.program import TINY, Column, InexactError, LimitError, decided, exact
from ibsym.proving.warm import Warm
from ibsym.terms.vectors import Vector, combine

UNDERPAID = 1e-4
"""How far below the dual's offer a price must lie: less than the smallest difference of two prices that is meant."""
PATIENCE = 8
"""How many times rows are added in vain before the multipliers are taken as the cheapest: a bound is a bound, whatever it costs."""
BATCH = 60
TIME_LIMIT = 60.0

Price = Callable[[InequalityKind, bool], float]


@dataclass
class Pricing:
    """One program: ``target + sign * sum lambda row + sum x column = 0`` with lambda >= 0."""

    contexts: Contexts
    target: Vector
    sign: int
    columns: Sequence[Column]
    price: Price
    rank: float
    deadline: float = field(default_factory=lambda: time.monotonic() + TIME_LIMIT)

    def __post_init__(self) -> None:
        self.reduction = self.contexts.coordinates.reduction
        self.master = Master(self.reduction.apply(self.target))
        for column in self.columns:
            self.master.add(Column(self.reduction.apply(column.vector), column.cost, column.free))
        self.rows: list[Callable[[], ElementalInequality]] = []
        self._known: set[frozenset[object]] = set()
        self._written: dict[int, set[int]] = {}
        self._costs = [self._prices(b, r) for b, r in zip(self.contexts.blocks, self.contexts.ranks, strict=True)]

    def _prices(self, block: Block, ranks: Any) -> Any:
        """What the rows of a block cost: among equal ones those that stand first."""
        import numpy as np

        kinds = [self.price(block.kind, learned) for learned in (False, True)]
        base = kinds[0] if block.learned is None else np.where(block.learned, kinds[1], kinds[0])
        return base + self.rank * (1 + ranks)

    def listed(self, cone: bool) -> list[Fraction] | None:
        """The multipliers that :meth:`grown` has, of one program with every row in it, where all of them are few."""
        if cone:
            self._everything()
        return decided(self.master.target, self.master.columns, self._left())

    def _everything(self) -> None:
        """All rows, in their order."""
        import numpy as np

        for given in self.contexts.listed:
            self.add(given, self.price(given.kind, given.learned) + self.rank)
        ranks = self.contexts.ranks
        places = [(k, row) for k, block in enumerate(ranks) for row in range(len(block))]
        for place in np.argsort(np.concatenate(ranks)) if ranks else ():
            self._put(*places[place])

    def add(self, row: ElementalInequality, cost: float) -> None:
        """A row more, unless one like it is there."""
        self._add(self.reduction.apply(row.vector), cost, lambda: row)

    def _add(self, small: Vector, cost: float, write: Callable[[], ElementalInequality]) -> bool:
        key = frozenset(small.items())
        if not small or key in self._known:
            return False
        self._known.add(key)
        self.rows.append(write)
        self.master.add(Column(combine((self.sign, small)), cost))
        return True

    def _put(self, block: int, row: int) -> bool:
        known = self.contexts.blocks[block]
        return self._add(self.contexts.reduced(known, row), float(self._costs[block][row]), partial(known.write, row))

    def grow(self, h: dict[Any, float], scale: float, below: float) -> bool:
        """The rows whose cost, times ``scale``, is less than h pays for them."""
        import numpy as np

        values = self.contexts.at(h)
        grown = False
        for k, block in enumerate(self.contexts.blocks):
            slack = scale * self._costs[k] - self.sign * block.offered(values)
            written = self._written.setdefault(k, set())
            added = 0
            for row in np.argsort(slack, kind="stable")[: 2 * BATCH]:
                if slack[row] >= below or added == BATCH:
                    break
                if int(row) not in written:
                    written.add(int(row))
                    if self._put(k, int(row)):
                        grown = True
                        added += 1
        return grown

    def grown(self, cone: bool) -> list[Fraction] | None:
        """Exact multipliers of the given columns and, if there is a ``cone``, of the rows; None where there are none."""
        import numpy as np

        if cone:
            for given in self.contexts.listed:
                self.add(given, self.price(given.kind, given.learned) + self.rank)
            for k, block in enumerate(self.contexts.blocks):
                self._written[k] = set(map(int, np.nonzero(block.natural)[0]))
                for row in sorted(self._written[k]):
                    self._put(k, row)
        program, scale = Warm(self.master), PRICE * 1e-6
        while True:
            surplus, rough, h = program.solve(scale, self._left())
            if surplus <= TINY * max(1, len(self.master.keys)):
                break
            if not cone or not self.grow(h, scale, -VIOLATED):
                if not scale:
                    return None
                scale = 0.0
        cost, patience = float("inf"), PATIENCE
        while True:
            _, rough, h = program.solve(1.0, self._left(), surplus=False)
            spent = sum(c.cost * abs(x) for c, x in zip(self.master.columns, rough, strict=True))
            patience = PATIENCE if spent < cost - UNDERPAID else patience - 1
            cost = min(cost, spent)
            if not cone or not patience or not self.grow(h, 1.0, -UNDERPAID):
                break
        target, columns = self.master.target, self.master.columns
        try:
            answer: Sequence[Fraction] | None = exact(target, columns, rough)
        except InexactError:
            answer = decided(target, columns, self._left())
            if answer is None:
                raise
        assert answer is not None
        return list(answer)

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise LimitError("the time limit was reached before all inequalities were looked at")
        return max(0.01, left)
