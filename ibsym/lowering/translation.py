"""Formulas of families to nodes: maximal elementwise parts stay SymPy, structural heads become reductions and picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sympy

from ibsym.families import functions as heads
from ibsym.families.base import SIZE
from ibsym.lowering.program import (
    Diagonal,
    Elementwise,
    Insert,
    Inverse,
    LogShare,
    LogSoftmax,
    Nearest,
    Node,
    Pick,
    Reduce,
    Solve,
)

Operands = Mapping[sympy.Symbol, Callable[[], Node]]


def number(value: object) -> Elementwise:
    """A constant."""
    return Elementwise(sympy.sympify(value))


def elementwise(expression: sympy.Expr, **operands: Node) -> Node:
    """The formula over named operands; those that it does not contain are left out, constants become part of it.

    >>> t = sympy.Symbol("t")
    >>> elementwise(1 - t, t=number(2)).expression
    -1
    """
    constants = {}
    for symbol in expression.free_symbols:
        node = operands[symbol.name]
        if isinstance(node, Elementwise) and not node.operands:
            constants[symbol] = node.expression
    expression = expression.xreplace(constants)
    names = {s.name for s in expression.free_symbols}
    return Elementwise(expression, tuple((n, operands[n]) for n in sorted(names)))


class Translator:
    """Translates formulas over given operands, of which only those that occur are loaded.

    ``event`` is the number of axes of one value; ``every_class`` moves the classes of a table to their axis.
    """

    def __init__(self, operands: Operands, event: int, every_class: Callable[[Node], Node] = lambda node: node):
        self.operands, self.event, self.every_class = operands, event, every_class
        self.loaded: dict[sympy.Symbol, Node] = {}

    def load(self, symbol: sympy.Symbol) -> Node:
        """The node that a formula's symbol stands for, once."""
        if symbol not in self.loaded:
            self.loaded[symbol] = self.operands[symbol]()
        return self.loaded[symbol]

    def node(self, expression: sympy.Expr) -> Node:
        """The node that computes the formula."""
        match expression:
            case sympy.Symbol():
                return self.load(expression)
            case heads.EventSum():
                return self._event_sum(expression.args[0])
            case heads.ClassSum():
                return Reduce("sum", self.node(expression.args[0]), (-1,))
            case heads.RowSum():
                return Reduce("sum", self.node(expression.args[0]), (-1,))
            case heads.LogSumExp():
                return Reduce("logsumexp", self.node(expression.args[0]), (-1,))
            case heads.LogSoftmax():
                return LogSoftmax(self.node(expression.args[0]))
            case heads.Pick():
                return Pick(self.node(expression.args[0]), self.node(expression.args[1]))
            case heads.Nearest():
                return Nearest(self.node(expression.args[0]), self.node(expression.args[1]))
            case heads.LogShare():
                return LogShare(*(self.node(a) for a in expression.args))
            case heads.EveryClass():
                return self.every_class(self.node(expression.args[0]))
            case heads.Components():
                return Insert(self.node(expression.args[0]), -1 - self.event)
            case heads.Solve() | heads.SolveMatrix():
                matrix, operand = (self.node(a) for a in expression.args)
                return Solve(matrix, operand, isinstance(expression, heads.Solve))
            case heads.Diagonal():
                return Diagonal(self.node(expression.args[0]))
            case heads.Inverse():
                return Inverse(self.node(expression.args[0]))
            case heads.Columns():
                return Insert(self.node(expression.args[0]), -2)
        return self._elementwise(expression)

    def _elementwise(self, expression: sympy.Expr) -> Node:
        parts: dict[sympy.Expr, sympy.Symbol] = {}

        def cut(e: sympy.Expr) -> sympy.Expr:
            if isinstance(e, heads.STRUCTURAL):
                if e not in parts:
                    parts[e] = sympy.Symbol(f"part{len(parts)}", real=True)
                return parts[e]
            return e.func(*map(cut, e.args)) if e.args else e

        outside = cut(expression)
        inner = {symbol.name: self.node(part) for part, symbol in parts.items()}
        plain = {s.name: self.load(s) for s in outside.free_symbols if s.name not in inner}
        return elementwise(outside, **inner, **plain)

    def _event_sum(self, body: sympy.Expr) -> Node:
        if not body.free_symbols:
            return elementwise(body * SIZE, size=self.load(SIZE))
        if not self.event:
            return self.node(body)
        return Reduce("sum", self.node(body), tuple(range(-self.event, 0)))
