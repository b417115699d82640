"""What does not carry over from discrete entropies to differential ones: repeated variables, and functions told by H(Y|X) = 0.

H(X|X) is 0 for a discrete X and minus infinity for one with a density; Y = f(X) makes H(Y|X) minus infinity, not 0. The algebra of
entropies is the same in both cases only where all variables together have a density.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import combinations

from ibsym.errors import SpecError, shown
from ibsym.proving.claims import Constant, Statement, terms_of
from ibsym.proving.problem import Problem, text_of
from ibsym.spec.grammar import QuantitySyntax

Sets = dict[tuple[str | None, frozenset[str]], Fraction]


def refuse_discrete(problem: Problem) -> None:
    """Raises :class:`SpecError` where a claim or a premise about densities is meant, or would be used, as one about discrete variables."""
    for quantity in terms_of((*problem.claims, *problem.premises)):
        names = [n.casefold() for g in (*quantity.groups, quantity.given) for n in g]
        for density in (quantity.first, *quantity.second):
            names += [] if density is None else [f"{density}: {n.casefold()}" for n in (*density.of, *density.given)]
        if len(set(names)) < len(names):
            raise SpecError(
                f"a variable occurs twice in {text_of(quantity)}, which is infinite for a variable with a density",
                key="claim",
                remedy="disjoint arguments, or discrete variables (without continuous)",
                column=quantity.column,
            )
    determined = [f.text for f in problem.functions] + [s.text for s in problem.premises if _determines(s)]
    for text in determined[:1]:
        raise SpecError(
            f"{shown(text)!r} does not make one variable a function of others where they have densities: "
            "the differential entropy of a function is minus infinity",
            key="given",
            remedy="a premise about informations, or discrete variables (without continuous)",
        )


def _determines(statement: Statement) -> bool:
    """Whether a premise is H(A|C) = 0 or H(A|C) <= 0 in some writing: x H(S) - x H(T) on the small side, T inside S."""
    total: Sets = {}
    for y, q in statement.form:
        x, part = -y, None if isinstance(q, Constant) else _entropies(q)
        if part is None:
            return False
        for key, value in part.items():
            total[key] = total.get(key, Fraction(0)) + x * value
    found = {key: value for key, value in total.items() if value and key[1]}
    if not found or len({joint for joint, _ in found}) > 1 or len(found) > 2:
        return False
    (_, large), *rest = sorted(found, key=lambda key: -len(key[1]))
    size = found[max(found, key=lambda key: len(key[1]))]
    if any(not key[1] < large or found[key] != -size for key in rest):
        return False
    return size > 0 or statement.zero


def _entropies(q: QuantitySyntax) -> Sets | None:
    """The coefficients of H(S) in a quantity of one joint; None for what is about densities."""
    if q.first is not None or q.kind == "E":
        return None
    given = frozenset(n.casefold() for n in q.given)
    groups = [frozenset(n.casefold() for n in g) for g in q.groups]
    total: Sets = {}

    def add(parts: Iterable[frozenset[str]], x: int) -> None:
        for names, sign in ((frozenset().union(given, *parts), x), (given, -x)):
            total[q.joint, names] = total.get((q.joint, names), Fraction(0)) + sign

    match q.kind:
        case "H":
            add(groups, 1)
        case "TC":
            for g in groups:
                add((g,), 1)
            add(groups, -1)
        case _:
            for size in range(1, len(groups) + 1):
                for chosen in combinations(groups, size):
                    add(chosen, 1 if size % 2 else -1)
    return total
