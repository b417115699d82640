"""Claims with their premises, and proofs: difference = sum of multiplier * quantity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from ibsym.errors import SpecError
from ibsym.proving.claims import Chain, Statement, linear, names_of, read_claim, read_premise, terms_of
from ibsym.spec.grammar import QuantitySyntax
from ibsym.terms.vectors import Rational

MAX_PREMISES = 100
MAX_COORDINATES = 10_000


@dataclass(frozen=True)
class Problem:
    """A claim with its premises, read: variables, differences that must be non-negative, what is known."""

    claim: Statement
    premises: tuple[Statement, ...]
    chains: tuple[Chain, ...]
    variables: tuple[str, ...]
    joints: tuple[str, ...]

    @staticmethod
    def read(claim: str, given: Iterable[str] = ()) -> Problem:
        """A claim and its premises, parsed and checked."""
        statement = read_claim(claim)
        given = list(given)
        if len(given) > MAX_PREMISES:
            raise SpecError(f"{len(given)} premises are more than {MAX_PREMISES}", key="given", remedy="fewer premises")
        read = [read_premise(g) for g in given]
        premises = tuple(p for p in read if isinstance(p, Statement))
        chains = tuple(p for p in read if isinstance(p, Chain))
        everything = (statement, *premises)
        variables = tuple(names_of(everything, chains))
        heads: dict[str, None] = {}
        for quantity in terms_of(everything):
            if quantity.kind in ("JS", "F"):
                raise SpecError(
                    f"{quantity.kind} is not linear in log-densities",
                    key="claim",
                    remedy="KL, CE, H, I, TC",
                    column=quantity.column,
                )
            if quantity.joint is not None:
                heads[quantity.joint] = None
            for density in (quantity.first, *quantity.second):
                if density is not None:
                    heads[density.head] = None
        for chain in chains:
            if chain.joint is not None:
                heads[chain.joint] = None
        bare = any(q.joint is None and q.first is None for q in terms_of(everything))
        if len(heads) > 1 and bare:
            raise SpecError(
                "with several joints every quantity needs a subscript", key="claim", remedy=f"I_{next(iter(heads))}(X;Z)"
            )
        problem = Problem(statement, premises, chains, variables, tuple(heads))
        if problem.several and len(heads) ** 2 * len(variables) << len(variables) > MAX_COORDINATES:
            raise SpecError(
                f"{len(heads)} joints of {len(variables)} variables are too much",
                key="claim",
                remedy="two joints of at most eight variables, four of six, or one joint without densities",
            )
        return problem

    @property
    def several(self) -> bool:
        """Whether it speaks of more than one joint."""
        return len(self.joints) > 1 or any(q.first is not None or q.kind == "E" for q in terms_of((self.claim, *self.premises)))

    def differences(self) -> list[list[tuple[Fraction, QuantitySyntax]]]:
        """What must be non-negative: right - left for ``<=``, left - right for ``>=``, both for ``=``."""
        return differences(self.claim)


def differences(statement: Statement) -> list[list[tuple[Fraction, QuantitySyntax]]]:
    """What a relation says is non-negative."""
    left, right = linear(statement.syntax.left), linear(statement.syntax.right)
    up = right + [(-x, t) for x, t in left]
    down = left + [(-x, t) for x, t in right]
    return {"<=": [up], ">=": [down], "=": [up, down]}[statement.syntax.relation]


@dataclass(frozen=True)
class Item:
    """One line of a proof: multiplier times a quantity, and why it is non-negative or zero."""

    multiplier: Fraction
    quantity: str
    reason: str
    zero: bool = False


@dataclass(frozen=True)
class Proof:
    """``difference = sum of items``, each item zero or non-negative, hence ``0 <= difference``."""

    difference: str
    expanded: str
    items: tuple[Item, ...]


def text_of(q: QuantitySyntax) -> str:
    """A quantity as it was written."""
    name = {"F": f"F[{q.generator}]"}.get(q.kind, q.kind) + (f"_{q.joint}" if q.joint else "")
    if q.kind == "E":
        return f"{name}[log {''.join(map(str, q.second))}]"
    if q.first is not None:
        return f"{name}({q.first}||{''.join(map(str, q.second))})"
    inside = ";".join(",".join(g) for g in q.groups) + (f"|{','.join(q.given)}" if q.given else "")
    return f"{name}({inside})"


def signed_sum(parts: Iterable[tuple[Rational, str]]) -> str:
    """``2 H(X) - I(X;Z)``: a sum as a person writes it."""
    total: dict[str, Rational] = {}
    for x, text in parts:
        total[text] = total.get(text, 0) + x
    out = ""
    for text, x in total.items():
        if x:
            out += (" - " if x < 0 else " + ") + ("" if abs(x) == 1 else f"{abs(x)} ") + text
    return (out[3:] if out.startswith(" + ") else "-" + out[3:]) if out else "0"
