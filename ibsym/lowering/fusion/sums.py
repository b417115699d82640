"""The sums that a term's value is an affine combination of: of formulas over elements, of class log-probabilities, over pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy

from ibsym.lowering.fusion.pairing import Pairs
from ibsym.lowering.program import Axes, Load, broadcast


@dataclass(frozen=True)
class Elements:
    """The sum of a formula over every element of its operands, whose last ``event`` axes are one row's."""

    formula: sympy.Expr
    operands: tuple[tuple[sympy.Symbol, Load], ...]
    event: int

    @property
    def axes(self) -> Axes:
        """The axes of the formula's value: those of its operands, broadcast."""
        return broadcast(load.axes for _, load in self.operands)


@dataclass(frozen=True)
class Picked:
    """The sum over rows of log softmax(logits) at a class index; ``event`` axes of both are part of a row, as rows of their own."""

    logits: Load
    index: Load
    event: int = 0


@dataclass(frozen=True)
class Classes:
    """The sum over rows and classes of a formula in log softmax(logits), its symbol ``log_p``; ``event`` axes as of :class:`Picked`."""

    formula: sympy.Expr
    logits: Load
    event: int = 0


@dataclass(frozen=True)
class Relaxed:
    """The sum over rows and classes of weights times log softmax(logits), both of which may learn; ``event`` axes likewise."""

    logits: Load
    weights: Load
    event: int = 0


@dataclass(frozen=True)
class Matched:
    """The sum over rows i of log softmax(logits_i) at i, of scores that are given for all pairs."""

    logits: Load


@dataclass(frozen=True)
class LogMean:
    """The logarithm of the mean e^t over every number t of a tensor."""

    logits: Load


@dataclass(frozen=True)
class Shares:
    """The shares of classes in a batch: of a class index, ``counted``, or the means of softmax(logits) over rows and draws."""

    load: Load
    counted: bool = False


@dataclass(frozen=True)
class MeanLog:
    """sum_c r_c log m_c, r the shares ``own`` or equal ones (None), m the shares ``others``; both may learn."""

    own: Shares | None
    others: Shares


@dataclass(frozen=True)
class Bessel:
    """The sum over rows of log I_v(t) - v log t, or with ``moment`` of t I_{v+1}(t) / I_v(t), where v = dimensions / 2 - 1."""

    load: Load
    dimensions: sympy.Expr
    moment: bool


@dataclass(frozen=True)
class Quantised:
    """The sum over rows of |code - e|^2, e the nearest vector of a codebook for each code: it moves the code, or the codebook."""

    code: Load
    codebook: Load
    moves_code: bool


LOG_P = sympy.Symbol("log_p", real=True)


@dataclass(frozen=True)
class Draws:
    """The sum over rows of log 1/S sum_s e^w_s: w at a draw and row is a constant and multiples of the sums of its elements."""

    weights: Affine

    @property
    def sums(self) -> tuple[Elements, ...]:
        """What the weights are made of."""
        return tuple(item for _, item in self.weights.parts if isinstance(item, Elements))

    @property
    def rows(self) -> str:
        """The axis of rows."""
        return self.sums[0].axes[1]


@dataclass(frozen=True)
class Place:
    """The axes of draws, classes and rows that a value has before its event."""

    rows: bool
    draws: bool
    classes: frozenset[int]

    def __or__(self, other: Place) -> Place:
        return Place(self.rows or other.rows, self.draws or other.draws, self.classes | other.classes)


@dataclass(frozen=True)
class Weights:
    """Probabilities of the classes along an axis, softmax(logits); ``axes`` are those of the table, its own the class ``own``.

    Classes are counted from the rows outwards.
    """

    logits: Load
    own: int
    axes: Place


@dataclass(frozen=True)
class Observed:
    """The sum over an event of log softmax(logits) at a class index; ``axes`` are those of the logits before the event.

    The index has the event and the rows, and may have draws; classes it has none, as they are what is summed over.
    """

    logits: Load
    index: Load
    event: int
    axes: Place


@dataclass(frozen=True)
class Mixed:
    """The sum over rows of sum_k1 p(k1) sum_k2 p(k2|k1) ... w: w at draws, classes and rows is sums of one kind.

    These are sums of elements; log-probabilities of what is summed over; or such of observed classes.

    ``classes`` are the axes of classes, that nearest to the rows first; ``weights`` the tables that sum over them, the outermost first.
    The axes of an element's operand are those of draws, classes from the outermost, rows and its event, "1" where it has none.
    """

    classes: Axes
    rows: str
    weights: tuple[Weights, ...]
    elements: tuple[tuple[sympy.Expr, Elements], ...]
    logarithms: tuple[tuple[sympy.Expr, Weights], ...]
    observed: tuple[tuple[sympy.Expr, Observed], ...] = ()

    @property
    def sums(self) -> tuple[Elements, ...]:
        """What the values are made of."""
        return tuple(item for _, item in self.elements)

    @property
    def every_table(self) -> tuple[Weights, ...]:
        """The tables that weigh, and those whose logarithms are values."""
        return (*self.weights, *(w for _, w in self.logarithms))

    @property
    def tables(self) -> tuple[Load, ...]:
        """The logits, each once."""
        return tuple(dict.fromkeys(w.logits for w in self.every_table))


Sum = Elements | Picked | Classes | Relaxed | Matched | LogMean | MeanLog | Bessel | Quantised | Draws | Mixed | Pairs


@dataclass(frozen=True)
class Affine:
    """constant + sum of factors times means over rows; lengths of axes may be in the constant and in factors."""

    constant: sympy.Expr
    parts: tuple[tuple[sympy.Expr, Sum], ...]

    def scaled(self, factor: sympy.Expr) -> Affine:
        """The same sums times a factor."""
        return Affine(self.constant * factor, tuple((f * factor, s) for f, s in self.parts))


def one(item: Sum) -> Affine:
    """A mean by itself."""
    return Affine(sympy.Integer(0), ((sympy.Integer(1), item),))


def added(parts: Iterable[Affine]) -> Affine:
    """The sum, equal means added up."""
    constant: sympy.Expr = sympy.Integer(0)
    sums: dict[Sum, sympy.Expr] = {}
    for part in parts:
        constant += part.constant
        for factor, item in part.parts:
            sums[item] = sums.get(item, sympy.Integer(0)) + factor
    return Affine(constant, tuple((f, s) for s, f in sums.items() if f != 0))
