"""Claims with their premises, and proofs: difference = sum of multiplier * quantity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from ibsym.errors import SpecError
from ibsym.proving.claims import Atom, Constant, Linear, Statement, names_of, read_claim, read_premise, terms_of
from ibsym.proving.copies import premises as copied
from ibsym.proving.copies import read_copy
from ibsym.proving.notation import Chain, Function
from ibsym.terms.vectors import Rational

MAX_PREMISES = 100
MAX_COORDINATES = 10_000


@dataclass(frozen=True)
class Problem:
    """A claim with its premises, read: statements that together are the claim, what is known, the variables."""

    text: str
    claims: tuple[Statement, ...]
    premises: tuple[Statement, ...]
    chains: tuple[Chain, ...]
    functions: tuple[Function, ...]
    variables: tuple[str, ...]
    joints: tuple[str, ...]

    @staticmethod
    def read(claim: str, given: Iterable[str] = (), unit: str = "nats") -> Problem:
        """A claim and its premises, parsed and checked."""
        claims = read_claim(claim, unit)
        given = list(given)
        if len(given) > MAX_PREMISES:
            raise SpecError(f"{len(given)} premises are more than {MAX_PREMISES}", key="given", remedy="fewer premises")
        read = [p for g in given for p in read_premise(g, unit)]
        premises = tuple(p for p in read if isinstance(p, Statement))
        chains = tuple(p for p in read if isinstance(p, Chain))
        functions = tuple(p for p in read if isinstance(p, Function))
        forms = [p for p in read if not isinstance(p, Statement)]
        everything = (*claims, *premises)
        variables = tuple(names_of(everything, forms))
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
        for form in forms:
            if form.joint is not None:
                heads[form.joint] = None
        bare = any(q.joint is None and q.first is None and q.kind != "E" for q in terms_of(everything))
        if len(heads) > 1 and bare:
            raise SpecError(
                "with several joints every quantity needs a subscript", key="claim", remedy=f"I_{next(iter(heads))}(X;Z)"
            )
        if len(heads) > 1:
            for form in forms:
                if form.joint is None:
                    raise SpecError(
                        f"{form.text!r} in which joint?", key="given", remedy=f'"{form.text} in {next(iter(heads))}"'
                    )
        problem = Problem(claim.strip(), claims, premises, chains, functions, variables, tuple(heads))
        if problem.several and len(heads) ** 2 * len(variables) << len(variables) > MAX_COORDINATES:
            raise SpecError(
                f"{len(heads)} joints of {len(variables)} variables are too much",
                key="claim",
                remedy="two joints of at most eight variables, four of six, or one joint without densities",
            )
        return problem

    def with_copies(self, copies: Iterable[str]) -> Problem:
        """The same claim with auxiliary variables: each a copy of some given others, independent of all else."""
        problem = self
        for text in copies:
            if problem.several:
                raise SpecError("copies are made of the variables of one joint", key="copies", remedy="a claim about one joint")
            copy = read_copy(text)
            equations, chain = copied(copy, problem.variables)
            problem = replace(
                problem,
                premises=(*problem.premises, *equations),
                chains=(*problem.chains, chain),
                variables=(*problem.variables, *copy.new),
            )
        return problem

    @property
    def several(self) -> bool:
        """Whether it speaks of more than one joint."""
        return len(self.joints) > 1 or any(
            q.first is not None or q.kind == "E" for q in terms_of((*self.claims, *self.premises))
        )

    @property
    def clauses(self) -> list[list[Linear]]:
        """What must hold: in every clause one of the forms is non-negative."""
        return [[list(form) for form in clause] for s in self.claims for clause in s.clauses]

    def differences(self) -> list[Linear]:
        """The forms of a claim without alternatives: what must be non-negative."""
        return [form for clause in self.clauses for form in clause]


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


def text_of(q: Atom) -> str:
    """A quantity as it was written."""
    if isinstance(q, Constant):
        return str(q)
    name = {"F": f"F[{q.generator}]"}.get(q.kind, q.kind) + (f"_{q.joint}" if q.joint else "")
    if q.kind == "E":
        return f"{name}[log {''.join(map(str, q.second))}]"
    if q.first is not None:
        return f"{name}({q.first}||{''.join(map(str, q.second))})"
    inside = ";".join(",".join(g) for g in q.groups) + (f"|{','.join(q.given)}" if q.given else "")
    return f"{name}({inside})"


def written(form: Linear) -> str:
    """A linear form as a person writes it."""
    return signed_sum((x, text_of(a)) for x, a in form)


def signed_sum(parts: Iterable[tuple[Rational, str]]) -> str:
    """``2 H(X) - I(X;Z) + 3``: a sum as a person writes it."""
    total: dict[str, Rational] = {}
    for x, text in parts:
        total[text] = total.get(text, 0) + x
    out = ""
    for text, x in total.items():
        if x:
            size = str(abs(x)) if text == "1" else text if abs(x) == 1 else f"{abs(x)} {text}"
            out += (" - " if x < 0 else " + ") + size
    return (out[3:] if out.startswith(" + ") else "-" + out[3:]) if out else "0"
