"""What is known of an estimator, as a value: which terms it stands for, from which side, with which options, by which critic.

No terms, no tensors and no algebra here, so that reading a spec needs none: a critic's value is a function of the words that it may be
written with (:class:`Words`), and who needs it as a formula brings them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    E), with an ``example``. Without a ``critic``, ``lowering`` names the function below :mod:`ibsym.lowering` that computes it. ``plain``:
    the term is computed as it stands, conditional ones too, and the derivation has no step for it. ``player``: the option ``density``
    names a factor that a player of its own fits. ``coupled``: the value is no average
    over rows, so that it is of a whole batch and of no part of it.
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
    lowering: str = ""
    plain: bool = False
    player: bool = False
    coupled: bool = False

    def __post_init__(self) -> None:
        if (self.critic is None) is not bool(self.lowering):
            raise ValueError(f"{self.name} has either a critic or the name of its lowering function")

    @property
    def one_sided(self) -> Side | None:
        """The side of a bound without a game, which is of no use from the other side; a game's value may be minimised all the same."""
        return self.side if self.critic is None and not self.player else None
