"""Nodes of a loss program as PyTorch expressions, with the helpers that each calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from ibsym.codegen.formulas import ATOM, PRODUCT, SIGN, Code, called, union
from ibsym.codegen.torch.expressions import render
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
    MoveLast,
    Node,
    OffDiagonalMean,
    OverDraws,
    Pick,
    Points,
    Project,
    QuantileDistance,
    Reduce,
    Ref,
    Setting,
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
                return Code(step.name, number=self.code(step.node).number)  # what the step uses is counted where it is computed
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
                return self._method(node.operand, "diagonal", f"dim1={node.dim}, dim2=-1")
            case MoveLast():
                return self._method(node.operand, "movedim", f"-1, {node.dim}")
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
                total = str(node.total) if isinstance(node.total, int) else self.code(node.total)
                return called("_stratified_log_weights", [self.code(node.rows), total, self.code(node.like)])
            case Setting():
                return Code(f"float(self.{node.name})", number=True)
            case Directions():
                return self._directions(node)
            case Project():
                points, directions = self.code(node.points), self.code(node.directions)
                return Code(f"{points.at(PRODUCT)} @ {directions.at(SIGN)}", PRODUCT, uses=union((points, directions)))
            case Sort():
                values = self._method(node.operand, "sort", "dim=0")
                return values._replace(text=f"{values.text}.values")
            case QuantileDistance():
                return self._helper("_quantile_distance", node.first, node.second)
        assert_never(node)

    def _method(self, operand: Node, name: str, arguments: str = "") -> Code:
        code = self.code(operand)
        return Code(f"{code.at(ATOM)}.{name}({arguments})", uses=code.uses)

    def _helper(self, name: str, *operands: Node) -> Code:
        return called(name, [self.code(n) for n in operands])

    def _directions(self, node: Directions) -> Code:
        code = called("self._unit_directions", [quoted(node.term), self.code(node.like), str(node.number)])
        return code._replace(uses=code.uses | {"_unit_directions"})

    def _size(self, node: Size) -> Code:
        operand = self.code(node.operand)
        if len(node.dims) == 1:
            return Code(f"{operand.at(ATOM)}.shape[{node.dims[0]}]", number=True, uses=operand.uses)
        return called("math.prod", [Code(f"{operand.at(ATOM)}.shape[{min(node.dims)}:]", uses=operand.uses)], number=True)

    def _points(self, node: Points) -> Code:
        if len(node.operands) == 1 and node.operands[0][1] == 1:
            return self._method(node.operands[0][0], "flatten", "0, -2")
        parts = [(self.code(n), axes) for n, axes in node.operands]
        return called("_points", [code._replace(text=f"({code.text}, {axes})") for code, axes in parts])


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


def loads(node: Node) -> list[Load]:
    """The inputs that a node reads, steps left aside."""
    own = [node] if isinstance(node, Load) else []
    return [*own, *(load for child in children(node) for load in loads(child))]
