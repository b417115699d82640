"""loss = sum_k coefficient_k * value_k, as a program that names no language: inputs, steps, weighted terms, critics.

What a step computes is a node (:mod:`ibsym.lowering.operations`); all of them may be imported from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import sympy

from ibsym.lowering.axes import Axes, broadcast, without
from ibsym.lowering.operations import (
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
    LogPairShare,
    LogShare,
    LogSoftmax,
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
    StopGradient,
    Stratified,
    Vectors,
    children,
)

__all__ = [
    "CRITIC",
    "REFERENCE",
    "About",
    "Axes",
    "CriticLoss",
    "Diagonal",
    "Directions",
    "Elementwise",
    "ExcludeDiagonal",
    "Frequency",
    "Input",
    "InputKey",
    "Insert",
    "Inverse",
    "Limit",
    "Load",
    "LogMeanExp",
    "LogPairShare",
    "LogShare",
    "LogSoftmax",
    "LossProgram",
    "Mean",
    "MoveLast",
    "Nearest",
    "Node",
    "OffDiagonalMean",
    "OverDraws",
    "Parameter",
    "Pick",
    "Points",
    "Project",
    "QuantileDistance",
    "Reduce",
    "Ref",
    "Setting",
    "Size",
    "Solve",
    "Sort",
    "Step",
    "StopGradient",
    "Stratified",
    "TermValue",
    "Vectors",
    "broadcast",
    "children",
    "without",
]


@dataclass(frozen=True)
class Input:
    """An argument of ``forward``; a leading axis ``S`` may be left out."""

    name: str
    key: InputKey
    shape: Axes
    integer: bool


@dataclass(frozen=True)
class Parameter:
    """A run-time scalar, and where it may lie."""

    name: str
    default: float
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Step:
    """name = node; ``comment`` is the mathematics."""

    name: str
    node: Node
    comment: tuple[str, ...] = ()


@dataclass(frozen=True)
class TermValue:
    """A term of the bound: its weight in the loss, its estimate, and what the model minimises where that differs.

    ``rows`` is the batch axis of which the value is a per-row average, or None, and ``why`` then says why not.
    """

    text: str
    estimator: str
    coefficient: sympy.Expr
    value: Ref
    surrogate: Ref | None = None
    rows: str | None = None
    why: str = ""
    note: str = ""


@dataclass(frozen=True)
class CriticLoss:
    """What the critic of a divergence minimises, over its logits on samples of either side.

    ``coordinates``: where the second argument is the product over a variable's coordinates, how many axes these have, and 0 where it is
    the product over groups of variables. ``joints``: those that either argument's samples are drawn from. ``inputs`` and ``steps``: of a
    player that fits a density, what it takes in place of logits.
    """

    divergence: str
    node: Node
    comment: str
    coordinates: int | None = None
    joints: tuple[str, str] = ("", "")
    inputs: tuple[Input, ...] = ()
    steps: tuple[Step, ...] = ()


CRITIC = Load(InputKey("", "critic", ""), ("B",))
REFERENCE = Load(InputKey("", "critic_reference", ""), ("B",))


@dataclass(frozen=True)
class Limit:
    """A constraint on what a critic sees: its rate, the budget that holds it, the multiplier's name."""

    divergence: str
    text: str
    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    rate: Node
    budget: sympy.Expr
    multiplier: str


@dataclass(frozen=True)
class LossProgram:
    """A loss: inputs, parameters, steps, weighted terms; critics and what they are held to; what its reader must know.

    ``rows`` is the batch axis of per-row values, None where there are none; ``batch`` the size that a sum multiplies by;
    ``through`` the divergences whose critic sees its samples through a factor.
    """

    name: str
    class_name: str
    inputs: tuple[Input, ...]
    parameters: tuple[Parameter, ...]
    steps: tuple[Step, ...]
    terms: tuple[TermValue, ...]
    rows: str | None
    batch: Size | None
    critics: tuple[CriticLoss, ...]
    limits: tuple[Limit, ...]
    through: tuple[tuple[str, str], ...]
    about: About

    @property
    def module_name(self) -> str:
        """What its files are called."""
        return self.name.replace("-", "_")


@dataclass(frozen=True)
class About:
    """What the docstring says, as plain text: of the gap, what is said of it and its sum. ``digest`` tells the spec from any other."""

    title: str
    objective: str
    bound: str
    gap: tuple[tuple[str, str], ...]
    constants: str
    cite: tuple[str, ...]
    notes: str
    digest: str = ""
