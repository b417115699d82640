"""The copy lemma: for any C and G there is an R with the law of C given G, independent of all else given G.

An inequality without R that follows from what R has is true of the variables themselves (Zhang & Yeung 1998).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product

from ibsym.errors import SpecError, unknown
from ibsym.proving.claims import Statement
from ibsym.proving.notation import NAMES, Chain
from ibsym.spec.grammar import QuantitySyntax

MAX_EQUATIONS = 256
_COPY = re.compile(rf"\s*(?P<new>{NAMES})\s*(?:=|:)\s*(?P<old>{NAMES})\s*(?:\|\s*(?P<given>{NAMES})\s*)?")


@dataclass(frozen=True)
class Copy:
    """R = C | G."""

    new: tuple[str, ...]
    old: tuple[str, ...]
    given: tuple[str, ...]
    text: str


def read_copy(text: str) -> Copy:
    """``R = C | A,B``: R is a copy of C given A and B; several at once as ``R,S = C,D | A``."""
    found = _COPY.fullmatch(text)
    if found is None:
        raise SpecError(f"{text!r} does not say which variables to copy", key="copies", remedy='"R = C | A,B"')
    new, old, given = (tuple(n.strip() for n in (found[k] or "").split(",") if n.strip()) for k in ("new", "old", "given"))
    names = [n.casefold() for n in (*new, *old, *given)]
    if len(new) != len(old) or len(set(names)) < len(names):
        raise SpecError(f"{text!r} does not copy each variable once", key="copies", remedy='"R,S = C,D | A,B"')
    if 2 ** (len(new) + len(given)) > MAX_EQUATIONS:
        raise SpecError(f"{text!r} copies too many variables", key="copies", remedy="fewer variables")
    return Copy(new, old, given, text.strip())


def premises(copy: Copy, others: Iterable[str]) -> tuple[list[Statement], Chain]:
    """H(R', G') = H(C', G') for all parts of both, and I(R; all others | G) = 0."""
    others = list(others)
    known = {n.casefold() for n in others}
    for name in copy.new:
        if name.casefold() in known:
            raise SpecError(f"{name!r} is a variable already", key="copies", remedy="a new name for a copy")
    for name in (*copy.old, *copy.given):
        if name not in others:
            raise unknown("variable of the claim", name, others, key="copies")
    text = f"{copy.text} (copy lemma)"
    equations = []
    for places in (p for k in range(1, len(copy.new) + 1) for p in combinations(range(len(copy.new)), k)):
        for keep in product((False, True), repeat=len(copy.given)):
            given = tuple(g for g, k in zip(copy.given, keep, strict=True) if k)
            sides = [QuantitySyntax("H", None, ((*(names[i] for i in places), *given),)) for names in (copy.new, copy.old)]
            form = ((Fraction(1), sides[0]), (Fraction(-1), sides[1]))
            equal = " = ".join(f"H({','.join(side.groups[0])})" for side in sides)
            equations.append(Statement((((form),),), f"{equal} (copy lemma)", True))
    rest = tuple(n for n in others if n not in copy.given)
    return equations, Chain((copy.new, copy.given, rest), None, text)
