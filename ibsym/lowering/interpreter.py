"""A loss program at arrays, in float64: the oracle that emitted code is compared with.

It shares the program with the emitted text and nothing of its printing. Gradients are not computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np

from ibsym.lowering.numeric import Array, value
from ibsym.lowering.program import (
    Diagonal,
    Directions,
    Elementwise,
    ExcludeDiagonal,
    Frequency,
    Input,
    Insert,
    Inverse,
    Load,
    LogMeanExp,
    LogPairShare,
    LogShare,
    LogSoftmax,
    LossProgram,
    Mean,
    MoveLast,
    Nearest,
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
    StopGradient,
    Stratified,
    Vectors,
)


@dataclass(frozen=True)
class Values:
    """The loss, and each term's value by its text."""

    loss: Array
    terms: dict[str, float]


def evaluate(
    program: LossProgram,
    inputs: Mapping[str, Array],
    parameters: Mapping[str, float] | None = None,
    *,
    reduction: str = "mean",
    directions: Mapping[str, Array] | None = None,
    still: Mapping[str, Array] | None = None,
) -> Values:
    """The loss and its terms. ``parameters`` default to the spec's; ``directions`` are the unit vectors of sliced distances.

    What no gradient is taken of is evaluated at the inputs ``still``, where they are given: differences of the loss are then its gradient.
    """
    numbers = {p.name: p.default for p in program.parameters} | dict(parameters or {})
    stopped = None
    if still is not None:
        stopped = _Machine(program.inputs, still, directions or {}, parameters=numbers)
        stopped.run(program.steps)
    machine = _Machine(program.inputs, inputs, directions or {}, parameters=numbers, still=stopped)
    machine.run(program.steps)
    loss: Array = 0.0
    terms: dict[str, float] = {}
    for term in program.terms:
        estimate = machine.node(term.value)
        terms[term.text] = float(np.mean(estimate))
        loss = loss + value(term.coefficient, numbers) * (estimate if term.surrogate is None else machine.node(term.surrogate))
    if reduction == "none":
        if program.rows is None:
            raise ValueError("a term is not an average over rows")
        return Values(loss, terms)
    loss = np.mean(loss)
    if reduction == "sum" and program.batch is not None:
        loss = loss * machine.node(program.batch)
    return Values(loss, terms)


def critic_loss(
    program: LossProgram,
    name: str,
    critic: Array | None = None,
    critic_reference: Array | None = None,
    inputs: Mapping[str, Array] | None = None,
    parameters: Mapping[str, float] | None = None,
) -> float:
    """What the critic of a divergence minimises, its constraint's price included."""
    loss = next(c for c in program.critics if c.divergence == name)
    if loss.steps:
        machine = _Machine(loss.inputs, inputs or {}, {})
        machine.run(loss.steps)
        return float(machine.node(loss.node))
    logits = {
        "critic": np.asarray(critic, dtype=np.float64),
        "critic_reference": np.asarray(critic_reference, dtype=np.float64),
    }
    total = float(_Machine((), {}, {}, logits).node(loss.node))
    numbers = {p.name: p.default for p in program.parameters} | dict(parameters or {})
    for limit in program.limits:
        if limit.divergence == name:
            total += numbers[limit.multiplier] * (constraint_value(program, name, inputs or {}) - value(limit.budget, numbers))
    return total


def constraint_value(program: LossProgram, name: str, inputs: Mapping[str, Array]) -> float:
    """The rate that the constraint of a critic holds to its budget."""
    limit = next(x for x in program.limits if x.divergence == name)
    machine = _Machine(limit.inputs, inputs, {})
    machine.run(limit.steps)
    return float(machine.node(limit.rate))


