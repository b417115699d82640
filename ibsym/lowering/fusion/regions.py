"""E[v] = sum_k c_k E[sum of e_k over the event] + c_0: which terms fuse, as weighted means of a few sums.

The mean over rows and draws is linear, so that a term's value is an affine combination of *sums*: of a formula over every
element of some inputs, or of class log-probabilities. What is not stays with the tensor expression (:class:`Unfused`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import sympy

from ibsym.families.functions import expected
from ibsym.lowering.enumeration import LOG_WEIGHT, VALUE
from ibsym.lowering.fusion.calculus import Unfused, own
from ibsym.lowering.fusion.pairing import PairReader, Pairs, size_of
from ibsym.lowering.program import (
    Axes,
    Diagonal,
    Elementwise,
    Insert,
    Load,
    LogSoftmax,
    LossProgram,
    Mean,
    MoveLast,
    Node,
    OffDiagonalMean,
    OverDraws,
    Pick,
    Reduce,
    Ref,
    Size,
    Step,
    broadcast,
    children,
)


@dataclass(frozen=True)
class Elements:
    """The sum of a formula over every element of its operands, whose last ``event`` axes are one row's."""

    formula: sympy.Expr
    operands: tuple[tuple[sympy.Symbol, Load], ...]
    event: int

    @property
    def axes(self) -> Axes:
        """The axes of the formula's value: those of its operands, broadcast."""
        return broadcast(load.axes for _, load in self.operands)


@dataclass(frozen=True)
class Picked:
    """The sum over rows of log softmax(logits) at a class index."""

    logits: Load
    index: Load


@dataclass(frozen=True)
class Classes:
    """The sum over rows and classes of a formula in log softmax(logits), its symbol ``log_p``."""

    formula: sympy.Expr
    logits: Load


@dataclass(frozen=True)
class Matched:
    """The sum over rows i of log softmax(logits_i) at i, of scores that are given for all pairs."""

    logits: Load


LOG_P = sympy.Symbol("log_p", real=True)


@dataclass(frozen=True)
class Draws:
    """The sum over rows of log 1/S sum_s e^w_s: w at a draw and row is a constant and multiples of the sums of its elements."""

    weights: Affine

    @property
    def sums(self) -> tuple[Elements, ...]:
        """What the weights are made of."""
        return tuple(item for _, item in self.weights.parts if isinstance(item, Elements))

    @property
    def rows(self) -> str:
        """The axis of rows."""
        return self.sums[0].axes[1]


@dataclass(frozen=True)
class Mixed:
    """The sum over rows of sum_k softmax(logits)_k w_k: w at a class and draw is a constant and multiples of its elements' sums."""

    logits: Load
    weights: Affine

    @property
    def sums(self) -> tuple[Elements, ...]:
        """What the weights are made of."""
        return tuple(item for _, item in self.weights.parts if isinstance(item, Elements))

    @property
    def rows(self) -> str:
        """The axis of rows."""
        return self.logits.axes[-2]


Sum = Elements | Picked | Classes | Matched | Draws | Mixed | Pairs


@dataclass(frozen=True)
class Affine:
    """constant + sum of factors times means over rows; lengths of axes may be in the constant and in factors."""

    constant: sympy.Expr
    parts: tuple[tuple[sympy.Expr, Sum], ...]

    def scaled(self, factor: sympy.Expr) -> Affine:
        """The same sums times a factor."""
        return Affine(self.constant * factor, tuple((f * factor, s) for f, s in self.parts))


def one(item: Sum) -> Affine:
    """A mean by itself."""
    return Affine(sympy.Integer(0), ((sympy.Integer(1), item),))


def added(parts: Iterable[Affine]) -> Affine:
    """The sum, equal means added up."""
    constant: sympy.Expr = sympy.Integer(0)
    sums: dict[Sum, sympy.Expr] = {}
    for part in parts:
        constant += part.constant
        for factor, item in part.parts:
            sums[item] = sums.get(item, sympy.Integer(0)) + factor
    return Affine(constant, tuple((f, s) for s, f in sums.items() if f != 0))


