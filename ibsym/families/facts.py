"""What a family is declared to be: its spaces, its parameters with their domains, its options, how it is drawn from.

Facts and formulas of one family stand in one file. Whoever meets a family reads them from here: specs check options and spaces,
the lowering places parameters, training and checking make them up within their domains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeVar, assert_never

import sympy

Options = tuple[tuple[str, object], ...]
Size = TypeVar("Size")


class Constraint(Enum):
    """The domain of a parameter."""

    REAL = auto()
    LOGARITHM = auto()  # of a number that is positive
    POSITIVE = auto()
    TRIANGULAR = auto()  # lower, with a positive diagonal
    DIRECTION = auto()  # a unit vector


class Axes(Enum):
    """The axes of one value of a parameter."""

    EVENT = auto()
    SCALAR = auto()
    MATRIX = auto()
    COMPONENTS = auto()
    COMPONENT_EVENTS = auto()
    VECTORS = auto()  # a vector in place of a symbol's classes
    VECTOR_OF_CLASS = auto()  # a vector for each class
    CLASSES = auto()


@dataclass(frozen=True, slots=True)
class Role:
    """A parameter: its name in specs and among a loss's inputs, its domain, its axes.

    ``at_value`` says that it depends on the variable's value too, as a density does; ``shared`` that it is one for all rows.
    """

    name: str
    constraint: Constraint = Constraint.REAL
    axes: Axes = Axes.EVENT
    at_value: bool = False
    shared: bool = False

    def shape(self, event: Sequence[Size], components: Size) -> tuple[Size, ...]:
        """The axes of one value, given those of the variable's codes and the number of components, or the length of vectors.

        >>> Role("cholesky", Constraint.TRIANGULAR, Axes.MATRIX).shape(("L",), "M")
        ('L', 'L')
        """
        match self.axes:
            case Axes.EVENT:
                return tuple(event)
            case Axes.SCALAR:
                return ()
            case Axes.MATRIX:
                return (*event, *event)
            case Axes.COMPONENTS:
                return (components,)
            case Axes.COMPONENT_EVENTS:
                return (components, *event)
            case Axes.VECTORS:
                return (*event[:-1], components)
            case Axes.VECTOR_OF_CLASS:
                return (event[-1], components)
            case Axes.CLASSES:
                return (event[-1],)
        assert_never(self.axes)

    def rank(self, event: int) -> int:
        """How many axes one value has, for a variable of so many."""
        return len(self.shape((0,) * event, 0))


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a family: its default, what it may be, and what an error says.

    ``learnable`` options may be "learned": then they are a positive parameter of the same name. ``spaces`` are those on which
    the option means something, where that is not all.
    """

    default: object
    accepts: Callable[[object], bool]
    wanted: str
    remedy: str
    learnable: bool = False
    spaces: tuple[str, ...] = ()


RELAXATIONS = ("none", "mean", "concrete", "straight-through")


