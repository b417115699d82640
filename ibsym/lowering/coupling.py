"""Which terms couple the rows of a batch: those that are no weighted sum of per-row averages, whatever the families.

A value with a batch axis is a row's own where row i of it depends on row i of the inputs alone; else it is of the whole batch, and on
several ranks it needs the rows of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy

from ibsym.lowering.expectations import ROWS
from ibsym.lowering.program import (
    CriticLoss,
    Diagonal,
    Elementwise,
    Load,
    LogPairShare,
    LossProgram,
    Mean,
    Node,
    Reduce,
    Ref,
    Size,
    Step,
    TermValue,
    children,
)

POINTS = "rows"
"""The axis of draws and rows together."""


def is_batch(axis: str) -> bool:
    """Whether an axis runs over rows.

    >>> [is_batch(axis) for axis in ("B", "B_unlabelled", "S", "Batch")]
    [True, True, False, False]
    """
    return axis in (ROWS, POINTS) or axis.startswith(f"{ROWS}_")


def has_rows(node: Node) -> bool:
    """Whether a value has an entry, or more, for every row."""
    return any(map(is_batch, node.axes))


def are_scores(node: Node) -> bool:
    """Whether a value is a critic on all pairs: a rank has those of its own rows, against the columns of all."""
    return isinstance(node, Load) and sum(map(is_batch, node.axes)) > 1


class Coupling:
    """What the steps of a section are: each row's own, or of the whole batch."""

    def __init__(self, steps: Sequence[Step] = ()):
        self.mixed: list[bool] = []
        for step in steps:
            self.mixed.append(self.mixes(step.node))

    def mixes(self, node: Node) -> bool:
        """Whether several rows meet in a value, or in what it is computed from."""
        match node:
            case Load():
                return False
            case Diagonal() if are_scores(node.operand):
                return False
            case Ref():
                return self.mixed[node.index]
            case Reduce(dims=dims) if are_scores(node.operand):
                return dims != (-1,)
            case Size(dims=(-1,)) if are_scores(node.operand):
                return False
            case Size():
                return any(is_batch(node.operand.axes[d]) for d in node.dims)
        return self.meets(node) or any(map(are_scores, children(node))) or any(map(self.mixes, children(node)))

    def meets(self, node: Node) -> bool:
        """Whether rows meet in this very node: it averages or sorts them, or sets them against one another."""
        many = sum(map(is_batch, node.axes))
        return many > 1 or POINTS in node.axes or (not many and any(map(has_rows, children(node))))

    def whole(self, node: Node) -> bool:
        """Whether an entry for every row depends on other rows."""
        return has_rows(node) and self.mixes(node)

    def gathers(self, node: Node) -> bool:
        """Whether the node is computed of all rows: all but averages of rows, and what is computed of these alone."""
        if isinstance(node, Load | Ref):
            return False
        if isinstance(node, Size):
            return self.mixes(node)
        return self.whole(node) or (self.meets(node) and not isinstance(node, Mean))


def coupled(program: LossProgram) -> tuple[str, ...]:
    """The terms that couple rows: in their value, in what the model minimises for them, or in their critic's loss."""
    critics = {c.divergence: c for c in program.critics}
    return tuple(t.text for t in program.terms if couples(program.steps, t, critics.get(t.text)))


def couples(steps: Sequence[Step], term: TermValue, critic: CriticLoss | None = None) -> bool:
    """Whether a term couples rows."""
    nodes = [steps[r.index].node for r in (term.value, term.surrogate) if r is not None]
    return any(_couples(steps, n) for n in nodes) or (critic is not None and _couples(critic.steps, critic.node))


def _couples(steps: Sequence[Step], node: Node) -> bool:
    """Whether the value is no affine function of per-row averages."""
    coupling = Coupling(steps)

    def visit(node: Node) -> bool:
        match node:
            case Load():
                return are_scores(node)
            case LogPairShare():
                return True  # and gathers by itself: embeddings, and not pairs
            case Ref():
                return visit(steps[node.index].node)
            case Elementwise(expression=expression, operands=operands) if not has_rows(node):
                averages = [sympy.Symbol(name, real=True) for name, n in operands if coupling.mixes(n)]
                return not _affine(expression, averages) or any(visit(n) for _, n in operands)
        return coupling.gathers(node) or any(map(visit, children(node)))

    return visit(node)


def _affine(expression: sympy.Expr, variables: Iterable[sympy.Symbol]) -> bool:
    symbols = list(variables)
    return not any(expression.diff(v).free_symbols & set(symbols) for v in symbols)