class Reader:
    """Reads nodes as affine combinations of sums; with ``draws``, logarithms over draws and exact sums over a class too.

    ``name`` gives an input the name of its symbol.
    """

    def __init__(self, steps: tuple[Step, ...], name: Callable[[Load], str], draws: bool = False):
        self.steps, self.name, self.draws, self.within = steps, name, draws, False
        self.pairs = PairReader(steps, lambda load: name(load).removeprefix("v_"))

    def mean(self, node: Node) -> Affine:
        """The mean of a node over its rows and draws."""
        match node:
            case Ref():
                return self.mean(self.steps[node.index].node)
            case Mean() | OverDraws(kind="mean"):
                return self.mean(node.operand)
            case OverDraws(kind="logmeanexp") if self.draws:
                return one(Draws(self._weights(node.operand)))
            case Reduce(kind="logsumexp", dims=(-1,)):
                return one(self.pairs.matrix(node.operand))
            case Diagonal(dim=-2):
                return one(replace(self.pairs.matrix(node.operand), kind="own"))
            case OffDiagonalMean():
                return one(self._off_diagonal(node.operand))
            case Load(integer=False):
                return self._elements(self.symbol(node), {self.symbol(node): node}, 0)
            case Reduce(kind="sum", operand=Elementwise() as product, dims=(-2,)) if self.draws and not self.within:
                return one(self._mixed(product))
            case Reduce(kind="sum"):
                return self._summed(node)
            case Pick(table=LogSoftmax(operand=Load() as logits), index=Load() as index) if set(index.axes) <= set(logits.axes):
                return one(Picked(logits, index))
            case Elementwise(
                operands=((own_entry, Diagonal(Load() as scores, -2)), (whole, Reduce("logsumexp", other, (-1,))))
            ) if other == scores and node.expression == sympy.Symbol(own_entry, real=True) - sympy.Symbol(whole, real=True):
                return one(Matched(scores))
            case Elementwise():
                try:
                    return self._combined(node)
                except Unfused:
                    return one(self.pairs.mapped(node))
        raise Unfused(type(node).__name__)

    def _weights(self, node: Node) -> Affine:
        """What a logarithm over draws is taken of: no mean, and sums that every draw and row has."""
        pending: list[Node] = [node]
        while pending:
            inner = self.pairs.resolved(pending.pop())
            if not isinstance(inner, Load | Size | Elementwise) and not (isinstance(inner, Reduce) and inner.kind == "sum"):
                raise Unfused("a logarithm over draws of more than sums")
            pending += children(inner)
        found = self.mean(node)
        leads = [s.axes[: len(s.axes) - s.event] if isinstance(s, Elements) else () for _, s in found.parts]
        if not leads or any(len(lead) != 2 or lead[0] != "S" for lead in leads):
            raise Unfused("a logarithm over draws of what has none")
        return found

    def _mixed(self, product: Elementwise) -> Mixed:
        """Probabilities of one table, whose rows are the loss's, times sums that every class and row has."""
        operands = {name: self.pairs.resolved(n) for name, n in product.operands}
        share, value = operands.pop("log_weight", None), operands.pop("value", None)
        if product.expression != expected(LOG_WEIGHT, VALUE) or operands or value is None:
            raise Unfused("a sum over an inner axis")
        table = self.pairs.resolved(share.operand) if isinstance(share, MoveLast) and share.dim == -2 else None
        logits = self.pairs.resolved(table.operand) if isinstance(table, LogSoftmax) else None
        if not isinstance(logits, Load) or logits.axes[:-2] not in ((), ("S",)) or len(logits.axes) < 2:
            raise Unfused("probabilities that depend on other classes, or on no row")
        self.within = True
        try:
            found = self.mean(value)
        finally:
            self.within = False
        lead = ("S", logits.axes[-1], logits.axes[-2])
        for _, item in found.parts:
            if not isinstance(item, Elements) or any(not self._stands(load, item, lead) for _, load in item.operands):
                raise Unfused("an exact sum of more than sums")
        if not found.parts:
            raise Unfused("an exact sum of numbers")
        return Mixed(logits, found)

    def _stands(self, load: Load, item: Elements, lead: Axes) -> bool:
        """Whether an operand has the whole event, and before it axes of draws, classes and rows alone."""
        cut = len(load.axes) - item.event
        whole = cut >= 0 and load.axes[cut:] == item.axes[len(item.axes) - item.event :] and "1" not in load.axes[cut:]
        return (
            whole and cut <= 3 and all(a in ("1", b) for a, b in zip(reversed(load.axes[:cut]), reversed(lead), strict=False))
        )

    def _off_diagonal(self, node: Node) -> Pairs:
        try:
            return replace(self.pairs.matrix(node), kind="off")
        except Unfused:
            return replace(self.pairs.mapped(node), mask="exclude")

    def symbol(self, load: Load) -> sympy.Symbol:
        """The symbol of a load, the same for the same tensor."""
        return sympy.Symbol(self.name(load), real=True)

    def _elements(self, formula: sympy.Expr, operands: dict[sympy.Symbol, Load], event: int) -> Affine:
        used = tuple((s, operands[s]) for s in sorted(operands, key=str) if s in formula.free_symbols)
        if not used:
            raise Unfused("a formula without operands")
        axes = broadcast(load.axes for _, load in used)
        constant, rest = formula.as_independent(*(s for s, _ in used), as_Add=True)
        number, rest = rest.as_coeff_Mul()
        item = Elements(rest, used, event)
        return Affine(constant * size_of(axes[len(axes) - event :]), ((number, item),))

    def _summed(self, node: Reduce) -> Affine:
        event = len(node.dims)
        if sorted(node.dims) != list(range(-event, 0)):
            raise Unfused("a sum over inner axes")
        apart = self._apart(node, event)
        if apart is not None:
            return apart
        operands: dict[sympy.Symbol, Load] = {}
        tables: dict[sympy.Symbol, Load] = {}
        formula = self._formula(node.operand, operands, tables)
        if not tables:
            return self._elements(formula, operands, event)
        if operands or len(tables) > 1 or event > 1:
            raise Unfused("a sum over classes with weights")
        ((symbol, logits),) = tables.items()
        return one(Classes(formula.xreplace({symbol: LOG_P}), logits))

    def _apart(self, node: Reduce, event: int) -> Affine | None:
        """A sum over coordinates of log-sum-exps over pairs, or of such shifted and scaled by numbers."""
        inner = self.pairs.resolved(node.operand)
        factor, shift = sympy.Integer(1), sympy.Integer(0)
        if isinstance(inner, Elementwise):
            sizes = {n: self.pairs.size(v) for n, v in inner.operands if isinstance(v, Size)}
            others = [(n, v) for n, v in inner.operands if n not in sizes]
            expression = substituted(inner.expression, sizes)
            symbols = [s for s in expression.free_symbols if s.name in dict(others)]
            if len(symbols) != 1:
                return None
            factor = expression.diff(symbols[0])
            shift = expression.xreplace({symbols[0]: sympy.Integer(0)})
            inner = self.pairs.resolved(others[0][1])
            if not factor.is_number:
                return None
        if not isinstance(inner, Reduce) or inner.kind != "logsumexp" or inner.dims != (-1 - event,):
            return None
        found = self.pairs.apart(inner)
        return Affine(own(shift) * found.table.width, ((factor, found),))

    def _formula(self, node: Node, operands: dict[sympy.Symbol, Load], tables: dict[sympy.Symbol, Load]) -> sympy.Expr:
        """The node at one element; what it loads is noted in ``operands``, logits under a softmax in ``tables``."""
        match node:
            case Ref():
                return self._formula(self.steps[node.index].node, operands, tables)
            case Load(integer=False):
                if operands.setdefault(self.symbol(node), node) != node:
                    raise Unfused("a tensor in two places")
                return self.symbol(node)
            case Insert() if self.within and isinstance(self.pairs.resolved(node.operand), Load | Insert):
                return self._formula(self._inserted(node), operands, tables)
            case LogSoftmax(operand=Load() as logits):
                symbol = sympy.Symbol(f"log_softmax_{self.name(logits)}", real=True)
                tables[symbol] = logits
                return symbol
            case Elementwise():
                inner = {name: self._formula(n, operands, tables) for name, n in node.operands}
                return substituted(own(node.expression), inner)
        raise Unfused(type(node).__name__)

    def _inserted(self, node: Insert) -> Load:
        """A tensor with axes of length 1 by their places, as one of its own."""
        inner = self.pairs.resolved(node.operand)
        load = self._inserted(inner) if isinstance(inner, Insert) else inner
        if not isinstance(load, Load) or load.integer:
            raise Unfused("an axis of what is computed")
        return replace(load, axes=node.axes)

    def _combined(self, node: Elementwise) -> Affine:
        """An affine formula of means is one of their sums; a formula of one element is an event of none."""
        sizes = {name: self.pairs.size(n) for name, n in node.operands if isinstance(n, Size)}
        expression = substituted(own(node.expression), sizes)
        others = {n: v for n, v in node.operands if n not in sizes}
        if (
            all(
                isinstance(self.pairs.resolved(v), Load | Insert) if self.within else isinstance(v, Load)
                for v in others.values()
            )
            and others
        ):
            operands: dict[sympy.Symbol, Load] = {}
            return self._elements(self._formula(node, operands, {}), operands, 0)
        symbols = {s.name: s for s in expression.free_symbols if s.name in others}
        parts = []
        rest = expression
        for name, symbol in sorted(symbols.items()):
            factor = expression.diff(symbol)
            if factor.free_symbols & set(symbols.values()):
                raise Unfused("a product of means")
            parts.append(self.mean(others[name]).scaled(factor))
            rest = rest.xreplace({symbol: sympy.Integer(0)})
        return added([Affine(rest, ()), *parts])


def substituted(e: sympy.Expr, values: dict[str, sympy.Expr]) -> sympy.Expr:
    """The formula with its symbols, found by name, replaced."""
    return e.xreplace({s: values[s.name] for s in e.free_symbols if s.name in values})


@dataclass(frozen=True)
class Quantity:
    """A term's value, and what the model minimises: the same, or a surrogate."""

    value: Affine
    minimised: Affine


def quantities(program: LossProgram, reader: Reader) -> tuple[Quantity | None, ...]:
    """For each term what fuses, or None where the tensor expression computes it."""
    return tuple(_quantity(reader, t.value, t.surrogate) for t in program.terms)


def _quantity(reader: Reader, value: Ref, surrogate: Ref | None) -> Quantity | None:
    try:
        found = reader.mean(value)
        return Quantity(found, found if surrogate is None else reader.mean(surrogate))
    except Unfused:
        return None
