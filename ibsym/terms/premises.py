"""What a step rests on, as values: independences and factors of joints, terms that are never negative, discrete variables.

Each prints as a sentence that names its joint or term; the audit verifies the values, renderers match on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ibsym.spec.spaces import Space
from ibsym.spec.variables import capitalised
from ibsym.terms.measures import CrossEntropy, Density, Entropy, Term, values, variables


@dataclass(frozen=True, slots=True)
class Independent:
    """j(a|b,c) = j(a|c): a and b are independent given c under the joint, the Markov chain A - C - B.

    >>> print(Independent(("c",), ("z",), ("x",), "q"), Independent(("x",), ("z",), (), "p"), sep="; ")
    C - X - Z in q; X and Z independent in p
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    given: tuple[str, ...]
    joint: str

    def __str__(self) -> str:
        a, b, c = variables(self.first), variables(self.second), variables(self.given)
        return f"{a} - {c} - {b} in {self.joint}" if self.given else f"{a} and {b} independent in {self.joint}"


@dataclass(frozen=True, slots=True)
class Irrelevant:
    """j(a|b) = j(a|b,c): further conditioners c change nothing in a density.

    >>> print(Irrelevant(Density("q", ("z",), ("x",)), ("c",)))
    z independent of c given x in q
    """

    density: Density
    further: tuple[str, ...]

    def __str__(self) -> str:
        d = self.density
        given = f" given {values(d.given)}" if d.given else ""
        return f"{values(d.of)} independent of {values(self.further)}{given} in {d.head}"


@dataclass(frozen=True, slots=True)
class SharedFactor:
    """j(a|b) = f(a|b): a factor, which other joints have too, is the joint's own conditional.

    >>> print(SharedFactor(Density("q", ("z",), ("x",)), "u"))
    q(z|x) is a factor of u
    """

    factor: Density
    joint: str

    def __str__(self) -> str:
        return f"{self.factor} is a factor of {self.joint}"


@dataclass(frozen=True, slots=True)
class Nonnegative:
    """0 <= term: by Gibbs, or because its variables are discrete."""

    term: Term

    @property
    def discrete(self) -> bool:
        """Whether it holds for discrete variables only."""
        return isinstance(self.term, Entropy | CrossEntropy)

    def __str__(self) -> str:
        return f"{self.term} >= 0" + (" (discrete)" if self.discrete else "")


@dataclass(frozen=True, slots=True)
class Discrete:
    """The variable takes countably many values, by its space."""

    variable: str
    space: Space

    def __str__(self) -> str:
        return f"{capitalised(self.variable)} is discrete ({self.space})"


Premise: TypeAlias = Independent | Irrelevant | SharedFactor | Nonnegative | Discrete
