"""What is known: facts of three values, signs of coefficients, relations of two sides, the side of a bound."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias, assert_never

Sense: TypeAlias = Literal["minimize", "maximize"]


class Fact(Enum):
    """What is known of a statement.

    >>> Fact.of(2 > 1)
    <Fact.TRUE: 'true'>
    >>> Fact.UNKNOWN.known
    False
    """

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"

    @staticmethod
    def of(value: bool) -> Fact:
        """TRUE or FALSE."""
        return Fact.TRUE if value else Fact.FALSE

    @property
    def known(self) -> bool:
        """Whether it is not UNKNOWN."""
        return self is not Fact.UNKNOWN

    def __bool__(self) -> bool:
        raise TypeError("a Fact has no truth value: compare with Fact.TRUE, so that UNKNOWN is not forgotten")


class Sign(Enum):
    """The sign of a coefficient over its parameters' intervals."""

    ZERO = "0"
    NONNEGATIVE = "+"
    NONPOSITIVE = "-"
    UNKNOWN = "?"


class Relation(Enum):
    """How the two sides of a step compare; ``~`` is an estimate, a surrogate, or a chain that contains one.

    >>> str(Relation.LE & Relation.EQ), str(Relation.LE & Relation.GE), str(-Relation.LE)
    ('<=', '~', '>=')
    """

    EQ = "="
    LE = "<="
    GE = ">="
    APPROX = "~"

    def __str__(self) -> str:
        return self.value

    def __neg__(self) -> Relation:
        return {Relation.LE: Relation.GE, Relation.GE: Relation.LE}.get(self, self)

    def __and__(self, other: Relation) -> Relation:
        """The relation of a chain of two steps: this one, then the other."""
        if self is Relation.EQ:
            return other
        if other is Relation.EQ or other is self:
            return self
        return Relation.APPROX


class Side(Enum):
    """From where a bound bounds: ``UPPER`` from above, ``LOWER`` from below; negation is the other one.

    >>> Side.of("minimize"), Side.of("minimize", Sign.NONPOSITIVE), -Side.UPPER
    (<Side.UPPER: 'upper'>, <Side.LOWER: 'lower'>, <Side.LOWER: 'lower'>)
    """

    UPPER = "upper"
    LOWER = "lower"

    @staticmethod
    def of(sense: Sense, sign: Sign = Sign.NONNEGATIVE) -> Side:
        """The side that serves a term of this sign in what is minimised or maximised: upper bounds are made small."""
        return (Side.UPPER if sense == "minimize" else Side.LOWER).times(sign)

    def times(self, sign: Sign) -> Side:
        """The side of a term whose multiple of this sign is bounded from here. Raises where the sign is unknown."""
        match sign:
            case Sign.NONNEGATIVE | Sign.ZERO:
                return self
            case Sign.NONPOSITIVE:
                return -self
            case Sign.UNKNOWN:
                raise ValueError("a coefficient whose sign is unknown has no side")
        assert_never(sign)

    @property
    def sign(self) -> int:
        """The s in ``bound - term = s * gap`` with a gap that is never negative: 1 above, -1 below."""
        return 1 if self is Side.UPPER else -1

    @property
    def relation(self) -> Relation:
        """``term (relation) bound``."""
        return Relation.LE if self is Side.UPPER else Relation.GE

    def __neg__(self) -> Side:
        return Side.LOWER if self is Side.UPPER else Side.UPPER
