"""Nodes of a loss program as PyTorch expressions; which helpers they call is noted on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from ibsym.codegen.torch.expressions import PRODUCT, Code, render
from ibsym.codegen.torch.text import quoted
from ibsym.lowering.program import (
    Diagonal,
    Directions,
    Elementwise,
    ExcludeDiagonal,
    Frequency,
    InputKey,
    Insert,
    Inverse,
    Load,
    LogMeanExp,
    LogSoftmax,
    LossProgram,
    Mean,
    Node,
    OffDiagonalMean,
    OverDraws,
    Pick,
    Points,
    Project,
    QuantileDistance,
    Reduce,
    Ref,
    Size,
    Solve,
    Sort,
    Step,
    Stratified,
    children,
)


class Torch:
    """Writes nodes, given the names of inputs and steps."""

    def __init__(self, inputs: Mapping[InputKey, str], steps: Sequence[Step] = ()):
        self.inputs, self.steps = inputs, steps

    def text(self, node: Node) -> str:
        """The text of the expression that computes the node."""
        return self.code(node).text

    def code(self, node: Node) -> Code:
        """The expression that computes the node."""
        match node:
            case Load():
                return Code(self.inputs[node.key])
            case Ref():
                step = self.steps[node.index]
                return Code(step.name, number=self.code(step.node).number)
            case Elementwise():
                operands = {name: self.code(n) for name, n in node.operands}
                return render(node.expression, operands.__getitem__)
            case Reduce():
                return self._method(node.operand, node.kind, dims(node.dims))
            case Mean():
                return self._method(node.operand, "mean")
            case LogMeanExp():
                return self._helper("_log_mean_exp", node.operand)
            case OverDraws(kind="mean"):
                return self._helper("_over_draws", node.operand)
            case OverDraws():
                return self._helper("_log_mean_exp_over_draws", node.operand)
            case LogSoftmax():
                return self._method(node.operand, "log_softmax", "-1")
            case Pick():
                return self._helper("_pick", node.table, node.index)
            case Insert():
                return self._method(node.operand, "unsqueeze", str(node.dim))
            case Diagonal():
                return self._method(node.operand, "diagonal", "dim1=-2, dim2=-1")
            case Inverse():
                return self._helper("_inverse", node.operand)
            case Solve():
                return self._helper("_solve" if node.vector else "_solve_matrix", node.matrix, node.operand)
            case ExcludeDiagonal():
                return self._helper("_exclude_diagonal", node.operand)
            case OffDiagonalMean():
                return self._helper("_off_diagonal_mean", node.operand)
            case Size():
                return self._size(node)
            case Points():
                return self._points(node)
            case Frequency():
                return self._helper("_frequency", node.index, node.like)
            case Stratified():
                return Code(f"_stratified_log_weights({self.text(node.rows)}, {node.total}, {self.text(node.like)})")
            case Directions():
                return Code(f"self._unit_directions({quoted(node.term)}, {self.text(node.like)}, {node.number})")
            case Project():
                return Code(f"{self.code(node.points).at(PRODUCT)} @ {self.code(node.directions).at(PRODUCT + 1)}", PRODUCT)
            case Sort():
                return Code(f"{self._method(node.operand, 'sort', 'dim=0').text}.values")
            case QuantileDistance():
                return self._helper("_quantile_distance", node.first, node.second)
        assert_never(node)

    def _method(self, operand: Node, name: str, arguments: str = "") -> Code:
        return Code(f"{self.code(operand).at(4)}.{name}({arguments})")

    def _helper(self, name: str, *operands: Node) -> Code:
        return Code(f"{name}({', '.join(map(self.text, operands))})")

    def _size(self, node: Size) -> Code:
        operand = self.code(node.operand).at(4)
        if len(node.dims) == 1:
            return Code(f"{operand}.shape[{node.dims[0]}]", number=True)
        return Code(f"math.prod({operand}.shape[{min(node.dims)}:])", number=True)

    def _points(self, node: Points) -> Code:
        if len(node.operands) == 1 and node.operands[0][1] == 1:
            return self._method(node.operands[0][0], "flatten", "0, -2")
        parts = (f"({self.text(n)}, {axes})" for n, axes in node.operands)
        return Code(f"_points({', '.join(parts)})")


def dims(places: Sequence[int]) -> str:
    """One axis as a number, several as a tuple."""
    return str(places[0]) if len(places) == 1 else str(tuple(places))


def reached(program: LossProgram) -> set[int]:
    """The steps that the program's terms need."""
    pending = [r.index for t in program.terms for r in (t.value, t.surrogate) if r is not None]
    found: set[int] = set()
    while pending:
        index = pending.pop()
        if index not in found:
            found.add(index)
            pending += _references(program.steps[index].node)
    return found


def _references(node: Node) -> list[int]:
    own = [node.index] if isinstance(node, Ref) else []
    return [*own, *(index for child in children(node) for index in _references(child))]
