"""E[v] = sum_k c_k E[sum of e_k over the event] + c_0: which terms fuse, as weighted means of a few sums.

The mean over rows and draws is linear, so that a term's value is an affine combination of *sums*: of a formula over every
element of some inputs, or of class log-probabilities. What is not stays with the tensor expression (:class:`Unfused`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import sympy

from ibsym.families import functions as heads
from ibsym.lowering.fusion.calculus import Unfused, own, weighted
from ibsym.lowering.fusion.class_sums import ClassReader
from ibsym.lowering.fusion.codebooks import quantised
from ibsym.lowering.fusion.pairing import PairReader, Pairs, size_of
from ibsym.lowering.fusion.shares import mean_log
from ibsym.lowering.fusion.sums import (
    LOG_P,
    Affine,
    Bessel,
    Classes,
    Draws,
    Elements,
    LogMean,
    Matched,
    Picked,
    Relaxed,
    Sum,
    added,
    one,
)
from ibsym.lowering.program import (
    Diagonal,
    Elementwise,
    Load,
    LogMeanExp,
    LogSoftmax,
    LossProgram,
    Mean,
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


class Reader:
    """Reads nodes as affine combinations of sums; ``name`` gives an input the name of its symbol."""

    def __init__(self, steps: tuple[Step, ...], name: Callable[[Load], str]):
        self.steps, self.name = steps, name
        self.pairs = PairReader(steps, lambda load: name(load).removeprefix("v_"))
        self.classes = ClassReader(self.pairs, self.symbol, self._elements)

    def mean(self, node: Node) -> Affine:
        """The mean of a node over its rows and draws."""
        match node:
            case Ref():
                return self.mean(self.steps[node.index].node)
            case Mean() | OverDraws(kind="mean"):
                return self.mean(node.operand)
            case OverDraws(kind="logmeanexp"):
                return one(Draws(self._weights(node.operand)))
            case LogMeanExp() if isinstance(load := self.pairs.resolved(node.operand), Load) and not load.integer:
                return one(LogMean(load))
            case Reduce(kind="mean"):
                return one(mean_log(node, self.pairs.resolved))
            case Reduce(kind="logsumexp", dims=(-1,)):
                return one(self.pairs.matrix(node.operand))
            case Diagonal(dim=-2):
                return one(replace(self.pairs.matrix(node.operand), kind="own"))
            case OffDiagonalMean():
                return one(self._off_diagonal(node.operand))
            case Load(integer=False):
                return self._elements(self.symbol(node), {self.symbol(node): node}, 0)
            case Reduce(kind="sum", operand=Pick() as pick, dims=dims):
                return self._symbols(pick, len(dims))
            case Reduce(kind="sum"):
                for read in (self._summed, self.classes.mean, self._quantised, self._mean_log):
                    with suppress(Unfused):
                        return read(node)
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

    def _symbols(self, pick: Pick, event: int) -> Affine:
        """Log-probabilities of an array of symbols: as often their mean as there are symbols."""
        match pick:
            case Pick(table=LogSoftmax(operand=Load() as logits), index=Load() as index):
                axes = logits.axes[:-1]
                if len(index.axes) > event and axes[len(axes) - len(index.axes) :] == index.axes:
                    return Affine(sympy.Integer(0), ((size_of(axes[-event:]), Picked(logits, index, event)),))
        raise Unfused("an array of symbols that rows do not have")

    def _quantised(self, node: Reduce) -> Affine:
        return one(quantised(node, self.pairs.resolved))

    def _mean_log(self, node: Reduce) -> Affine:
        return one(mean_log(node, self.pairs.resolved))

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
        inner = self.pairs.resolved(node.operand)
        if isinstance(inner, Reduce) and (inner.kind, inner.dims) == ("sum", (-1,)):
            return self._arrays(node, inner)
        apart = self._apart(node, event)
        if apart is not None:
            return apart
        operands: dict[sympy.Symbol, Load] = {}
        tables: dict[sympy.Symbol, Load] = {}
        formula = self._formula(node.operand, operands, tables)
        if not tables:
            return self._elements(formula, operands, event)
        if len(tables) > 1 or event > 1:
            raise Unfused("a sum over the classes of several tables")
        ((symbol, logits),) = tables.items()
        if operands:
            return one(self._relaxed(formula, symbol, logits, operands))
        return one(Classes(formula.xreplace({symbol: LOG_P}), logits))

    def _relaxed(self, formula: sympy.Expr, symbol: sympy.Symbol, logits: Load, operands: dict[sympy.Symbol, Load]) -> Relaxed:
        """The logarithms of one table with the weights of one tensor, which has as many numbers."""
        found = [weights for weight, weights in operands.items() if formula == weighted(weight, symbol)]
        if len(operands) > 1 or not found or found[0].axes != logits.axes:
            raise Unfused("a sum over classes with other weights")
        return Relaxed(logits, found[0])

    def _arrays(self, node: Reduce, inner: Reduce) -> Affine:
        """Sums over the classes of an array of symbols: as often their mean as there are symbols."""
        event, found = len(node.dims), self._summed(inner)
        if sorted(node.dims) != list(range(-event, 0)):
            raise Unfused("a sum over inner axes")
        parts = []
        for factor, item in found.parts:
            if not isinstance(item, Classes | Relaxed) or len(item.logits.axes) <= event + 1:
                raise Unfused("an array of symbols that rows do not have")
            parts.append((factor * size_of(item.logits.axes[-1 - event : -1]), replace(item, event=event)))
        return Affine(found.constant, tuple(parts))

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
            case LogSoftmax(operand=Load() as logits):
                symbol = sympy.Symbol(f"log_softmax_{self.name(logits)}", real=True)
                tables[symbol] = logits
                return symbol
            case Elementwise():
                inner = {name: self._formula(n, operands, tables) for name, n in node.operands}
                return substituted(own(node.expression), inner)
        raise Unfused(type(node).__name__)

    def _spherical(self, expression: sympy.Expr, others: dict[str, Node]) -> Affine:
        """An affine formula of Bessel functions of one value a row, and of means."""
        parts: list[tuple[sympy.Expr, Bessel]] = []
        for call in sorted(expression.atoms(heads.log_bessel, heads.bessel_ratio), key=str):
            dimensions, t = call.args
            load = self.pairs.resolved(others[str(t)]) if str(t) in others else None
            if not isinstance(load, Load):
                raise Unfused("a Bessel function of what is no value of a row")
            value = t * call if isinstance(call, heads.bessel_ratio) else call
            factor = expression.coeff(call) / (t if value != call else 1)
            expression = sympy.expand(expression - factor * value)
            parts.append((factor, Bessel(load, dimensions, value != call)))
        names = {s.name for s in expression.free_symbols} | {s.name for f, _ in parts for s in f.free_symbols}
        if expression.has(heads.log_bessel, heads.bessel_ratio) or names & set(others):
            raise Unfused("a product of Bessel functions")
        return Affine(expression, tuple(parts))

    def _combined(self, node: Elementwise) -> Affine:
        """An affine formula of means is one of their sums; a formula of one element is an event of none."""
        sizes = {name: self.pairs.size(n) for name, n in node.operands if isinstance(n, Size)}
        others = {n: v for n, v in node.operands if n not in sizes}
        if node.expression.has(heads.log_bessel, heads.bessel_ratio):
            return self._spherical(substituted(node.expression, sizes), others)
        expression = substituted(own(node.expression), sizes)
        if others and all(isinstance(v, Load) for v in others.values()):
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


def quantities(program: LossProgram, reader: Reader, can: Callable[[Sum], bool]) -> tuple[Quantity | None, ...]:
    """For each term what fuses to sums that a target ``can`` compute, or None where the tensor expression computes it."""
    found = [_quantity(reader, t.value, t.surrogate) for t in program.terms]
    return tuple(
        q if q is not None and all(can(s) for a in (q.value, q.minimised) for _, s in a.parts) else None for q in found
    )


def _quantity(reader: Reader, value: Ref, surrogate: Ref | None) -> Quantity | None:
    try:
        found = reader.mean(value)
        return Quantity(found, found if surrogate is None else reader.mean(surrogate))
    except Unfused:
        return None
