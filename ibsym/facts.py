"""Three-valued facts: TRUE, FALSE, UNKNOWN; asking UNKNOWN for a truth value is an error."""

from __future__ import annotations

from enum import Enum


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
        return Fact.TRUE if value else Fact.FALSE

    @property
    def known(self) -> bool:
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
