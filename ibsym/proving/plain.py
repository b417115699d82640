"""Sums of multiples of H, I and TC, read by one regular expression: most claims are no more, and a long one is read ten times sooner.

Whatever does not fit is left to the grammar of :mod:`ibsym.proving.notation`, which reads these sums as well, and to its refusals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from ibsym.spec.grammar import Kind, QuantitySyntax

LARGEST = Fraction(10**6)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NAMES = rf"{_NAME}(?: *, *{_NAME})*"
_TERM = re.compile(
    r" *(?:(?P<sign>[+-]) *)?"
    r"(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?) *(?:\* *)?|(?P<above>[0-9]+) */ *(?P<below>[0-9]+) *)?"
    r"(?P<kind>H|I|TC)(?:_(?P<joint>[A-Za-z][A-Za-z0-9_]*))? *"
    rf"\( *(?P<groups>{_NAMES}(?: *; *{_NAMES})*) *(?:\| *(?P<given>{_NAMES}) *)?\) *"
)
_RELATION = re.compile(r"<=|>=|==|=|<|>")


@dataclass(frozen=True, slots=True)
class Sum:
    """Multiples of quantities."""

    terms: tuple[tuple[Fraction, QuantitySyntax], ...]


def ordinary(x: Fraction) -> bool:
    """Whether |x| is between 1e-6 and 1e6.

    >>> ordinary(Fraction(1, 3)), ordinary(Fraction(1, 2_000_000)), ordinary(Fraction(0))
    (True, False, False)
    """
    above, below, most = abs(x.numerator), x.denominator, LARGEST.numerator
    return above <= most * below and below <= most * above


def relation(text: str) -> tuple[Sum, str, Sum] | None:
    """Two sums and the sign between them; None for whatever else there is.

    >>> relation("H(X) >= 0")[1], relation("H(X) <= log 2")
    ('>=', None)
    """
    signs = list(_RELATION.finditer(text))
    if len(signs) != 1:
        return None
    (sign,) = signs
    left = _sum(text, 0, sign.start())
    right = left and _sum(text, sign.end(), len(text))
    return (left, sign[0], right) if left and right else None


def _sum(text: str, start: int, end: int) -> Sum | None:
    """The sum between two places."""
    if text[start:end].strip(" ") == "0":
        return Sum(())
    terms = []
    place = start
    while place < end:
        found = _TERM.match(text, place, end)
        if found is None or not (found["sign"] or place == start):
            return None
        number = _number(found)
        if number is None:
            return None
        groups = tuple(map(_names, found["groups"].split(";")))
        if found["kind"] == "H" and len(groups) > 1:
            return None
        given = _names(found["given"]) if found["given"] else ()
        column = found.start("kind") + 1
        quantity = QuantitySyntax(cast(Kind, found["kind"]), found["joint"], groups, given, column=column)
        terms.append((-number if found["sign"] == "-" else number, quantity))
        place = found.end()
    return Sum(tuple(terms)) if terms else None


def _number(found: re.Match[str]) -> Fraction | None:
    """What a term is multiplied by; None for what is not of ordinary size."""
    if found["above"]:
        number = Fraction(int(found["above"]), int(found["below"])) if int(found["below"]) else Fraction(0)
    elif found["number"]:
        number = Fraction(found["number"])
    else:
        return Fraction(1)
    return number if ordinary(number) else None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))
