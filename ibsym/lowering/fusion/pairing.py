"""f(z_i, x_j), summed over coordinates: tables over all pairs of rows, and the sums that read them, as a loss program has them.

A table has the value of row i and the parameters of row j, or of component j of a mixture. What is read off one: the log-sum-exp over
j of the sum over coordinates (together), or of each coordinate (apart); the diagonal; the mean off the diagonal; the mean of a function
of it.
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
    LogSoftmax,
    Node,
    Points,
    Reduce,
    Ref,
    Size,
    Step,
    Stratified,
)


@dataclass(frozen=True)
class Beside:
    """The coordinates of several values side by side, each with its event's axes; a value with fewer rows repeats."""

    parts: tuple[tuple[Load, Axes], ...]


@dataclass(frozen=True)
class Table:
    """A formula over one coordinate of the value of row i and of the parameters of row j.

    ``width`` is the number of coordinates. ``pooled`` says that draws count as rows; else each draw has a table of its own.
    """

    formula: sympy.Expr
    row: tuple[sympy.Symbol, Load | Beside]
    columns: tuple[tuple[sympy.Symbol, Load | Beside], ...]
    width: sympy.Expr
    pooled: bool

    @property
    def loads(self) -> tuple[Load, ...]:
        """What it reads, as often as it reads it."""
        return tuple(load for _, value in (self.row, *self.columns) for load in parts_of(value))


def parts_of(value: Load | Beside) -> tuple[Load, ...]:
    """The values that stand side by side, or the one."""
    return tuple(load for load, _ in value.parts) if isinstance(value, Beside) else (value,)


@dataclass(frozen=True)
class Pairs:
    """A mean over rows i of what is read off a table.

    ``kind`` is "together", "apart", "own", "off" or "mapped"; ``mask`` is "", "exclude" (the diagonal), "stratified", with the
    number of rows of the data in ``total``, or "weighted" by the softmax of ``logits``; ``outer`` is the function of a mapped
    table's entries, of the symbol ``entry``.
    """

    table: Table
    kind: str
    mask: str = ""
    total: int = 0
    outer: sympy.Expr | None = None
    logits: Load | None = None


ENTRY = sympy.Symbol("entry", real=True)
SIZE = "size_"
"""What the symbol of an axis's length begins with."""


