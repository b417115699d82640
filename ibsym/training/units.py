"""1 nat = 1/log 2 bits: in which unit numbers are told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

UNITS = {"nats": 1.0, "bits": math.log(2)}
NEVER_NEGATIVE = ("I_", "I(", "KL(", "TC_", "TC(", "JS(")
"""How the texts of quantities begin that are never below zero."""


@dataclass
class Unit:
    """A unit, and over how many dimensions of what is observed numbers are spread; metrics in files are nats a row whatever is told.

    ``largest`` has what the estimate of a term is at most, in nats.
    """

    name: str = "nats"
    each: bool = False
    dimensions: int = 1
    largest: dict[str, float] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether numbers are told as they are."""
        return self.name == "nats" and not self.each

    def value(self, nats: float) -> float:
        """A number of nats in this unit."""
        return nats / UNITS[self.name] / (self.dimensions if self.each else 1)

    def term(self, name: str, nats: float, form: str = ".4g") -> str:
        """A term's number, and what it is at most; of what is never negative one below zero is said to be an estimate.

        >>> Unit("bits").term("I_q(Z;Y)", 0.6931471805599453), Unit().term("KL(q(z)||p(z))", -0.25)
        ('1', '-0.25 (an estimate below zero)')
        >>> Unit(largest={"JS(q(z)||p(z))": 0.6931471805599453}).term("JS(q(z)||p(z))", 0.25)
        '0.25 (at most 0.6931)'
        """
        said = ["an estimate below zero"] if nats < 0 and name.startswith(NEVER_NEGATIVE) else []
        if name in self.largest:
            said.append(f"at most {self.value(self.largest[name]):.4g}")
        return f"{self.value(nats):{form}}" + (f" ({', '.join(said)})" if said else "")

    def told(self, nats: float) -> str:
        """A number with its unit.

        >>> Unit("bits").told(0.6931471805599453)
        '1 bits'
        """
        return f"{nats / UNITS[self.name]:.4g} {self.name}"

    def __str__(self) -> str:
        return self.name + (f" a dimension, of {self.dimensions}" if self.each else "")