class _Machine:
    """Steps evaluated one after the other; a node is an array whose axes are counted from the right."""

    def __init__(
        self,
        declared: Sequence[Input],
        inputs: Mapping[str, Array],
        directions: Mapping[str, Array],
        logits: Mapping[str, Array] | None = None,
        parameters: Mapping[str, float] | None = None,
        still: _Machine | None = None,
    ):
        self.still = still
        self.parameters = dict(parameters or {})
        self.inputs: dict[object, Array] = {}
        for entry in declared:
            array = np.asarray(inputs[entry.name])
            self.inputs[entry.key] = array if entry.integer else array.astype(np.float64)
        self.logits, self.directions = logits, directions
        self.steps: list[Array] = []

    def run(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.steps.append(self.node(step.node))

    def node(self, node: Node) -> Array:
        match node:
            case Load():
                return self.logits[node.key.role] if self.logits is not None else self.inputs[node.key]
            case Ref():
                return self.steps[node.index]
            case Elementwise():
                return value(node.expression, {name: self.node(n) for name, n in node.operands})
            case Reduce():
                return _reduce(node.kind, self.node(node.operand), node.dims)
            case Mean():
                return np.mean(self.node(node.operand))
            case LogMeanExp():
                array = self.node(node.operand).reshape(-1)
                return _reduce("logsumexp", array, (0,)) - np.log(len(array))
            case OverDraws():
                return self._over_draws(node)
            case LogSoftmax():
                logits = self.node(node.operand)
                return logits - _reduce("logsumexp", logits, (-1,))[..., None]
            case Pick():
                return _picked(self.node(node.table), self.node(node.index))
            case Nearest():
                code, codebook = self.node(node.code), self.node(node.codebook)
                return np.argmin(np.sum((code[..., None, :] - codebook) ** 2, axis=-1), axis=-1)
            case Vectors():
                return self.node(node.codebook)[self.node(node.index)]
            case StopGradient():
                return self.node(node.operand) if self.still is None else self.still.node(node.operand)
            case LogShare():
                table = self.node(node.hidden) @ self.node(node.weight).T + self.node(node.bias)
                return _picked(table - _reduce("logsumexp", table, (-1,))[..., None], self.node(node.index))
            case LogPairShare():
                table = self.node(node.first) @ self.node(node.second).T
                return np.diagonal(table) - _reduce("logsumexp", table, (-1,)) + np.log(len(table))
            case Insert():
                return np.expand_dims(self.node(node.operand), node.dim)
            case Diagonal():
                return np.diagonal(self.node(node.operand), axis1=node.dim, axis2=-1)
            case MoveLast():
                return np.moveaxis(self.node(node.operand), -1, node.dim)
            case Inverse():
                root = self.node(node.operand)
                return _solved(root, np.broadcast_to(np.eye(root.shape[-1]), root.shape))
            case Solve():
                matrix, operand = self.node(node.matrix), self.node(node.operand)
                return _solved(matrix, operand[..., None])[..., 0] if node.vector else _solved(matrix, operand)
            case ExcludeDiagonal():
                pairs = self.node(node.operand)
                return np.where(np.eye(pairs.shape[-1], dtype=bool), -np.inf, pairs)
            case OffDiagonalMean():
                pairs = self.node(node.operand)
                own = np.eye(pairs.shape[-1], dtype=bool)
                return np.mean(pairs[..., ~own]) + 0 * np.sum(pairs[..., own])  # of infinite points no mean is known
            case Size():
                return int(np.prod([np.shape(self.node(node.operand))[d] for d in node.dims]))
            case Points():
                parts = [self.node(n).reshape(_rows(self.node(n), axes), -1) for n, axes in node.operands]
                rows = max(len(p) for p in parts)
                return np.concatenate([np.tile(p, (rows // len(p), 1)) for p in parts], axis=1)
            case Frequency():
                index, classes = self.node(node.index).reshape(-1), self.node(node.like).shape[-1]
                return np.bincount(index, minlength=classes) / len(index)
            case Stratified():
                return _stratified(self.node(node.rows), node.total if isinstance(node.total, int) else self.node(node.total))
            case Setting():
                return self.parameters[node.name]
            case Directions():
                return np.asarray(self.directions[node.term], dtype=np.float64)
            case Project():
                return self.node(node.points) @ self.node(node.directions)
            case Sort():
                return np.sort(self.node(node.operand), axis=0)
            case QuantileDistance():
                return _quantile_distance(self.node(node.first), self.node(node.second))
        assert_never(node)

    def _over_draws(self, node: OverDraws) -> Array:
        array = self.node(node.operand)
        if np.ndim(array) < len(node.operand.axes):
            return array
        return np.mean(array, axis=0) if node.kind == "mean" else _reduce("logsumexp", array, (0,)) - np.log(len(array))


def _picked(table: Array, index: Array) -> Array:
    """The entry of the last axis that each index names."""
    shape = np.broadcast_shapes(table.shape[:-1], index.shape)
    table = np.broadcast_to(table, (*shape, table.shape[-1]))
    return np.take_along_axis(table, np.broadcast_to(index, shape)[..., None], -1)[..., 0]


def _rows(array: Any, axes: int) -> int:
    """Draws times rows: every axis before those of one value."""
    return int(np.prod(array.shape[: array.ndim - axes]))


def _reduce(kind: str, array: Array, dims: tuple[int, ...]) -> Array:
    if kind == "sum":
        return np.sum(array, axis=dims)
    if kind == "mean":
        return np.mean(array, axis=dims)
    top = np.max(array, axis=dims, keepdims=True)
    top = np.where(np.isinf(top), 0.0, top)  # infinity minus itself is none of the summands
    return np.log(np.sum(np.exp(array - top), axis=dims)) + np.squeeze(top, axis=dims)


def _solved(root: Array, columns: Array) -> Array:
    """C^-1 M for lower triangular C, row by row; a zero on the diagonal divides as everywhere else."""
    shape = np.broadcast_shapes(root.shape[:-2], columns.shape[:-2])
    columns = np.broadcast_to(columns, (*shape, *columns.shape[-2:]))
    found = np.zeros(columns.shape)
    for i in range(root.shape[-1]):
        known = np.sum(root[..., i, :i, None] * found[..., :i, :], axis=-2)
        found[..., i, :] = (columns[..., i, :] - known) / root[..., i, i, None]
    return found


def _stratified(rows: int, total: int) -> Array:
    others = rows - 1
    weights = np.full((rows, rows), 1 / others)
    for i in range(rows):
        weights[i, (i + 1) % rows] = (total - others) / (total * others)
        weights[i, i] = 1 / total
    return np.log(weights)


def _quantile_distance(a: Array, b: Array) -> Array:
    """Between the jumps of either quantile function both are constant."""
    n, m = len(a), len(b)
    jumps = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    left, width = jumps[:-1], np.diff(jumps) / (n * m)
    return np.mean(np.sum(width[:, None] * (a[left // m] - b[left // n]) ** 2, axis=0))
