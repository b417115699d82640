"""f(z_i, x_j), summed over coordinates: tables over all pairs of rows, and the sums that read them, as a loss program has them.

A table has the value of row i and the parameters of row j. What is read off one: the log-sum-exp over j of the sum over
coordinates (together), or of each coordinate (apart); the diagonal; the mean off the diagonal; the mean of a function of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import sympy

from ibsym.lowering.fusion.calculus import Unfused, binary_cross_entropy, logsigmoid, own, sigmoid
from ibsym.lowering.program import (
    Axes,
    Elementwise,
    ExcludeDiagonal,
    Insert,
    Load,
    Node,
    Points,
    Reduce,
    Ref,
    Size,
    Step,
    Stratified,
)


@dataclass(frozen=True)
class Table:
    """A formula over one coordinate of the value of row i and of the parameters of row j.

    ``pooled`` says that draws count as rows; else each draw has a table of its own.
    """

    formula: sympy.Expr
    row: tuple[sympy.Symbol, Load]
    columns: tuple[tuple[sympy.Symbol, Load], ...]
    event: Axes
    pooled: bool


@dataclass(frozen=True)
class Pairs:
    """A mean over rows i of what is read off a table.

    ``kind`` is "together", "apart", "own", "off" or "mapped"; ``mask`` is "", "exclude" (the diagonal) or "stratified", with
    the number of rows of the data in ``total``; ``outer`` is the function of a mapped table's entries, of the symbol ``entry``.
    """

    table: Table
    kind: str
    mask: str = ""
    total: int = 0
    outer: sympy.Expr | None = None


ENTRY = sympy.Symbol("entry", real=True)


class PairReader:
    """Reads nodes as tables over pairs."""

    def __init__(self, steps: tuple[Step, ...], name: Callable[[Load], str]):
        self.steps, self.name = steps, name

    def resolved(self, node: Node) -> Node:
        """The node that a reference stands for, through any number of them."""
        while isinstance(node, Ref):
            node = self.steps[node.index].node
        return node

    def matrix(self, node: Node) -> Pairs:
        """A matrix over pairs, "together" with its mask."""
        node = self.resolved(node)
        match node:
            case ExcludeDiagonal():
                return replace(self.matrix(node.operand), mask="exclude")
            case Reduce(kind="sum") if sorted(node.dims) == list(range(-len(node.dims), 0)):
                return Pairs(self.table(node.operand, len(node.dims)), "together")
            case Elementwise():
                return self._elementwise(node)
        raise Unfused("no matrix of pairs")

    def _elementwise(self, node: Elementwise) -> Pairs:
        operands = {n: self.resolved(v) for n, v in node.operands}
        masks = {n: v for n, v in operands.items() if isinstance(v, Stratified)}
        if len(operands) == 2 and len(masks) == 1:
            ((mask, stratified),) = masks.items()
            if not isinstance(stratified.total, int):
                raise Unfused("weights by a parameter")
            (other,) = set(operands) - {mask}
            if node.expression == sympy.Add(*node.expression.free_symbols):
                return replace(self.matrix(operands[other]), mask="stratified", total=stratified.total)
        if len(operands) == 1:
            ((_, inner),) = operands.items()
            if not isinstance(inner, Insert):
                found = self.matrix(inner)
                (symbol,) = node.expression.free_symbols
                factor = node.expression.diff(symbol)
                if factor.is_number and sympy.expand(node.expression - factor * symbol) == 0:
                    return replace(found, table=replace(found.table, formula=factor * found.table.formula))
                raise Unfused("a function of pairs")
        return Pairs(self.table(node, 0), "together")

    def apart(self, node: Reduce) -> Pairs:
        """Log-sum-exps over j before the sum over coordinates."""
        event = -1 - node.dims[0]
        operand = self.resolved(node.operand)
        if isinstance(operand, Elementwise):
            values = [self.resolved(v) for _, v in operand.operands]
            strata = [self._stratified(v) for v in values]
            if len(values) == 2 and any(s is not None for s in strata):
                (total,) = [s for s in strata if s is not None]
                (table,) = [v for v, s in zip(values, strata, strict=True) if s is None]
                return Pairs(self.table(table, event), "apart", "stratified", total)
        return Pairs(self.table(operand, event), "apart")

    def _stratified(self, node: Node) -> int | None:
        while isinstance(node, Insert):
            node = self.resolved(node.operand)
        if not isinstance(node, Stratified):
            return None
        if not isinstance(node.total, int):
            raise Unfused("weights by a parameter")
        return node.total

    def mapped(self, node: Node) -> Pairs:
        """A function of a matrix over pairs, entry by entry."""
        node = self.resolved(node)
        if not isinstance(node, Elementwise):
            raise Unfused("no function of pairs")
        sizes = {n: self.size(v) for n, v in node.operands if isinstance(v, Size)}
        others = {n: v for n, v in node.operands if n not in sizes}
        if len(others) != 1:
            raise Unfused("a function of several tables")
        ((name, inner),) = others.items()
        found = self.matrix(inner)
        values = {name: ENTRY} | {n: size_of(axes) for n, axes in sizes.items()}
        outer = own(node.expression).xreplace({s: values[s.name] for s in node.expression.free_symbols})
        return replace(found, kind="mapped", outer=outer)

    def size(self, node: Size) -> Axes:
        """The axes that a size counts."""
        operand = self.resolved(node.operand)
        if isinstance(operand, Points):
            if node.dims != (-1,) or len(operand.operands) != 1:
                raise Unfused("the number of points")
            load, event = operand.operands[0]
            return load.axes[len(load.axes) - event :]
        return node.operand.axes[min(node.dims) :][: len(node.dims)]

    def table(self, node: Node, event: int) -> Table:
        """A formula over inserted loads."""
        rows: dict[sympy.Symbol, Load] = {}
        columns: dict[sympy.Symbol, Load] = {}
        found: set[tuple[Axes, bool]] = set()
        formula = self._formula(self.resolved(node), event, rows, columns, found)
        if len(rows) != 1 or not columns or len(found) != 1:
            raise Unfused("rows of several values")
        if formula.has(logsigmoid, sigmoid, binary_cross_entropy):
            raise Unfused("logistic functions in a table of pairs")
        ((axes, pooled),) = found
        return Table(formula, next(iter(rows.items())), tuple(sorted(columns.items(), key=str)), axes, pooled)

    def _formula(
        self,
        node: Node,
        event: int,
        rows: dict[sympy.Symbol, Load],
        columns: dict[sympy.Symbol, Load],
        found: set[tuple[Axes, bool]],
    ) -> sympy.Expr:
        match node:
            case Insert():
                return self._inserted(node, event, rows, columns, found)
            case Elementwise() if node.operands:
                inner = {n: self._formula(self.resolved(v), event, rows, columns, found) for n, v in node.operands}
                return own(node.expression).xreplace({s: inner[s.name] for s in node.expression.free_symbols})
        raise Unfused(f"{type(node).__name__} in a table of pairs")

    def _inserted(
        self,
        node: Insert,
        event: int,
        rows: dict[sympy.Symbol, Load],
        columns: dict[sympy.Symbol, Load],
        found: set[tuple[Axes, bool]],
    ) -> sympy.Expr:
        place = len(node.operand.axes) + 1 + node.dim
        inner = self.resolved(node.operand)
        pooled = isinstance(inner, Points)
        if isinstance(inner, Points):
            if len(inner.operands) != 1 or event != 1 or not isinstance(inner.operands[0][0], Load):
                raise Unfused("points of several variables")
            (load, own_event), row = inner.operands[0], 0
        elif isinstance(inner, Load) and not inner.integer:
            load, own_event, row = inner, event, len(inner.axes) - 1 - event
        else:
            raise Unfused("a table of computed values")
        if not isinstance(load, Load) or row < 0 or place not in (row, row + 1):
            raise Unfused("an axis elsewhere")
        found.add((load.axes[len(load.axes) - own_event :], pooled))
        if place == row + 1:
            symbol = sympy.Symbol(f"v_{self.name(load)}", real=True)
            rows[symbol] = load
        else:
            if not pooled and load.axes[:1] == ("S",):
                raise Unfused("parameters with draws")
            symbol = sympy.Symbol(f"w_{self.name(load)}", real=True)
            columns[symbol] = load
        return symbol


def size_of(axes: Axes) -> sympy.Expr:
    """The number of elements along some axes.

    >>> size_of(("L", "3"))
    3*size_L
    """
    return sympy.Mul(*[sympy.Integer(a) if a.isdigit() else sympy.Symbol(f"size_{a}", positive=True) for a in axes])
