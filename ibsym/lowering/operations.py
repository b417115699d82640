"""Nodes: what one tensor of a loss program is computed from.

Elementwise parts stay SymPy over named operands, so that a backend may fuse and differentiate them; reductions and pairwise
blocks are nodes of their own. Axes are counted from the right, where they are always the same: a leading Monte-Carlo axis may
be absent. Steps are evaluated in order, each once; a :class:`Ref` names an earlier step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import sympy

from ibsym.lowering.axes import Axes, broadcast, without


class InputKey(NamedTuple):
    """What an input is: unique within a program."""

    of: str
    role: str
    joint: str


@dataclass(frozen=True)
class Load:
    """An input of the program."""

    key: InputKey
    axes: Axes
    integer: bool = False


@dataclass(frozen=True)
class Ref:
    """The value of an earlier step of the same section."""

    index: int
    axes: Axes


@dataclass(frozen=True)
class Elementwise:
    """A formula at every element of its broadcast operands; symbols are found by name."""

    expression: sympy.Expr
    operands: tuple[tuple[str, Node], ...] = ()

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return broadcast(node.axes for _, node in self.operands)


@dataclass(frozen=True)
class Reduce:
    """A sum, a mean or a log-sum-exp over some axes, counted from the right."""

    kind: Literal["sum", "mean", "logsumexp"]
    operand: Node
    dims: tuple[int, ...]

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return without(self.operand.axes, self.dims)


@dataclass(frozen=True)
class Mean:
    """The mean over every row and draw."""

    operand: Node
    axes: Axes = ()


@dataclass(frozen=True)
class LogMeanExp:
    """The logarithm of the mean exponential over every row and draw."""

    operand: Node
    axes: Axes = ()


@dataclass(frozen=True)
class OverDraws:
    """The mean, or the logarithm of the mean exponential, over the Monte-Carlo axis where there is one."""

    kind: Literal["mean", "logmeanexp"]
    operand: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return tuple(a for a in self.operand.axes if a != "S")


@dataclass(frozen=True)
class LogSoftmax:
    """Logits to log-probabilities, along the last axis."""

    operand: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.operand.axes


@dataclass(frozen=True)
class Pick:
    """The entry of the last axis that a class index names."""

    table: Node
    index: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return broadcast([self.table.axes[:-1], self.index.axes])


@dataclass(frozen=True)
class Nearest:
    """The class whose vector in the codebook is nearest to a code, for each code along all axes but the last."""

    code: Node
    codebook: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.code.axes[:-1]


@dataclass(frozen=True)
class Vectors:
    """The vector of each class in a codebook."""

    codebook: Node
    index: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return (*self.index.axes, *self.codebook.axes[-1:])


@dataclass(frozen=True)
class LogShare:
    """log softmax(h W' + b)_v, for one class v a row; the table of rows by classes is no value of the program."""

    hidden: Node
    weight: Node
    bias: Node
    index: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return broadcast([self.hidden.axes[:-1], self.index.axes])


@dataclass(frozen=True)
class LogPairShare:
    """log e^f_ii / mean_j e^f_ij of each row i, f_ij = <a_i, b_j>; the table of pairs is no value of the program."""

    first: Node
    second: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.first.axes[:-1]


@dataclass(frozen=True)
class StopGradient:
    """The value, of which no gradient is taken."""

    operand: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.operand.axes


@dataclass(frozen=True)
class Insert:
    """A new axis of length 1; ``dim`` is its place in the result, from the right."""

    operand: Node
    dim: int

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        place = len(self.operand.axes) + 1 + self.dim
        return (*self.operand.axes[:place], "1", *self.operand.axes[place:])


@dataclass(frozen=True)
class Diagonal:
    """The diagonal of the last axis and another, ``dim``; it becomes the last."""

    operand: Node
    dim: int = -2

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return (*without(self.operand.axes, (self.dim, -1)), self.operand.axes[-1])


@dataclass(frozen=True)
class MoveLast:
    """The last axis moved to the place ``dim`` of the result, from the right."""

    operand: Node
    dim: int

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        *rest, last = self.operand.axes
        place = len(rest) + 1 + self.dim
        return (*rest[:place], last, *rest[place:])


@dataclass(frozen=True)
class Inverse:
    """C^-1, for a lower triangular C in the last two axes."""

    operand: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.operand.axes


@dataclass(frozen=True)
class Solve:
    """C^-1 v, or C^-1 M, for a lower triangular C in the last two axes."""

    matrix: Node
    operand: Node
    vector: bool

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        other = self.operand.axes[:-1] if self.vector else self.operand.axes[:-2]
        return (*broadcast([self.matrix.axes[:-2], other]), *self.operand.axes[len(other) :])


@dataclass(frozen=True)
class ExcludeDiagonal:
    """-infinity on the diagonal of the last two axes: those entries leave a log-sum-exp."""

    operand: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.operand.axes


@dataclass(frozen=True)
class OffDiagonalMean:
    """The mean over the entries of the last two axes that are off the diagonal."""

    operand: Node
    axes: Axes = ()


@dataclass(frozen=True)
class Size:
    """The length of an axis, or the product of several: a number, no tensor."""

    operand: Node
    dims: tuple[int, ...]
    axes: Axes = ()


@dataclass(frozen=True)
class Points:
    """Values as a matrix: draws and rows along the first axis, all coordinates of all operands along the second."""

    operands: tuple[tuple[Node, int], ...]
    axes: Axes = ("rows", "coordinates")


@dataclass(frozen=True)
class Frequency:
    """The share of each class among class indices, ``like`` a table whose last axis is the classes."""

    index: Node
    like: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.like.axes[-1:]


@dataclass(frozen=True)
class Stratified:
    """log w_ij of the minibatch-stratified mixture: w_ii = 1/N, one neighbour (N - M)/(N M), others 1/M, M = B - 1.

    ``rows`` is B; ``like`` lends its precision and its place.
    """

    rows: Size
    like: Node
    total: int | Setting

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        rows = self.rows.operand.axes[self.rows.dims[0]]
        return rows, rows


@dataclass(frozen=True)
class Setting:
    """A parameter of the loss: a number, no tensor of its inputs."""

    name: str
    axes: Axes = ()


@dataclass(frozen=True)
class Directions:
    """Unit vectors to project on, drawn afresh unless the user fixes them; ``term`` names them."""

    term: str
    like: Node
    number: int
    axes: Axes = ("coordinates", "directions")


@dataclass(frozen=True)
class Project:
    """A product of matrices."""

    points: Node
    directions: Node
    axes: Axes = ("rows", "directions")


@dataclass(frozen=True)
class Sort:
    """Each column in ascending order."""

    operand: Node

    @cached_property
    def axes(self) -> Axes:
        """The axes of the value, by their names."""
        return self.operand.axes


@dataclass(frozen=True)
class QuantileDistance:
    """The integral over u of (F^-1(u) - G^-1(u))^2, of sorted columns of two samples; the mean over columns."""

    first: Node
    second: Node
    axes: Axes = ()


Node: TypeAlias = (
    Load
    | Ref
    | Elementwise
    | Reduce
    | Mean
    | LogMeanExp
    | OverDraws
    | LogSoftmax
    | Pick
    | Nearest
    | Vectors
    | StopGradient
    | LogShare
    | LogPairShare
    | Insert
    | Diagonal
    | MoveLast
    | Inverse
    | Solve
    | ExcludeDiagonal
    | OffDiagonalMean
    | Size
    | Points
    | Frequency
    | Stratified
    | Setting
    | Directions
    | Project
    | Sort
    | QuantileDistance
)


def children(node: Node) -> tuple[Node, ...]:
    """What a node is computed from."""
    match node:
        case Load() | Ref() | Setting():
            return ()
        case Elementwise(operands=operands):
            return tuple(n for _, n in operands)
        case Points(operands=operands):
            return tuple(n for n, _ in operands)
        case Pick(table=a, index=b) | Solve(matrix=a, operand=b) | Frequency(index=a, like=b):
            return a, b
        case Nearest(code=a, codebook=b) | Vectors(codebook=a, index=b):
            return a, b
        case LogShare():
            return node.hidden, node.weight, node.bias, node.index
        case Project(points=a, directions=b) | QuantileDistance(first=a, second=b) | LogPairShare(first=a, second=b):
            return a, b
        case Stratified(rows=a, like=b):
            return a, b
        case Directions(like=a):
            return (a,)
    return (node.operand,)
