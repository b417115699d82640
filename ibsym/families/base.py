"""Laws: families at named parameters, and the registries of their formulas.

A formula is a SymPy expression over the symbols of one law or two, with :mod:`ibsym.families.functions`; it comes
with a line of mathematics for the reader of the emitted code. Each distribution has a file of its own, which registers
its log-density, its entropy and the relative entropies that have a closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import sympy

from ibsym.errors import EmissionError
from ibsym.families.facts import Constraint, FamilyUse
from ibsym.families.functions import STRUCTURAL, EventSum

VALUE = sympy.Symbol("value", real=True)
SIZE = sympy.Symbol("size", positive=True)
CLASSES = sympy.Symbol("classes", positive=True)


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression, and the same in a line of mathematics."""

    expression: sympy.Expr
    text: str


class Space(Protocol):
    """What formulas know of a variable's space."""

    @property
    def kind(self) -> str:
        """real, binary, ..."""

    @property
    def event(self) -> tuple[str, ...]:
        """The axes of one value."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of one code."""


@dataclass(frozen=True, slots=True)
class Law:
    """A family on a space, its parameters as symbols; ``mark`` tells the second law of a pair from the first.

    ``soft`` says that a categorical value comes as weights of the classes, from a relaxation, and not as an index; ``every`` that
    it is summed over, so that a density is that of every class.
    """

    family: FamilyUse
    space: Space
    mark: str = ""
    soft: bool = False
    every: bool = False

    @property
    def name(self) -> str:
        """The family's name in specs."""
        return self.family.name

    def parameter(self, role: str) -> sympy.Symbol:
        """The symbol of a learned parameter."""
        if self.family.role(role).constraint is Constraint.POSITIVE:
            return sympy.Symbol(role + self.mark, positive=True)
        return sympy.Symbol(role + self.mark, real=True)

    def number(self, option: str) -> sympy.Rational:
        """A fixed number among the options, as the decimal fraction that was written."""
        return exact(self.family.option(option))

    @property
    def symbols(self) -> dict[str, sympy.Symbol]:
        """Role to symbol, of every learned parameter."""
        return {role: self.parameter(role) for role in self.family.parameters}


def exact(number: object) -> sympy.Rational:
    """The decimal fraction that a float prints as.

    >>> exact(0.1), exact(2.0)
    (1/10, 2)
    """
    return sympy.Rational(Fraction(str(number)))


def parameter_axes(family: FamilyUse, role: str, space: Space) -> tuple[str, ...]:
    """The axes of one parameter, after those of the rows."""
    return family.role(role).shape(space.axes, str(family.length))


Density = Callable[[Law], Formula]
Pair = Callable[[Law, Law], Formula]

Cell = Callable[[Law, sympy.Expr], Formula]

LOG_DENSITIES: dict[str, Density] = {}
LOG_MASSES: dict[str, Cell] = {}
ENTROPIES: dict[str, Density] = {}
RELATIVE_ENTROPIES: dict[tuple[str, str], Pair] = {}
CROSS_ENTROPIES: dict[tuple[str, str], Pair] = {}


def log_density_of(name: str) -> Callable[[Density], Density]:
    """Registers log r(value) of a family."""
    return _register(LOG_DENSITIES, (name,))


def log_mass_of(*names: str) -> Callable[[Cell], Cell]:
    """Registers the log of the mass within some distance of the value, F(v + h) - F(v - h), coordinate by coordinate."""
    return _register(LOG_MASSES, names)


def entropy_of(name: str) -> Callable[[Density], Density]:
    """Registers the entropy of a family, in nats."""
    return _register(ENTROPIES, (name,))


def relative_entropy_of(*pairs: tuple[str, str]) -> Callable[[Pair], Pair]:
    """Registers KL(first || second) of some pairs of families, in nats."""
    return _register(RELATIVE_ENTROPIES, pairs)


def cross_entropy_of(*pairs: tuple[str, str]) -> Callable[[Pair], Pair]:
    """Registers -E_first[log second] where it is simpler than entropy and relative entropy added."""
    return _register(CROSS_ENTROPIES, pairs)


def _register(table: dict, keys: tuple) -> Callable:
    def add(function: Callable) -> Callable:
        for key in keys:
            if key in table:
                raise ValueError(f"{key} is registered twice")
            table[key] = function
        return function

    return add


def log_density(law: Law) -> Formula:
    """log r(value), summed over the event."""
    if law.name not in LOG_DENSITIES:
        raise EmissionError(
            f"a factor that is {law.name} has samples and no density, so nothing evaluates it\n"
            "  write: a family with a density, or another estimator for the term"
        )
    return LOG_DENSITIES[law.name](law)


def integrated_log_density(law: Law, width: sympy.Rational) -> Formula:
    """log of the density of a draw plus uniform noise: the mass of the cell of that width around the value, over its volume."""
    if law.name not in LOG_MASSES:
        raise EmissionError(
            f"an entropy model of codes with uniform noise integrates its density over a cell, and {law.name} has no distribution "
            f"function here\n  write: one of {', '.join(LOG_MASSES)}"
        )
    mass = LOG_MASSES[law.name](law, width / 2)
    if width == 1:
        return mass
    return Formula(mass.expression - SIZE * sympy.log(width), f"{mass.text} - n log {float(width):g}")


def entropy(law: Law) -> Formula:
    """The entropy of the law, in nats."""
    if law.name not in ENTROPIES:
        raise EmissionError(
            f"the entropy of a {law.name} factor has no closed form\n  write: a family that has one, such as diagonal-normal"
        )
    return ENTROPIES[law.name](law)


def closed_entropy(family: FamilyUse) -> bool:
    """Whether the family's entropy has a closed form."""
    return family.name in ENTROPIES and not family.headed


def closed_relative_entropy(first: FamilyUse, second: FamilyUse) -> bool:
    """Whether KL(first || second) has a closed form, for two families on one space."""
    return (first.name, second.name) in RELATIVE_ENTROPIES and not first.headed and not second.headed


def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(first || second), in nats."""
    key = (first.name, second.name)
    if key not in RELATIVE_ENTROPIES:
        raise EmissionError(
            f"the relative entropy of {first.name} to {second.name} has no closed form\n"
            "  write: families that have one, such as diagonal-normal, or another estimator for the term"
        )
    return RELATIVE_ENTROPIES[key](first, second)


def cross_entropy(first: Law, second: Law) -> Formula:
    """-E_first[log second], in nats: entropy plus relative entropy."""
    key = (first.name, second.name)
    if key in CROSS_ENTROPIES:
        return CROSS_ENTROPIES[key](first, second)
    own, other = entropy(first), relative_entropy(first, second)
    return Formula(own.expression + other.expression, f"{own.text} + {other.text}")


def per_element(formula: Formula) -> tuple[sympy.Expr, sympy.Expr] | None:
    """The number before the sum over the event, and what is summed; None where coordinates do not part.

    >>> x = sympy.Symbol("x")
    >>> per_element(Formula(-EventSum(x**2) / 2, ""))
    (-1/2, x**2)
    """
    number, rest = formula.expression.as_coeff_Mul()
    return (number, rest.args[0]) if isinstance(rest, EventSum) and not rest.args[0].has(*STRUCTURAL) else None
