"""What is known of an estimator, as a value: which terms it stands for, from which side, with which options, by which critic.

No terms, no tensors and no algebra here, so that reading a spec needs none: a value is a function of the words that it may be written
with (:class:`Words` of a critic, :class:`Batch` without one), and who needs it as a formula brings them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from ibsym.facts import Side


class Words(Protocol):
    """What a critic's value is written with, beside arithmetic: the logit ``f``, means over samples of P and of Q, a few functions."""

    f: Any

    def P(self, h: Any) -> Any:
        """E_P[h], the mean over samples of the divergence's first argument."""

    def Q(self, h: Any) -> Any:
        """E_Q[h]; ``log(Q(exp(h)))`` is one operation, without overflow."""

    def exp(self, h: Any) -> Any:
        """e^h."""

    def log(self, h: Any) -> Any:
        """log h."""

    def abs(self, h: Any) -> Any:
        """|h|."""

    def option(self, name: str) -> Any:
        """An option's number, its default where the spec gives none."""


class Batch(Protocol):
    """What a value without a critic is written with, beside arithmetic: samples, tables over all pairs of rows, and what is read off them.

    Entry i, j of a table is of rows i and j. A term that has no such material is refused where it is asked for.
    """

    def conditional(self) -> Any:
        """log q(b_i|a_j), a table, of an information I(A;B) and the density of one argument given the other."""

    def divergences(self) -> Any:
        """KL(q(b|a_i)||q(b|a_j)), a table, of an information I(A;B)."""

    def scores(self) -> Any:
        """f(a_i, b_j), a table: what a learned function says of every pair of the two groups of an information."""

    def pair_share(self) -> Any:
        """log e^f_ii / mean_j e^f_ij for each row, f the inner product of the arguments' embeddings over a temperature: no table."""

    def samples(self) -> tuple[Any, Any]:
        """Samples of a divergence's two arguments, one a row."""

    def fitted(self) -> Any:
        """log a(b|a) at the draws of an information, a the declared density that a player fits."""

    def importance_weights(self) -> Any:
        """log p(x,z_s)/q(z_s|x), of an expected log-density of x: for each draw s of its latent variables by a declared joint."""

    def class_shares(self) -> tuple[Any, Any]:
        """The shares of the classes of a variable in a batch of either argument, of a divergence of two such marginals."""

    def own(self, table: Any) -> Any:
        """The entries i, i, for each row."""

    def others(self, table: Any) -> Any:
        """The table without its entries i, i, for a log-sum-exp."""

    def log_sum_exp(self, table: Any) -> Any:
        """log sum_j exp of the entries, for each row."""

    def mean_of_others(self, table: Any) -> Any:
        """The mean of the entries i, j with i unlike j."""

    def mean(self, values: Any) -> Any:
        """The mean over all rows, or all entries."""

    def rows(self, table: Any) -> Any:
        """The number of rows that a table compares each row with."""

    def size(self, number: Any) -> Any:
        """A number of rows that an option gives: whole, or a parameter of the loss."""

    def stratified(self, table: Any, number: Any) -> Any:
        """log w_ij, a table of one batch's: unbiased for a data set of a number of rows, 1/N for a row itself (Chen et al. 2018)."""

    def coordinates(self, points: Any) -> Any:
        """The number of coordinates of a point."""

    def log_mean_of_draws(self, logs: Any) -> Any:
        """log 1/S sum_s exp of what each draw s has, for each row."""

    def mean_log(self, shares: Any, others: Any) -> Any:
        """sum_c r_c log m_c, of two shares of the classes, or of one twice."""

    def distances(self, first: Any, second: Any) -> Any:
        """|a_i - b_j|^2, a table."""

    def sorted_projections(self, points: Any, other: Any, number: int) -> tuple[Any, Any]:
        """Projections of two samples on the same unit vectors, a column each, in ascending order."""

    def quantile_distance(self, first: Any, second: Any) -> Any:
        """The integral over u of (F^-1(u) - G^-1(u))^2, the mean over columns."""

    def exp(self, h: Any) -> Any:
        """e^h."""

    def log(self, h: Any) -> Any:
        """log h."""

    def first(self, h: Any) -> Any:
        """h, computed before what it is added to."""

    def named(self, name: str, h: Any, comment: str = "") -> Any:
        """h under a name of its own, with a comment, in the emitted loss."""

    def option(self, name: str) -> Any:
        """An option as it was written, its default where the spec gives none."""

    def exact(self, number: Any) -> Any:
        """The decimal that was written."""


