"""The dual of a growing program, in one HiGHS model that goes on from its last basis.

``min price * cost . x + |s|`` with ``target + sum x_k column_k = s`` and x >= 0 has the dual ``min target . h`` with
``h . column_k <= price * cost_k`` and -1 <= h <= 1. A column more is a row more there, and a basis that was optimal stays dual
feasible: the dual simplex method needs a few steps where a new program would need thousands. Where no surplus is allowed h has no
bounds; a solution without one is optimal but for its cost.
"""

from __future__ import annotations

from typing import Any, Protocol

from ibsym.errors import SolverError
from ibsym.proving.program import Column, LimitError
from ibsym.terms.vectors import Coordinate, Vector

PERTURBED = 256
"""From how many sets on costs are perturbed: smaller programs are solved a quarter sooner without, larger ones with."""
Solved = tuple[float, list[float], dict[Coordinate, float]]


class Program(Protocol):
    """The columns that are written down so far, compressed."""

    target: Vector
    columns: list[Column]
    keys: dict[Coordinate, int]
    data: list[float]
    places: list[int]
    starts: list[int]
    origin: list[tuple[int, int]]
    costs: list[float]

    def solve(self, price: float, time_limit: float, surplus: bool = True) -> Solved:
        """The surplus that is left, the multipliers, and h, from nothing."""
        ...


def _highs() -> Any:
    """The HiGHS that SciPy brings, which has no public name there; None where it has moved."""
    try:
        from scipy.optimize._highspy import _core
    except ImportError:
        return None
    return _core if hasattr(_core, "_Highs") else None


class Warm:
    """A program's dual, kept between rounds."""

    def __init__(self, program: Program):
        self.program, self.core = program, _highs()
        self.model: Any = None
        self.height = self.width = 0
        self.price, self.bound = 0.0, 1.0

    def solve(self, price: float, time_limit: float, surplus: bool = True) -> Solved:
        """What the program's own ``solve`` has; that is asked where there is no such model, or none that succeeds."""
        if self.core is None or not self.program.keys:
            return self.program.solve(price, time_limit, surplus)
        try:
            self._grow(price, 1.0 if surplus else float("inf"))
            self.model.setOptionValue("time_limit", float(self.model.getRunTime() + time_limit))
            self.model.run()
            status = self.model.getModelStatus()
        except (AttributeError, TypeError):  # another SciPy, with another interface
            self.core = None
            return self.program.solve(price, time_limit, surplus)
        if status == self.core.HighsModelStatus.kTimeLimit:
            raise LimitError("the time limit of the linear program was reached")
        if status != self.core.HighsModelStatus.kOptimal:
            self.core = None
            return self.program.solve(price, time_limit, surplus)
        return self._read()

    def _grow(self, price: float, bound: float) -> None:
        """The variables, rows, prices and bounds of h that are new."""
        import numpy as np

        program, none = self.program, np.zeros(0, dtype=np.int32)
        if self.model is None:
            self.model = self.core._Highs()
            self.model.setOptionValue("output_flag", False)
            self.model.setOptionValue("solver", "simplex")
            self.model.setOptionValue("threads", 1)
            self.model.setOptionValue("presolve", "off")
            if len(program.keys) < PERTURBED:
                self.model.setOptionValue("dual_simplex_cost_perturbation_multiplier", 0.0)
        if bound != self.bound:
            for place in range(self.height):
                self._done(self.model.changeColBounds(place, -bound, bound))
        costs = np.array([float(program.target.get(k, 0)) for k in list(program.keys)[self.height :]])
        if size := len(costs):
            ones, starts = np.ones(size), np.zeros(size, dtype=np.int32)
            self._done(self.model.addCols(size, costs, -bound * ones, bound * ones, 0, starts, none, np.zeros(0)))
        if price != self.price:
            for row in range(self.width):
                self._done(self.model.changeRowBounds(row, -np.inf, price * program.costs[row]))
        if more := len(program.costs) - self.width:
            begin, end = program.starts[self.width], program.starts[-1]
            most = price * np.array(program.costs[self.width :])
            starts = np.array(program.starts[self.width : -1], dtype=np.int32) - begin
            places, data = np.array(program.places[begin:], dtype=np.int32), np.array(program.data[begin:])
            self._done(self.model.addRows(more, np.full(more, -np.inf), most, end - begin, starts, places, data))
        self.height, self.width, self.price = len(program.keys), len(program.costs), price
        self.bound = bound

    def _done(self, status: Any) -> None:
        if status == self.core.HighsStatus.kError:
            raise SolverError("the linear-programming solver did not take the program")

    def _read(self) -> Solved:
        """Reduced costs are the surplus, the prices of rows the multipliers."""
        import numpy as np

        solution = self.model.getSolution()
        rough = [0.0] * len(self.program.columns)
        for (k, sign), x in zip(self.program.origin, np.array(solution.row_dual), strict=True):
            rough[k] -= sign * float(x)
        h = np.array(solution.col_value)
        left = float(np.abs(np.array(solution.col_dual)).sum())
        return left, rough, {key: float(h[place]) for key, place in self.program.keys.items()}
