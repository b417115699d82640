"""Information terms as frozen values that print themselves in the spec's own notation.

Every node is an expectation under one or two joints. The linear ones reduce to a cross-entropy vector
(:mod:`ibsym.terms.vectors`); Jensen-Shannon and f-divergences, and a total correlation over the coordinates of one
variable, are coordinates of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import sympy

from ibsym.facts import Side
from ibsym.spec.graphs import Factor
from ibsym.spec.variables import capitalised


def values(names: Iterable[str]) -> str:
    """``x,z``: as densities take them."""
    return ",".join(names)


def variables(names: Iterable[str]) -> str:
    """``X,Z``: as information terms take them."""
    return ",".join(capitalised(n) for n in names)


@dataclass(frozen=True, slots=True)
class Density:
    """r(a|b): a marginal or conditional of a joint; ``head`` is the joint, or the owner of a declared factor.

    >>> str(Density("p", ("x",), ("z",)))
    'p(x|z)'
    """

    head: str
    of: tuple[str, ...]
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.head}({values(self.of)}" + (f"|{values(self.given)}" if self.given else "") + ")"

    @staticmethod
    def factor(item: Factor) -> Density:
        """A declared factor as the density that it is."""
        return Density(item.head, item.of, item.given)

    @property
    def scope(self) -> frozenset[str]:
        """The variables, and those given."""
        return frozenset(self.of) | frozenset(self.given)


@dataclass(frozen=True, slots=True)
class Entropy:
    """H_j(A|B) = -E_j log j(a|b), in nats."""

    joint: str
    of: tuple[str, ...]
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"H_{self.joint}({variables(self.of)}" + (f"|{variables(self.given)}" if self.given else "") + ")"


@dataclass(frozen=True, slots=True)
class MutualInformation:
    """I_j(A;B|C) = E_j log j(a|b,c) / j(a|c); with more than two groups, interaction information."""

    joint: str
    groups: tuple[tuple[str, ...], ...]
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"I_{self.joint}({';'.join(map(variables, self.groups))}"
            + (f"|{variables(self.given)}" if self.given else "")
            + ")"
        )


@dataclass(frozen=True, slots=True)
class TotalCorrelation:
    """TC_j(A1;...;An|C) = sum_i H_j(Ai|C) - H_j(A1,...,An|C); with one group, over the coordinates of that variable."""

    joint: str
    groups: tuple[tuple[str, ...], ...]
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"TC_{self.joint}({';'.join(map(variables, self.groups))}"
            + (f"|{variables(self.given)}" if self.given else "")
            + ")"
        )

    @property
    def coordinatewise(self) -> bool:
        """Whether it is over the coordinates of one variable."""
        return len(self.groups) == 1


@dataclass(frozen=True, slots=True)
class RelativeEntropy:
    """KL(j(a|b) || r(a|c)) = E_j [ log j(a|b) - log r(a|c) ]; the second argument may be a product of densities."""

    first: Density
    second: tuple[Density, ...]

    def __str__(self) -> str:
        return f"KL({self.first}||{''.join(map(str, self.second))})"


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """CE(j(a|b) || r(a|b)) = -E_j log r(a|b)."""

    first: Density
    second: tuple[Density, ...]

    def __str__(self) -> str:
        return f"CE({self.first}||{''.join(map(str, self.second))})"


@dataclass(frozen=True, slots=True)
class ExpectedLog:
    """E_j[log r(a|b)], of one density or of a product."""

    joint: str
    second: tuple[Density, ...]

    def __str__(self) -> str:
        return f"E_{self.joint}[log {''.join(map(str, self.second))}]"


@dataclass(frozen=True, slots=True)
class JensenShannon:
    """JS(P, Q) = KL(P||M)/2 + KL(Q||M)/2 with M = (P+Q)/2, in nats: at most log 2."""

    first: Density
    second: tuple[Density, ...]

    def __str__(self) -> str:
        return f"JS({self.first}||{''.join(map(str, self.second))})"


@dataclass(frozen=True, slots=True)
class FDivergence:
    """E_Q g(p/q) for a convex generator g with g(1) = 0, by the generator's name."""

    generator: str
    first: Density
    second: tuple[Density, ...]

    def __str__(self) -> str:
        return f"F[{self.generator}]({self.first}||{''.join(map(str, self.second))})"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What stands in for a term that cannot be evaluated: an estimator's value, by the estimator's name.

    ``density`` is the declared conditional that the estimator uses in place of the true one, and that a player of its own fits.
    """

    term: Term
    estimator: str
    density: Density | None = None

    def __str__(self) -> str:
        return f"{self.estimator}[{self.term}]"


@dataclass(frozen=True, slots=True)
class Slack:
    """The non-negative difference between a term and its one-sided estimator: estimate - term above, term - estimate below."""

    estimate: Estimate
    side: Side

    def __str__(self) -> str:
        return f"({self.high} - {self.low})"

    @property
    def high(self) -> Term:
        """The larger of the two."""
        return self.estimate if self.side is Side.UPPER else self.estimate.term

    @property
    def low(self) -> Term:
        """The smaller of the two."""
        return self.estimate.term if self.side is Side.UPPER else self.estimate


Term: TypeAlias = (
    Entropy
    | MutualInformation
    | TotalCorrelation
    | RelativeEntropy
    | CrossEntropy
    | ExpectedLog
    | JensenShannon
    | FDivergence
    | Estimate
    | Slack
)


def canonical(coefficient: sympy.Expr) -> sympy.Expr:
    """A coefficient in a form that equal ones share: expanded, and a ratio of polynomials cancelled.

    >>> a = sympy.Symbol("a", real=True)
    >>> canonical(1 / (4 * a + 4) - 1 / (a + 1) / 4)
    0
    """
    expanded = sympy.expand(coefficient)
    return sympy.cancel(expanded) if is_ratio(expanded) else expanded


def is_ratio(coefficient: sympy.Expr) -> bool:
    """Whether a parameter occurs in a denominator."""
    return any(p.exp.is_negative and p.base.free_symbols for p in coefficient.atoms(sympy.Pow))


@dataclass(frozen=True, slots=True)
class Weighted:
    """A coefficient (SymPy, over the spec's parameters) times a term."""

    coefficient: sympy.Expr
    term: Term

    @property
    def text(self) -> str:
        """The term's canonical text."""
        return str(self.term)

    def split(self) -> tuple[bool, sympy.Expr]:
        """Whether a minus is written in front, and the coefficient behind it: a sum keeps its signs inside."""
        c = self.coefficient
        negative = all(a.could_extract_minus_sign() for a in c.args) if c.is_Add else c.could_extract_minus_sign()
        return negative, -c if negative else c


@dataclass(frozen=True, slots=True, repr=False)
class Expression:
    """A sum of weighted terms, equal terms added up, zero terms gone, in order of first appearance.

    >>> h = Entropy("q", ("z",))
    >>> str(Expression.of((2, h), (-1, Entropy("q", ("x",))), (-2, h)))
    '-H_q(X)'
    """

    parts: tuple[Weighted, ...] = ()

    @staticmethod
    def of(*pairs: tuple[object, Term]) -> Expression:
        """The sum of coefficient * term, equal terms added up."""
        total: dict[Term, sympy.Expr] = {}
        for coefficient, term in pairs:
            total[term] = total.get(term, sympy.Integer(0)) + sympy.sympify(coefficient)
        summed = ((canonical(c), t) for t, c in total.items())
        return Expression(tuple(Weighted(c, t) for c, t in summed if c != 0))

    def __iter__(self) -> Iterator[Weighted]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __add__(self, other: Expression) -> Expression:
        return Expression.of(*((w.coefficient, w.term) for w in (*self, *other)))

    def __sub__(self, other: Expression) -> Expression:
        return self + other.scaled(-1)

    def scaled(self, factor: object) -> Expression:
        """Every coefficient times the factor."""
        return Expression.of(*((sympy.sympify(factor) * w.coefficient, w.term) for w in self))

    def replaced(self, term: Term, *pairs: tuple[object, Term]) -> Expression:
        """The sum with ``pairs`` added, written where ``term`` stands if it stands there."""
        place = next((i for i, w in enumerate(self.parts) if w.term == term), len(self.parts) - 1)
        before, after = self.parts[: place + 1], self.parts[place + 1 :]
        return Expression.of(*((w.coefficient, w.term) for w in before), *pairs, *((w.coefficient, w.term) for w in after))

    def same(self, other: Expression) -> bool:
        """Equal up to order."""
        return set(self.parts) == set(other.parts)

    def coefficient(self, term: Term) -> sympy.Expr:
        """The term's coefficient, 0 where it does not occur."""
        return next((w.coefficient for w in self if w.term == term), sympy.Integer(0))

    def __repr__(self) -> str:
        return f"<Expression: {self}>"

    def __str__(self) -> str:
        if not self.parts:
            return "0"
        text = ""
        for part in self.parts:
            negative, size = part.split()
            factor = "" if size == 1 else (f"({size})*" if size.is_Add else f"{size}*")
            text += (" - " if negative else " + ") + factor + str(part.term)
        return text[3:] if text.startswith(" + ") else "-" + text[3:]