class PairReader:
    """Reads nodes as tables over pairs; ``component`` is the axis of the components of a mixture."""

    def __init__(self, steps: tuple[Step, ...], name: Callable[[Load], str], component: str = ""):
        self.steps, self.name, self.component = steps, name, component

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
        weights = {n: self.resolved(v.operand) for n, v in operands.items() if isinstance(v, LogSoftmax)}
        if len(operands) == 2 and len(weights) == 1:
            return self._mixture(node.expression, operands, *weights.items())
        if len(operands) > 1 and node.expression == sympy.Add(*node.expression.free_symbols):
            return self._joint([self.matrix(inner) for inner in operands.values()])
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

    def _mixture(self, expression: sympy.Expr, operands: dict[str, Node], weights: tuple[str, Node]) -> Pairs:
        """Log-densities of components plus the logarithms of their weights, which are the same for every row."""
        weight, logits = weights
        (other,) = set(operands) - {weight}
        if not isinstance(logits, Load) or len(logits.axes) != 1:
            raise Unfused("weights that rows have")
        symbols = {s.name: s for s in expression.free_symbols}
        component = Elementwise(expression - symbols[weight], ((other, operands[other]),))
        found = PairReader(self.steps, self.name, component=logits.axes[0]).matrix(component)
        if found.mask or not all(load.axes[:1] == logits.axes for _, value in found.table.columns for load in parts_of(value)):
            raise Unfused("weights that are not those of components")
        return replace(found, mask="weighted", logits=logits)

    def _joint(self, found: list[Pairs]) -> Pairs:
        """The sum of tables of one formula: that of the coordinates of all their values, side by side."""
        tables = [pairs.table for pairs in found]
        first = tables[0]
        symbols = [[t.row[0], *(s for s, _ in t.columns)] for t in tables]
        for table, mine in zip(tables, symbols, strict=True):
            if (
                len(mine) != len(symbols[0])
                or table.formula.xreplace(dict(zip(mine, symbols[0], strict=True))) != first.formula
            ):
                raise Unfused("tables of different formulas")
        if any(pairs.mask or pairs.kind != "together" for pairs in found) or len({t.pooled for t in tables}) > 1:
            raise Unfused("tables that are masked")
        sides = [[value for _, value in (t.row, *t.columns)] for t in tables]
        loads = [[value for value in side if isinstance(value, Load)] for side in zip(*sides, strict=True)]
        if any(len(side) < len(tables) for side in loads) or any(
            load.axes[:1] == ("S",) for side in loads[1:] for load in side
        ):
            raise Unfused("tables of points")
        joint = [Beside(tuple((load, load.axes[-1:]) for load in side)) for side in loads]
        if any(len(load.axes) != 2 + (load.axes[0] == "S") for side in loads for load in side):
            raise Unfused("tables of more than one axis")
        names = ["_".join(map(self.name, parts_of(side))) for side in joint]
        fresh = [sympy.Symbol(f"{'w' if k else 'v'}_{name}", real=True) for k, name in enumerate(names)]
        formula = first.formula.xreplace(dict(zip(symbols[0], fresh, strict=True)))
        (row, *columns) = zip(fresh, joint, strict=True)
        width = sympy.Add(*(t.width for t in tables))
        return Pairs(Table(formula, row, tuple(columns), width, first.pooled), "together")

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
        values = {name: ENTRY} | sizes
        outer = own(node.expression).xreplace({s: values[s.name] for s in node.expression.free_symbols})
        return replace(found, kind="mapped", outer=outer)

    def size(self, node: Size) -> sympy.Expr:
        """A number of elements."""
        operand = self.resolved(node.operand)
        if isinstance(operand, Points):
            if node.dims != (-1,):
                raise Unfused("the number of points")
            return sum((size_of(part.axes[len(part.axes) - event :]) for part, event in operand.operands), sympy.Integer(0))
        return size_of(node.operand.axes[min(node.dims) :][: len(node.dims)])

    def table(self, node: Node, event: int) -> Table:
        """A formula over inserted loads."""
        rows: dict[sympy.Symbol, Load | Beside] = {}
        columns: dict[sympy.Symbol, Load | Beside] = {}
        found: set[tuple[tuple[Axes, ...], bool]] = set()
        formula = self._formula(self.resolved(node), event, rows, columns, found)
        events = {e for e, _ in found}
        if len(rows) != 1 or not columns or len(events) != 1:
            raise Unfused("rows of several values")
        if len({isinstance(value, Beside) for value in (*rows.values(), *columns.values())}) > 1:
            raise Unfused("points of several variables against those of one")
        if len(columns) > 1 and any(isinstance(value, Beside) for value in columns.values()):
            raise Unfused("points of several variables, of several samples")
        if formula.has(logsigmoid, sigmoid, binary_cross_entropy):
            raise Unfused("logistic functions in a table of pairs")
        (event_axes,) = events
        width = sum(map(size_of, event_axes), sympy.Integer(0))
        pooled = any(p for _, p in found)
        return Table(formula, next(iter(rows.items())), tuple(sorted(columns.items(), key=str)), width, pooled)

    def _formula(
        self,
        node: Node,
        event: int,
        rows: dict[sympy.Symbol, Load | Beside],
        columns: dict[sympy.Symbol, Load | Beside],
        found: set[tuple[tuple[Axes, ...], bool]],
    ) -> sympy.Expr:
        match node:
            case Insert():
                return self._inserted(node, event, rows, columns, found)
            case Load(integer=False) if len(node.axes) == event + 1:
                return self._component(node, columns, found)
            case Elementwise() if node.operands:
                inner = {n: self._formula(self.resolved(v), event, rows, columns, found) for n, v in node.operands}
                return own(node.expression).xreplace({s: inner[s.name] for s in node.expression.free_symbols})
        raise Unfused(f"{type(node).__name__} in a table of pairs")

    def _component(
        self, load: Load, columns: dict[sympy.Symbol, Load | Beside], found: set[tuple[tuple[Axes, ...], bool]]
    ) -> sympy.Expr:
        """A parameter of the components of a mixture, which are the same for every row and draw."""
        if load.axes[0] != self.component:
            raise Unfused("a table of what every row has")
        found.add(((load.axes[1:],), True))
        symbol = sympy.Symbol(f"w_{self.name(load)}", real=True)
        columns[symbol] = load
        return symbol

    def _inserted(
        self,
        node: Insert,
        event: int,
        rows: dict[sympy.Symbol, Load | Beside],
        columns: dict[sympy.Symbol, Load | Beside],
        found: set[tuple[tuple[Axes, ...], bool]],
    ) -> sympy.Expr:
        place = len(node.operand.axes) + 1 + node.dim
        inner = self.resolved(node.operand)
        value: Load | Beside
        if isinstance(inner, Points):
            parts = tuple((part, part.axes[len(part.axes) - n :]) for part, n in inner.operands if isinstance(part, Load))
            if event != 1 or len(parts) != len(inner.operands) or any(part.integer for part, _ in parts):
                raise Unfused("points of computed values")
            value = Beside(parts) if len(parts) > 1 else parts[0][0]
            events, row = tuple(axes for _, axes in parts), 0
        elif isinstance(inner, Load) and not inner.integer:
            value, events, row = inner, (inner.axes[len(inner.axes) - event :],), len(inner.axes) - 1 - event
        else:
            raise Unfused("a table of computed values")
        if row < 0 or place not in (row, row + 1):
            raise Unfused("an axis elsewhere")
        pooled = isinstance(inner, Points)
        found.add((events, pooled))
        name = "_".join(map(self.name, parts_of(value)))
        if place == row + 1:
            symbol = sympy.Symbol(f"v_{name}", real=True)
            rows[symbol] = value
        else:
            if not pooled and inner.axes[:1] == ("S",):
                raise Unfused("parameters with draws")
            symbol = sympy.Symbol(f"w_{name}", real=True)
            columns[symbol] = value
        return symbol


def size_of(axes: Axes) -> sympy.Expr:
    """The number of elements along some axes.

    >>> size_of(("L", "3"))
    3*size_L
    """
    return sympy.Mul(*[sympy.Integer(a) if a.isdigit() else sympy.Symbol(SIZE + a, positive=True) for a in axes])
