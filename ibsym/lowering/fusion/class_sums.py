"""sum_k1 p(k1) sum_k2 p(k2|k1) ... w, read off a program: which tables weigh, and sums that know which classes they depend on.

Axes are counted from the right, and several may have the same name. A *frame* says what each axis of a value is: the draws, the
rows, part of an event, or the class that one of the sums around it binds, a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias, TypeVar

import sympy

from ibsym.families import functions as heads
from ibsym.lowering.fusion.calculus import Unfused, own
from ibsym.lowering.fusion.pairing import PairReader
from ibsym.lowering.fusion.sums import Affine, Elements, Mixed, Observed, Place, Weights
from ibsym.lowering.program import (
    Elementwise,
    Insert,
    Load,
    LogSoftmax,
    MoveLast,
    Node,
    Pick,
    Reduce,
    Size,
)

Frame: TypeAlias = tuple[int | str, ...]
Kind = TypeVar("Kind")
DRAWS, ROWS, EVENT = "draws", "rows", "event"


@dataclass(frozen=True)
class Located:
    """A tensor, and what each of its axes is; None for an axis of length 1."""

    load: Load
    frame: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Table:
    """Log-probabilities of a class: the logits, located, whose last axis is it."""

    logits: Located

    @property
    def own(self) -> int:
        """The class."""
        found = self.logits.frame[-1]
        assert isinstance(found, int)
        return found


@dataclass(frozen=True)
class Formula:
    """The sum of a formula over an event."""

    expression: sympy.Expr
    operands: tuple[tuple[sympy.Symbol, Located], ...]
    event: int


@dataclass(frozen=True)
class Choice:
    """The sum over an event of log-probabilities of an observed class."""

    logits: Located
    index: Located
    event: int


class Part(NamedTuple):
    """A factor times a value under some sums, the outermost first; None is 1."""

    factor: sympy.Expr
    chain: tuple[Table, ...]
    value: Table | Formula | Choice | None


class ClassReader:
    """Reads sums over classes as parts of a mean.

    ``symbol`` gives a tensor its symbol; ``elements`` are the sums of a formula over every element of its operands.
    """

    def __init__(
        self,
        pairs: PairReader,
        symbol: Callable[[Load], sympy.Symbol],
        elements: Callable[[sympy.Expr, dict[sympy.Symbol, Load], int], Affine],
    ):
        self.pairs, self.symbol, self.elements = pairs, symbol, elements
        self.order: list[int] = []
        self.names: dict[int, str] = {}

    def mean(self, node: Reduce) -> Affine:
        """The mean over draws and rows of a sum over classes."""
        if node.axes[:-1] not in ((), ("S",)) or not node.axes:
            raise Unfused("a sum over classes that no row has")
        self.order, self.names = [], {}
        lead = node.axes
        parts = self._value(node, (DRAWS, ROWS)[2 - len(lead) :])
        if not all(part.chain for part in parts):
            raise Unfused("no sum over classes")
        constant = sympy.Add(*(p.factor for p in parts if p.value is None))
        grouped: dict[tuple[object, ...], Mixed] = {}
        for part in parts:
            if part.value is not None:
                key, found = self._mixed(part, lead[-1])
                constant += found[0]
                before = grouped.get(key)
                grouped[key] = found[1] if before is None else joined(before, found[1])
        if not grouped:
            raise Unfused("an exact sum of numbers")
        return Affine(constant, tuple((sympy.Integer(1), item) for item in grouped.values()))

    def _mixed(self, part: Part, rows: str) -> tuple[tuple[object, ...], tuple[sympy.Expr, Mixed]]:
        """What a part may be put together with; a constant, and the sum of one value."""
        bound = [table.own for table in part.chain]
        inward = [k for k in reversed(self.order) if k in bound]
        weights = tuple(self._weights(table, inward) for table in part.chain)
        constant: sympy.Expr = sympy.Integer(0)
        classes = tuple(self.names[k] for k in inward)
        if isinstance(part.value, Table):
            own_place = self._weights(part.value, inward)
            key: tuple[object, ...] = (weights, None)
            whole = own_place.axes
            item = Mixed(classes, rows, weights, (), ((part.factor, own_place),))
        elif isinstance(part.value, Choice):
            observed = self._observed(part.value, inward)
            whole = observed.axes
            key = (weights, Observed, whole)
            item = Mixed(classes, rows, weights, (), (), ((part.factor, observed),))
        else:
            assert isinstance(part.value, Formula)
            event = part.value.event
            whole = Place(False, False, frozenset())
            loads = {}
            for symbol, located in part.value.operands:
                mine = place(located.frame[: len(located.frame) - event], inward)
                lead = (
                    "S" if mine.draws else "1",
                    *(self.names[k] if inward.index(k) in mine.classes else "1" for k in reversed(inward)),
                )
                end = located.load.axes[len(located.load.axes) - event :]
                loads[symbol] = replace(located.load, axes=(*lead, rows if mine.rows else "1", *end))
                whole |= mine
            found = self.elements(part.value.expression, loads, event)
            constant = part.factor * found.constant
            key = (weights, whole)
            inside = tuple((f * part.factor, s) for f, s in found.parts if isinstance(s, Elements))
            item = Mixed(classes, rows, weights, inside, ())
        if not (whole.rows or any(w.axes.rows for w in weights)):
            raise Unfused("a sum over classes that is the same for every row")
        return key, (constant, item)

    @staticmethod
    def _observed(choice: Choice, inward: list[int]) -> Observed:
        """What is observed, where its probabilities are known at every draw, class and row of its value."""
        logits = place(choice.logits.frame[: -1 - choice.event], inward)
        index = place(choice.index.frame[: len(choice.index.frame) - choice.event], inward)
        if index.classes or not index.rows or logits | index != logits:
            raise Unfused("an observed class that some probabilities do not know")
        return Observed(choice.logits.load, choice.index.load, choice.event, logits)

    def _weights(self, table: Table, inward: list[int]) -> Weights:
        return Weights(table.logits.load, inward.index(table.own), place(table.logits.frame, inward))

    def _value(self, node: Node, frame: Frame) -> list[Part]:
        """A value at draws, classes and rows."""
        node = self.pairs.resolved(node)
        match node:
            case Elementwise():
                return self._combined(node, frame)
            case Insert():
                return self._value(node.operand, dropped(frame, node.dim))
            case Load(integer=False):
                return self._formula(node, frame, 0)
            case LogSoftmax() | MoveLast():
                return [Part(sympy.Integer(1), (), self._table(node, frame))]
            case Pick():
                return [Part(sympy.Integer(1), (), self._choice(node, frame, 0))]
            case Reduce(kind="sum", operand=operand):
                inner = self.pairs.resolved(operand)
                if isinstance(inner, Elementwise) and inner.expression.has(heads.expected) and len(node.dims) == 1:
                    return self._summed(inner, node.dims[0], frame)
                event = len(node.dims)
                if sorted(node.dims) != list(range(-event, 0)):
                    raise Unfused("a sum over inner axes")
                whole = (*frame, *[EVENT] * event)
                if isinstance(inner, Pick):
                    return [Part(sympy.Integer(1), (), self._choice(inner, whole, event))]
                return self._formula(inner, whole, event)
        raise Unfused(type(node).__name__)

    def _summed(self, product: Elementwise, dim: int, frame: Frame) -> list[Part]:
        """The sum over a class of its probabilities times values: the class is one that nothing around it knows."""
        if len(product.axes) + dim < 0 or len(frame) + 1 + dim < 0:
            raise Unfused("a sum over an axis that is not there")
        number = len(self.order)
        at = len(frame) + 1 + dim
        inner = (*frame[:at], number, *frame[at:])
        right = next((self.order.index(k) for k in inner[at + 1 :] if isinstance(k, int)), len(self.order))
        self.order.insert(right, number)
        self.names[number] = product.axes[dim]
        operands = dict(product.operands)
        found = []
        for term in sympy.Add.make_args(product.expression):
            factor, rest = term.as_coeff_Mul()
            if not isinstance(rest, heads.expected) or not rest.args[0].is_Symbol:
                raise Unfused("a sum over an inner axis")
            share, value = rest.args
            table = self._table(operands[share.name], inner)
            if table.own != number:
                raise Unfused("probabilities of another class")
            for part in self._affine(value, operands, inner):
                found.append(Part(factor * part.factor, (table, *part.chain), part.value))
        return found

    def _table(self, node: Node, frame: Frame) -> Table:
        """The logits of log-probabilities whose own class is that of one of the sums around."""
        node = self.pairs.resolved(node)
        match node:
            case Insert():
                return self._table(node.operand, dropped(frame, node.dim))
            case MoveLast():
                return self._table(node.operand, (*dropped(frame, node.dim), frame[len(frame) + node.dim]))
            case LogSoftmax():
                logits, inner = self.pairs.resolved(node.operand), frame
                while isinstance(logits, Insert):
                    inner = dropped(inner, logits.dim)
                    logits = self.pairs.resolved(logits.operand)
                if isinstance(logits, Load) and isinstance(frame[-1], int):
                    located = self._located(logits, inner)
                    if located.frame[-1:] == frame[-1:] and EVENT not in located.frame:
                        return Table(located)
        raise Unfused("probabilities of no class that is summed over")

    def _choice(self, node: Pick, frame: Frame, event: int) -> Choice:
        """The log-probabilities of a class index, whose table and index have the whole event."""
        table, index = self.pairs.resolved(node.table), self.pairs.resolved(node.index)
        logits = self.pairs.resolved(table.operand) if isinstance(table, LogSoftmax) else table
        if not (isinstance(table, LogSoftmax) and isinstance(logits, Load) and isinstance(index, Load)):
            raise Unfused("probabilities that are not given")
        found = Choice(self._located(logits, (*frame, EVENT)), self._located(index, frame), event)
        for lead, last in ((found.logits.frame, event + 1), (found.index.frame, event)):
            if lead.count(EVENT) != last:
                raise Unfused("a class without the whole event")
        return found

    def _located(self, load: Load, frame: Frame) -> Located:
        axes = load.axes
        if len(axes) > len(frame):
            raise Unfused("an axis that is not there")
        mine = frame[len(frame) - len(axes) :]
        if any(isinstance(k, int) and a not in ("1", self.names[k]) for k, a in zip(mine, axes, strict=True)):
            raise Unfused("a class axis of another length")
        return Located(load, tuple(None if a == "1" else k for k, a in zip(mine, axes, strict=True)))

    def _combined(self, node: Elementwise, frame: Frame) -> list[Part]:
        """A formula of tensors is an event of one element; an affine formula of values is their parts."""
        inner = [self.pairs.resolved(n) for _, n in node.operands]
        if inner and all(isinstance(n, Load | Insert) for n in inner):
            return self._formula(node, frame, 0)
        return self._affine(node.expression, dict(node.operands), frame)

    def _affine(self, expression: sympy.Expr, operands: dict[str, Node], frame: Frame) -> list[Part]:
        sizes = {n: self.pairs.size(v) for n, v in operands.items() if isinstance(v, Size)}
        expression = expression.xreplace({s: sizes[s.name] for s in expression.free_symbols if s.name in sizes})
        symbols = {s.name: s for s in expression.free_symbols if s.name in operands and s.name not in sizes}
        found, rest = [], expression
        for name, symbol in sorted(symbols.items()):
            factor = own(expression).diff(symbol)
            if factor.free_symbols & set(symbols.values()):
                raise Unfused("a product of values")
            rest = rest.xreplace({symbol: sympy.Integer(0)})
            found += [Part(factor * p.factor, p.chain, p.value) for p in self._value(operands[name], frame)]
        return found if rest == 0 else [*found, Part(rest, (), None)]

    def _formula(self, node: Node, frame: Frame, event: int) -> list[Part]:
        """The sum of a formula over the last axes, which every tensor in it has."""
        operands: dict[sympy.Symbol, Located] = {}
        expression = self._element(node, frame, operands)
        for located in operands.values():
            if len(located.frame) < event or None in located.frame[len(located.frame) - event :]:
                raise Unfused("an operand without the whole event")
            if event and EVENT in located.frame[: len(located.frame) - event]:
                raise Unfused("an event inside of an event")
        return [Part(sympy.Integer(1), (), Formula(expression, tuple(operands.items()), event))]

    def _element(self, node: Node, frame: Frame, operands: dict[sympy.Symbol, Located]) -> sympy.Expr:
        node = self.pairs.resolved(node)
        match node:
            case Load(integer=False):
                symbol = self.symbol(node)
                located = self._located(node, frame)
                if operands.setdefault(symbol, located) != located:
                    raise Unfused("a tensor in two places")
                return symbol
            case Insert():
                return self._element(node.operand, dropped(frame, node.dim), operands)
            case Elementwise():
                inner = {name: self._element(n, frame, operands) for name, n in node.operands}
                e = own(node.expression)
                return e.xreplace({s: inner[s.name] for s in e.free_symbols if s.name in inner})
        raise Unfused(type(node).__name__)


def joined(first: Mixed, second: Mixed) -> Mixed:
    """Two sums under the same weights as one."""
    return replace(
        first,
        elements=together(*first.elements, *second.elements),
        logarithms=together(*first.logarithms, *second.logarithms),
        observed=together(*first.observed, *second.observed),
    )


def together(*parts: tuple[sympy.Expr, Kind]) -> tuple[tuple[sympy.Expr, Kind], ...]:
    """Multiples of values, each value once.

    >>> together((sympy.Integer(1), "a"), (sympy.Integer(2), "b"), (sympy.Integer(3), "a"))
    ((4, 'a'), (2, 'b'))
    """
    found: dict[Kind, sympy.Expr] = {}
    for factor, value in parts:
        found[value] = found.get(value, sympy.Integer(0)) + factor
    return tuple((factor, value) for value, factor in found.items())


def dropped(frame: Frame, dim: int) -> Frame:
    """The frame of what gets a new axis at a place counted from the right."""
    at = len(frame) + dim
    if at < 0:
        raise Unfused("an axis that is not there")
    return frame[:at] + frame[at + 1 :]


def place(frame: tuple[int | str | None, ...], inward: list[int]) -> Place:
    """Which axes a frame has.

    >>> place(("draws", 7, None, "rows"), [4, 7])
    Place(rows=True, draws=True, classes=frozenset({1}))
    """
    return Place(ROWS in frame, DRAWS in frame, frozenset(inward.index(k) for k in frame if isinstance(k, int)))
