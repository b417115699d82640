"""Families of sets among which a textbook would look for a proof: those that occur, their lattice, the chain rule along the variables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import or_

from ibsym.proving.entropic import Elemental, Mask

LATTICE = 48
"""How many sets a lattice may have."""
LARGEST = 100
"""How many sets a family may have."""
MANY = 300
"""How many where all else would be a program over the sets of more than a few variables."""


def families(
    claimed: Sequence[Mask], premised: Sequence[Mask], atoms: Sequence[Mask], largest: int = LARGEST
) -> Iterator[list[Mask]]:
    """Smaller families first; a lattice where it is small, else the chain rule: A and P, A or P for every initial part P."""
    occurring = [m for m in (*claimed, *premised) if m]
    seen: set[tuple[Mask, ...]] = set()
    for family in (
        lattice(claimed),
        lattice(occurring),
        _ordered(occurring),
        *chain_rule(occurring, atoms),
        *chain_rule(occurring, atoms[::-1]),
    ):
        if family is not None and tuple(family) not in seen and len(family) <= largest:
            seen.add(tuple(family))
            yield family


def lattice(sets: Iterable[Mask]) -> list[Mask] | None:
    """The sets with their unions and intersections; None where these are many."""
    given = list(dict.fromkeys(m for m in sets if m))
    found = dict.fromkeys((0, *given))
    pending = list(given)
    while pending:
        m = pending.pop(0)
        new = dict.fromkeys(k for other in found for k in (m & other, m | other) if k not in found)
        found.update(new)
        pending += new
        if len(found) > LATTICE:
            return None
    return _ordered(found)


def chain_rule(sets: Sequence[Mask], atoms: Sequence[Mask]) -> Iterator[list[Mask]]:
    """A with the initial parts of one order of the variables, cut out and then added too: H(A) = sum H(a | A before a).

    A cover of the variables by some sets, several times over, is bounded among these (Chung, Graham, Frankl & Shearer 1986).
    """
    initial = list(accumulate(atoms, or_, initial=0))
    meets = [m & p for m in dict.fromkeys(sets) for p in initial]
    joins = [m | p for m in dict.fromkeys(sets) for p in initial]
    yield _ordered((*sets, *initial, *meets))
    yield _ordered((*sets, *initial, *meets, *joins))


def _ordered(sets: Iterable[Mask]) -> list[Mask]:
    return sorted({0, *sets}, key=lambda m: (m.bit_count(), m))


def among(sets: Sequence[Mask], discrete: bool) -> Iterator[Elemental]:
    """I(A;B|C) for two sets that overlap in C and whose union is there too; H(B|A) for A next inside B, discrete."""
    known = set(sets)
    for i, b in enumerate(sets):
        inside: list[Mask] = []
        for a in reversed(sets[:i]):
            if a & ~b:
                if a & b in known and a | b in known:
                    yield Elemental(a & ~b, b & ~a, a & b)
            elif discrete and all(a & ~other for other in inside):
                inside.append(a)
                yield Elemental(b & ~a, 0, a)
