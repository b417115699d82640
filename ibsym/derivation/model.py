"""A derivation: steps from the objective to what can be computed, the gap, the constants, the plans that prove it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import sympy

from ibsym.estimators import ESTIMATORS
from ibsym.facts import Relation, Side, Sign
from ibsym.proving.elemental import ElementalInequality
from ibsym.shown import Shown
from ibsym.spec.model import CriticUse, Spec
from ibsym.terms.measures import Density, Entropy, Estimate, Expression, Term
from ibsym.terms.premises import Premise
from ibsym.terms.vectors import Coordinates, Equation, Vector


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be said of a step besides: words, and the densities and terms that they speak of, which print themselves."""

    parts: tuple[str | Density | Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __str__(self) -> str:
        return "".join(map(str, self.parts))


@dataclass(frozen=True, repr=False)
class Step(Shown):
    """``before (relation) after`` for the whole expression, by a named rule.

    ``gap`` is the exact difference, never negative: after - before for ``<=``, before - after for ``>=``, empty for ``=`` and ``~``.
    """

    rule: str
    relation: Relation
    before: Expression
    after: Expression
    gap: Expression = field(default_factory=Expression)
    premises: tuple[Premise, ...] = ()
    cite: tuple[str, ...] = ()
    note: Note = Note()

    def __repr__(self) -> str:
        return f"<Step: {self.relation} {self.after}, by {self.rule}>"


@dataclass(frozen=True)
class Computable:
    """A term that can be computed: an expected log-density of a declared factor, an estimator, or a constant."""

    term: Term
    vector: Vector
    cost: float = 0.0
    learned: bool = True
    constant: bool = False
    estimated: bool = False


@dataclass(frozen=True, repr=False)
class Plan:
    """The certificate of one term's bound: term + sum lambda g = sum t c modulo equations (minus for a lower bound)."""

    term: Term
    weight: sympy.Expr
    side: Side
    gaps: tuple[tuple[Fraction, ElementalInequality], ...]
    computed: tuple[tuple[Fraction, Computable], ...]
    equations: tuple[tuple[Fraction, Equation], ...]

    def __repr__(self) -> str:
        return f"<Plan: {self.side.value} bound of {self.term}, times {self.weight}>"

    def record(self) -> dict[str, object]:
        """The plan in plain values."""
        return {
            "term": str(self.term),
            "weight": str(self.weight),
            "direction": self.side.value,
            "rows": [{"multiplier": str(x), "term": str(r.term), "kind": r.kind.value} for x, r in self.gaps],
            "computed": [{"multiplier": str(x), "term": str(c.term), "constant": c.constant} for x, c in self.computed],
            "equations": [{"multiplier": str(x), "premise": str(e.premise)} for x, e in self.equations],
        }


@dataclass(frozen=True)
class ModelSide:
    """What the loss has for a critic's term: its value, or a surrogate on the samples of the arguments that learn.

    ``form`` is ``value``, ``saturating``, ``non-saturating`` or ``nwj``; ``first`` and ``second`` say whether the samples of an
    argument depend on a learned factor; ``weight`` is the sign of the term's weight in what is minimised. ``exact``: the gradient is
    the term's own at the best critic. ``bounds``: what is minimised bounds the objective, whatever the critic.
    """

    form: str
    first: bool
    second: bool
    weight: Sign
    exact: bool
    bounds: bool

    @property
    def surrogate(self) -> bool:
        """Whether the loss has something else than the value."""
        return self.form not in ("value", "saturating")


@dataclass(frozen=True, repr=False)
class BoundTerm:
    """A term of the bound that code computes: ``estimator`` is ``closed-form``, ``sampled``, or what the spec asked for.

    ``left_out`` is the constant that is part of an estimate and not of the value that code computes.
    """

    coefficient: sympy.Expr
    term: Term
    estimator: str
    model_side: ModelSide | None = None
    options: tuple[tuple[str, object], ...] = ()
    left_out: Entropy | None = None

    def __str__(self) -> str:
        return f"{Expression.of((self.coefficient, self.quantity))} ({self.estimator})"

    def __repr__(self) -> str:
        return f"<BoundTerm: {self}>"

    @property
    def model(self) -> str | None:
        """What the model minimises of a critic's term, by name."""
        return None if self.model_side is None else self.model_side.form

    @property
    def coupled(self) -> bool:
        """Whether the value couples the rows of a batch."""
        return self.estimator in ESTIMATORS and ESTIMATORS[self.estimator].coupled

    @property
    def quantity(self) -> Term:
        """The term itself, also where an estimator stands in for it."""
        return self.term.term if isinstance(self.term, Estimate) else self.term

    @property
    def text(self) -> str:
        """The quantity's canonical text."""
        return str(self.quantity)


@dataclass(frozen=True)
class SurrogateTerm:
    """What the loss adds to the bound, for its gradient alone: by the name of its step, of a factor's draws under a joint."""

    coefficient: sympy.Expr
    name: str
    density: Density
    joint: str

    @property
    def text(self) -> str:
        """Its name in the loss; the joint is said where the factor is another joint's."""
        return f"{self.name}{'' if self.joint == self.density.head else f'_{self.joint}'}[{self.density}]"


@dataclass(frozen=True, repr=False)
class GapTerm:
    """What separates bound and objective, and whether training can close it."""

    coefficient: sympy.Expr
    term: Term
    closable: bool

    def __str__(self) -> str:
        return f"{Expression.of((self.coefficient, self.term))} ({'' if self.closable else 'not '}closable)"

    def __repr__(self) -> str:
        return f"<GapTerm: {self}>"

    @property
    def text(self) -> str:
        """The term's canonical text."""
        return str(self.term)


@dataclass(frozen=True)
class Constraint:
    """What a critic is held to: its information term's own derivation, the budget and the multiplier."""

    critic: CriticUse
    divergence: str
    derivation: Derivation | None
    budget: sympy.Expr


@dataclass(frozen=True, repr=False)
class Derivation(Shown):
    """objective (relation) bound + constants, with the steps between and the exact gap.

    ``unused`` names the factors and parameters that are declared and that nothing in the loss touches; ``surrogates`` are what the loss
    adds to the bound; ``unopposed`` names the factors that make it better without end, by becoming wrong.
    """

    spec: Spec
    objective: Expression
    relation: Relation
    steps: tuple[Step, ...]
    bound: tuple[BoundTerm, ...]
    gap: tuple[GapTerm, ...]
    constants: Expression
    plans: tuple[Plan, ...]
    coordinates: Coordinates
    constraints: tuple[Constraint, ...] = ()
    unused: tuple[str, ...] = ()
    surrogates: tuple[SurrogateTerm, ...] = ()
    unopposed: tuple[str, ...] = ()

    @property
    def final(self) -> Expression:
        """The last expression of the chain: bound and constants."""
        return self.steps[-1].after if self.steps else self.objective

    @property
    def apart(self) -> Expression:
        """The constants beside the estimates: those that are part of one are left out of its value, and stand in :attr:`constants`."""
        return self.constants - Expression.of(*((b.coefficient, b.left_out) for b in self.bound if b.left_out is not None))

    @property
    def certificate(self) -> tuple[dict[str, object], ...]:
        """term + sum multiplier * row = sum multiplier * computed (minus for a lower bound): a plain record for each plan.

        Multipliers are rationals as text, weights keep the names of the parameters; the audit verifies the plans themselves.
        """
        return tuple(plan.record() for plan in self.plans)

    @property
    def line(self) -> str:
        """objective (relation) bound + constants, in one line."""
        return f"{self.objective} {self.relation} {self.final}"

    def __repr__(self) -> str:
        return f"<Derivation of {self.spec.name}: {self.line}>"