def positive(default: float, *, learnable: bool = False) -> Option:
    """A positive number."""

    def accepts(value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")

    return Option(default, accepts, "is not a positive number", "1.0" + (' or "learned"' if learnable else ""), learnable)


def relaxation() -> Option:
    """How gradients pass a draw of a discrete law."""
    names = ", ".join(f'"{r}"' for r in RELAXATIONS[1:])
    return Option("none", lambda value: value in RELAXATIONS, "is unknown", f"one of {names}")


def marginal() -> Option:
    """How a variable is averaged over: by its draws, or by the exact sum over its values."""
    return Option("draws", lambda value: value in ("draws", "enumerate"), "is unknown", 'one of "enumerate", "draws"')


def weight(default: float) -> Option:
    """A number that is not negative."""

    def accepts(value: object) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")

    return Option(default, accepts, "is not a number from 0 on", f"{default:g}")


def one_of(*names: str) -> Option:
    """One of several words, the first where nothing is said."""
    wanted = ", ".join(f'"{n}"' for n in names)
    return Option(names[0], lambda value: value in names, "is unknown", f"one of {wanted}")


def switch(what: str) -> Option:
    """Yes or no; yes where nothing is said. ``what`` is the question."""
    return Option(True, lambda value: isinstance(value, bool), f"does not say {what}", "true or false")


def number_of(default: str) -> Option:
    """A dimension: a name, or a positive number."""

    def accepts(value: object) -> bool:
        if isinstance(value, int) and not isinstance(value, bool):
            return 0 < value <= 10**6
        return isinstance(value, str) and value.isidentifier() and value.isascii()

    return Option(default, accepts, "is neither a name nor a positive number", f'"{default}"')


@dataclass(frozen=True, slots=True)
class Draws:
    """A distribution of torch, by its name; its arguments are formulas of parameters and options (symbols of their names), or draws.

    ``also`` are distributions of torch with the same parameters, for a network that returns one. ``whole``: one is the law of a whole
    value, so that no axes of one are left to be taken together.
    """

    distribution: str
    arguments: Mapping[str, sympy.Expr | Draws]
    also: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class FamilyFacts:
    """The declared facts of one family. A family without parameters is fixed, unless ``learned`` says otherwise.

    ``cell`` names the option that is the width of its noise: what another density gives to its draws is integrated over a cell of it.
    ``quantised`` says that all of its mass is on the class whose vector is nearest, so that draws are seen as these vectors.
    ``draws`` is how it is drawn from, ``draws_on`` the same by space, where that depends on it.
    ``heads`` are the roles by the value of the option ``head``, where that is not the default.
    ``called`` is what others call it, so that who writes that is told its name here.
    """

    name: str
    spaces: tuple[str, ...]
    roles: tuple[Role, ...] = ()
    evaluated: bool = True
    sampled: bool = True
    reparameterised: bool = True
    learned: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)
    draws: Draws | None = None
    draws_on: Mapping[str, Draws] = field(default_factory=dict)
    cell: str | None = None
    quantised: bool = False
    heads: Mapping[str, tuple[Role, ...]] = field(default_factory=dict)
    called: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the roles."""
        return tuple(r.name for r in self.roles)

    @property
    def source(self) -> bool:
        """Whether it is known by samples alone."""
        return not self.evaluated and not self.learned

    def drawn_on(self, kind: str) -> Draws | None:
        """How it is drawn from on a space."""
        return self.draws_on.get(kind, self.draws)

    def __reduce__(self) -> tuple[Callable[[str], FamilyFacts], tuple[str]]:
        """A pickle names the family: its checks of options are functions, which do not travel."""
        return registered, (self.name,)


ANY = ("real", "positive", "unit", "simplex", "sphere", "binary", "count", "categorical")

FAMILIES: dict[str, FamilyFacts] = {}


def family(facts: FamilyFacts) -> FamilyFacts:
    """Registers a family."""
    if facts.name in FAMILIES:
        raise ValueError(f"{facts.name} is registered twice")
    FAMILIES[facts.name] = facts
    return facts


def registered(name: str) -> FamilyFacts:
    """The family of that name."""
    return FAMILIES[name]


def drawn(distribution: str, **arguments: sympy.Expr | str | int | Draws) -> Draws:
    """How a family is drawn from: ``drawn("Normal", loc="mean", scale=sympy.exp(logvar / 2))``."""
    return Draws(distribution, {k: _argument(v) for k, v in arguments.items()})


def drawn_whole(distribution: str, **arguments: sympy.Expr | str | int | Draws) -> Draws:
    """The same by the law of a whole value."""
    return replace(drawn(distribution, **arguments), whole=True)


def _argument(value: sympy.Expr | str | int | Draws) -> sympy.Expr | Draws:
    match value:
        case str():
            return sympy.Symbol(value, real=True)
        case int():
            return sympy.Integer(value)
        case _:
            return value


@dataclass(frozen=True, slots=True)
class FamilyUse:
    """A family with its options, as a factor uses it."""

    facts: FamilyFacts
    options: Options = ()

    @property
    def name(self) -> str:
        """The family's name in specs."""
        return self.facts.name

    def option(self, name: str) -> object:
        """An option's value, or its default."""
        declared = self.facts.options.get(name)
        return dict(self.options).get(name, declared.default if declared is not None else None)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The parameters; an option counts when it is learned."""
        learned = (
            Role(n, Constraint.POSITIVE) for n, o in self.facts.options.items() if o.learnable and self.option(n) == "learned"
        )
        return (*self.facts.heads.get(str(self.option("head")), self.facts.roles), *learned)

    @property
    def headed(self) -> bool:
        """Whether the parameters of all classes are a product that is never stored."""
        return str(self.option("head")) in self.facts.heads

    @property
    def product(self) -> str | None:
        """The parameter of all classes that a head's roles are the product for."""
        return self.facts.roles[0].name if self.headed else None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the roles."""
        return tuple(r.name for r in self.roles)

    def role(self, name: str) -> Role:
        """The parameter of that name."""
        return next(r for r in self.roles if r.name == name)

    @property
    def length(self) -> str | None:
        """The dimension that is an option: the number of a mixture's components, the length of vectors, the features of a head."""
        name = self.option("features") if self.headed else self.option("components") or self.option("dimension")
        return None if name is None else str(name)

    @property
    def outside(self) -> bool:
        """Whether its density is the caller's, who draws from it too."""
        return any(role.at_value for role in self.roles)

    @property
    def sampler(self) -> bool:
        """Whether a network makes its draws, and there is no density."""
        return self.facts.learned and not self.facts.evaluated

    @property
    def matrix(self) -> str | None:
        """The parameter that is a matrix, of a vector's axis twice."""
        return next((role.name for role in self.roles if role.axes is Axes.MATRIX), None)

    @property
    def class_logits(self) -> sympy.Expr | None:
        """The logits of a law of classes: a parameter, or a number where all are equal; None for what has none."""
        draws = self.facts.drawn_on("categorical") if "categorical" in self.facts.spaces else None
        logits = None if draws is None else draws.arguments.get("logits")
        return logits if isinstance(logits, sympy.Expr) else None

    def variants(self) -> tuple[FamilyUse, ...]:
        """The family as it comes, and with each option learned that may be."""
        learned = (replace(self, options=((n, "learned"),)) for n, o in self.facts.options.items() if o.learnable)
        return (self, *learned)

    @property
    def sampled(self) -> bool:
        """Whether there are draws of it."""
        return self.facts.sampled and self.option("sampled") is not False

    @property
    def reparameterised(self) -> bool:
        """Whether a draw is a differentiable function of the parameters."""
        return self.facts.reparameterised and self.option("reparameterised") is not False

    @property
    def enumerated(self) -> bool:
        """Whether its values are summed over exactly, and not drawn."""
        return self.option("marginal") == "enumerate"

    @property
    def carries_gradient(self) -> bool:
        """Whether a draw passes gradients to the parameters, by reparameterisation or by a relaxation."""
        return self.reparameterised or self.option("relax") not in (None, "none")
