"""A section of a program: steps computed once each, and the inputs that they load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import sympy

from ibsym.errors import EmissionError
from ibsym.families.base import CLASSES, SIZE, VALUE, Formula, Law
from ibsym.lowering.classes import Names, aligned, of_every_class
from ibsym.lowering.expectations import Sampling, seen_by
from ibsym.lowering.program import Elementwise, InputKey, Load, Node, Ref, Size, Step, children
from ibsym.lowering.translation import Translator
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.spaces import Space


class Section:
    """Steps in order. ``let`` names a value; the same value is never computed twice (value numbering)."""

    def __init__(self, sampling: Sampling):
        self.sampling = sampling
        self.steps: list[Step] = []
        self._known: dict[Node, Ref] = {}

    def let(self, name: str, node: Node, *comment: str) -> Node:
        """The node as a step of its own, or the step that computes it already."""
        if isinstance(node, Load | Ref):
            return node
        if node not in self._known:
            self._known[node] = self.step(name, node, *comment)
        return self._known[node]

    def step(self, name: str, node: Node, *comment: str) -> Ref:
        """Name a node's value; later nodes refer to it."""
        self.steps.append(Step(name, node, comment))
        return Ref(len(self.steps) - 1, node.axes)

    def _place(self, load: Load) -> int:
        """Where an input stands among those of its factor: in the order of the family's parameters."""
        factor = self.sampling.spec.factors.get(load.key.of)
        known = factor.family.parameters if factor is not None and factor.family is not None else (*VALUES, *OTHERS)
        return known.index(load.key.role) if load.key.role in known else len(known)

    def inputs(self) -> list[Load]:
        """What the steps load, in the order of first use: values first, the parameters of one factor together."""
        found: dict[InputKey, Load] = {}
        for step in self.steps:
            new = [load for load in loads(step.node) if load.key not in found]
            first = {(load.key.of, load.key.joint): k for k, load in reversed(list(enumerate(new)))}
            new.sort(key=lambda load: (load.key.role not in VALUES, first[load.key.of, load.key.joint], self._place(load)))
            found.update((load.key, load) for load in new)
        return list(found.values())


VALUES = ("value", "sample", "sample_reference")
OTHERS = ("embedding", "critic", "critic_reference", "scores", "temperature")


def loads(node: Node) -> Iterator[Load]:
    """The inputs that a node is computed from, each time that it is used."""
    if isinstance(node, Load):
        yield node
    for child in children(node):
        yield from loads(child)


class Evaluation:
    """Formulas at a factor's parameters and a variable's value, under one part of a joint.

    ``second`` is the other law of a pair. ``change`` wraps what a symbol loads, to set up all pairs of a batch.
    """

    def __init__(
        self,
        sampling: Sampling,
        joint: Joint,
        first: Factor,
        second: Factor | None = None,
        change: Callable[[bool, Load], Node] | None = None,
    ):
        self.sampling, self.joint = sampling, joint
        self.first = sampling.law(first, joint)
        self.second = sampling.law(second, joint, "_r") if second is not None else None
        self.change = change or (lambda _value, load: load)
        (self.variable,) = first.of
        self.space = sampling.spec.variables[self.variable]
        self.operands: dict[sympy.Symbol, Callable[[], Node]] = {}
        self.own: dict[sympy.Symbol, tuple[Names, int]] = {}
        for factor, law in ((first, self.first), (second, self.second)):
            if factor is not None and law is not None:
                for role, symbol in law.symbols.items():
                    self._operand(symbol, seen_by(factor, role), sampling.parameter(factor, role, joint))
        self._operand(VALUE, (self.variable,), sampling.value(joint, self.variable))
        self.sized_by: tuple[sympy.Symbol, ...] = ()

    def _operand(self, symbol: sympy.Symbol, seen: Iterable[str], load: Load) -> None:
        """What a symbol loads, its class axes, and how many axes stand behind these."""
        rows = self.sampling.rows(self.joint)
        behind = len(load.axes) - load.axes.index(rows) if rows in load.axes else len(load.axes) + 1
        self.own[symbol] = self.sampling.classes(self.joint, seen), behind
        self.operands[symbol] = lambda: self.change(symbol == VALUE, load)

    def classes(self, formula: Formula) -> Names:
        """The class axes of the formula's operands, in the order of declaration."""
        used = formula.expression.free_symbols
        return self.sampling.spec.ordered({v for s, (names, _) in self.own.items() if s in used for v in names})

    @property
    def event(self) -> int:
        """Axes of one value; weights of classes have one more."""
        return len(self.space.axes if self.first.soft else self.space.event)

    def node(self, formula: Formula | sympy.Expr) -> Node:
        """The formula's value at every row."""
        return self.with_classes(formula if isinstance(formula, Formula) else Formula(formula, ""))[0]

    def with_classes(self, formula: Formula) -> tuple[Node, Names]:
        """The formula's value at every row, and its class axes."""
        expression, found = formula.expression, self.classes(formula)
        order = self.sampling.spec.ordered({*self.joint.variables})
        operands = {s: self._aligned(s, found) for s in self.operands}
        operands[SIZE] = lambda: self._size(expression, self.space.event)
        operands[CLASSES] = lambda: self._size(expression, self.space.axes[-1:])
        table = found

        def every_class(node: Node) -> Node:
            nonlocal found
            node, found = of_every_class(node, table, self.variable, order)
            return node

        return Translator(operands, len(self.space.event), every_class).node(expression), found

    def _aligned(self, symbol: sympy.Symbol, classes: Names) -> Callable[[], Node]:
        own, behind = self.own[symbol]
        return lambda: aligned(self.operands[symbol](), own, classes, behind)

    def _size(self, expression: sympy.Expr, dims: tuple[str, ...]) -> Node:
        """How many coordinates, symbols or classes a value has: a number where the spec gives one, else read off an input."""
        if all(d.isdigit() for d in dims):
            return Elementwise(sympy.prod(map(int, dims)))
        places = (*sorted(expression.free_symbols & self.operands.keys(), key=str), *self.sized_by, *self.operands)
        for symbol in places:
            node = self.operands[symbol]()
            for first in range(-len(dims), -len(node.axes) - 1, -1):
                if node.axes[first : first + len(dims) or None] == dims:
                    return Size(node, tuple(range(first, first + len(dims))))
        sized = Space(self.space.kind, tuple(d if d.isdigit() else "10" for d in self.space.dims))
        raise EmissionError(
            f'nothing tells the size of {self.variable}: give it as a number\n  write: variables.{self.variable} = "{sized}"'
        )


def laws(evaluation: Evaluation) -> tuple[Law, Law]:
    """Both laws of a pair."""
    assert evaluation.second is not None
    return evaluation.first, evaluation.second
