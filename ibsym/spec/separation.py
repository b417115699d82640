"""d-connection given every set of conditioners at once: Bayes' ball, rolled over arrays that have one place for each set."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ibsym.spec.graphs import Joint


class Connections:
    """What is d-connected to each variable of a joint, for all subsets of its variables as conditioners.

    A set is an integer of bits, variables in the joint's order; behind them come the other nodes of its graph, its factors among them.

    >>> from ibsym.spec.graphs import Factor
    >>> chain = Joint("q", (Factor("q", ("x",)), Factor("q", ("y",), ("x",)), Factor("q", ("z",), ("y",))), ("x", "y", "z"), True)
    >>> x = Connections(chain).reached(0)
    >>> [bool(x[given] >> 2 & 1) for given in (0b000, 0b010)]
    [True, False]
    """

    def __init__(self, joint: Joint):
        self.joint, self.variables = joint, joint.variables
        nodes: list[object] = [*joint.variables, *(v for v in joint.graph if v not in set(joint.variables))]
        self.place = {node: i for i, node in enumerate(nodes)}
        self._parents = [sum(1 << self.place[p] for p in joint.graph.predecessors(v)) for v in nodes]
        self._children = [sum(1 << self.place[c] for c in joint.graph.successors(v)) for v in nodes]
        self._order = [self.place[v] for v in joint.order()]
        self._order = [*range(len(joint.variables), len(nodes)), *self._order]
        self._memory: dict[int, Any] = {}

    @cached_property
    def _sets(self) -> Any:
        import numpy as np

        return np.arange(1 << len(self.variables), dtype=np.int64)

    @cached_property
    def _ancestors(self) -> Any:
        """The conditioners and their ancestors, for each set of conditioners."""
        found = self._sets.copy()
        for v in reversed(self._order):
            found |= -(found >> v & 1) & self._parents[v]
        return found

    def reached(self, a: int) -> Any:
        """For each set of conditioners, the nodes outside of it that are d-connected to ``a``."""
        if a not in self._memory:
            import numpy as np

            given, ancestors = self._sets, self._ancestors
            up = np.full(len(given), 1 << a, dtype=np.int64)  # reached from a child, as the start is
            down = np.zeros(len(given), dtype=np.int64)
            while True:
                before = up.copy(), down.copy()
                for v in (*reversed(self._order), *self._order):
                    free = ~(given >> v) & 1
                    through = (up >> v & 1) & free
                    up |= -(through | (down >> v & 1 & (ancestors >> v))) & self._parents[v]
                    down |= -(through | (down >> v & 1 & free)) & self._children[v]
                if np.array_equal(before[0], up) and np.array_equal(before[1], down):
                    break
            self._memory[a] = (up | down) & ~given
        return self._memory[a]