class Drawn(Enum):
    """Whose draws an estimate without a critic is computed from, so that its gradient passes through them."""

    ARGUMENTS = auto()
    CONDITIONERS = auto()  # of the arguments, whose own probabilities are known
    LATENTS = auto()  # of the variables that its term is a marginal over, by a joint that the estimate finds
    NOTHING = auto()  # parameters alone


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate without a critic: its formula, and the same in a line. ``why`` it is no average of what single rows have, if not.

    Of an expected log-density it is the value; a cross-entropy has minus it. ``text`` and ``note``, a remark on the value, may name the
    term's {joint}, the {density} that a player fits and what is {left_out}. ``copies`` is how many draws a row has unless one asks for
    others, ``within_rows`` whether the value is at most the logarithm of the number of rows.
    """

    of: Callable[[Batch], Any]
    text: str
    why: str = "compares the rows of a batch"
    note: str = ""
    drawn: Drawn = Drawn.ARGUMENTS
    copies: int = 1
    within_rows: bool = False


@dataclass(frozen=True, slots=True)
class Mixture:
    """log q(z_i) of an aggregated law, from the table of log q(z_i|x_j): the term is made of such logarithms of its marginals.

    ``text`` is the formula in a line, by the number of rows in the data set where the spec gives one.
    """

    of: Callable[[Batch, Any], Any]
    text: Callable[[object], str]


@dataclass(frozen=True, slots=True)
class Option:
    """A key of the estimator's table.

    ``kind``: number, numbers, whole, size (whole, or a parameter), choice, or density, a declared factor; numbers are above ``above``,
    at most ``most``.
    """

    name: str
    kind: str
    default: object = None
    above: float = 0
    most: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Critic:
    """A game with a critic whose logit is log P/Q at its best.

    ``value`` is the estimate, None for the divergence's own dual, and ``text`` the same in a line. ``loss`` is what the critic minimises:
    ``logistic``, the loss of telling P from Q, or ``value``, minus the estimate. ``normalised``: the logit is log P/Q itself, not up to
    a constant, so that other forms may see it. ``exact``: at the best critic the value's gradient is the term's. ``first_only``: the value
    sees samples of P alone, so that none of its gradient reaches those of Q.
    """

    value: Callable[[Words], Any] | None = None
    text: str = ""
    loss: str = "value"
    normalised: bool = True
    exact: bool = True
    first_only: bool = False


@dataclass(frozen=True, slots=True)
class Estimator:
    """An estimator as a step: ``~`` unless ``side`` says that its value bounds the term from there.

    ``statement`` is LaTeX, ``known`` what is known of its value. ``estimates`` are kinds of terms as specs write them (KL, I, TC, JS, F,
    E), with an ``example``. One thing says how it is computed: a ``critic``, a ``value`` over the rows of a batch, the ``mixture`` that
    stands for an aggregated law; or it is ``plain``: the term as it stands, at draws, conditional ones too, and the derivation has no
    step for it. ``player``: the option ``density`` names a factor that a player of its own fits. ``usual``: advice names it
    first. ``coupled``: the value is no average over rows, so that it is of a whole batch and of no part of it.
    ``called`` is what others call it, so that who writes that is told its name here.
    """

    name: str
    statement: str
    estimates: tuple[str, ...]
    example: str
    sources: tuple[str, ...]
    known: str
    side: Side | None = None
    options: tuple[Option, ...] = ()
    critic: Critic | None = None
    value: Value | None = None
    mixture: Mixture | None = None
    plain: bool = False
    player: bool = False
    usual: bool = False
    coupled: bool = False
    called: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum(way is not None for way in (self.critic, self.value, self.mixture, self.plain or None)) != 1:
            raise ValueError(f"{self.name} has a critic, a value, a mixture, or is plain: one of them")

    @property
    def drawn(self) -> Drawn:
        """Whose draws it is computed from."""
        return Drawn.ARGUMENTS if self.value is None else self.value.drawn

    @property
    def copies(self) -> int:
        """How many draws a row has unless one asks for others."""
        return 1 if self.value is None else self.value.copies

    @property
    def one_sided(self) -> Side | None:
        """The side of a bound without a game, which is of no use from the other side; a game's value may be minimised all the same."""
        return self.side if self.critic is None and not self.player else None
