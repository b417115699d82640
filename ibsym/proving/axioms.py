"""Inequalities of entropies that are true and not of Shannon type, over any four sets of variables and any condition.

Each is a multiple of Ingleton's expression plus informations. All were found with the copy lemma; with one to three copies the tests
prove Zhang and Yeung's, all of Dougherty, Freiling and Zeger's and the first three of Matus' anew.
Let [AB] = I(A;B|C) + I(A;B|D) + I(C;D) - I(A;B).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

from ibsym.errors import unknown
from ibsym.proving.demand import Space
from ibsym.proving.entropic import Mask, information
from ibsym.terms.vectors import Vector, combine

A, B, C, D = 1, 2, 4, 8
Part = tuple[int, tuple[int, int, int]]
"""A multiple of I(a;b|c), each set a sum of the four letters."""

INGLETON: tuple[Part, ...] = ((1, (A, B, C)), (1, (A, B, D)), (1, (C, D, 0)), (-1, (A, B, 0)))
LARGEST_S = 20


@dataclass(frozen=True)
class Axiom:
    """sum of multiples of I(a;b|c) >= 0 for all A, B, C, D."""

    name: str
    source: str
    parts: tuple[Part, ...]

    def vector(self, sets: tuple[Mask, Mask, Mask, Mask], given: Mask = 0) -> Vector:
        """The inequality for four sets of variables, given a fifth."""

        def union(letters: int) -> Mask:
            total = 0
            for k, mask in enumerate(sets):
                total |= mask if letters >> k & 1 else 0
            return total

        return combine(*((x, information(union(a), union(b), union(c) | given)) for x, (a, b, c) in self.parts))


def _multiple(s: int, *rest: Part) -> tuple[Part, ...]:
    return (*((s * x, sets) for x, sets in INGLETON), *rest)


def _listed(s: int, abc: int, acb: int, bca: int, cda: int = 0, abd: int = 0, adb: int = 0) -> tuple[Part, ...]:
    parts = ((abc, (A, B, C)), (acb, (A, C, B)), (bca, (B, C, A)), (cda, (C, D, A)), (abd, (A, B, D)), (adb, (A, D, B)))
    return _multiple(s, *(p for p in parts if p[0]))


DFZ = "Dougherty, Freiling & Zeger 2011, Non-Shannon information inequalities in four random variables"
NAMED: dict[str, tuple[Axiom, ...]] = {
    "zhang-yeung": (
        Axiom(
            "Zhang-Yeung",
            "Zhang & Yeung 1998, On characterization of entropy function via information inequalities",
            ((1, (A, B, 0)), (1, (A, C | D, 0)), (3, (C, D, A)), (1, (C, D, B)), (-2, (C, D, 0))),
        ),
    ),
    "dougherty-freiling-zeger": (
        Axiom("Dougherty-Freiling-Zeger 1", DFZ, _listed(2, 2, 2, 1, abd=1, adb=1)),
        Axiom("Dougherty-Freiling-Zeger 2", DFZ, _listed(2, 1, 3, 1, abd=3, adb=2)),
        Axiom("Dougherty-Freiling-Zeger 3", DFZ, _listed(3, 3, 3, 1, abd=3, adb=3)),
        Axiom("Dougherty-Freiling-Zeger 4", DFZ, _listed(2, 2, 2, 1, cda=3)),
        Axiom("Dougherty-Freiling-Zeger 5", DFZ, _listed(2, 1, 3, 2)),
    ),
}
_MATUS = re.compile(r"matus[(:=-]?(?P<s>\d{1,3})\)?")


def matus(s: int) -> Axiom:
    """s [AB] + I(B;C|A) + s(s+1)/2 (I(A;C|B) + I(A;B|C)) >= 0; s = 1 is Zhang and Yeung's."""
    t = s * (s + 1) // 2
    source = "Matus 2007, Infinitely many information inequalities"
    return Axiom(f"Matus {s}", source, _multiple(s, (1, (B, C, A)), (t, (A, C, B)), (t, (A, B, C))))


def axioms(names: Iterable[str]) -> list[Axiom]:
    """The axioms of these names: those of :data:`NAMED`, and ``matus-1``, ``matus-2``, ..."""
    found: list[Axiom] = []
    for name in names:
        numbered = _MATUS.fullmatch(name)
        if name in NAMED:
            found += NAMED[name]
        elif numbered and 1 <= int(numbered["s"]) <= LARGEST_S:
            found.append(matus(int(numbered["s"])))
        else:
            raise unknown("axiom", name, [*NAMED, "matus-1", f"matus-{LARGEST_S}"], key="axioms")
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Instance:
    """An axiom at four sets of variables, given a fifth."""

    axiom: Axiom
    sets: tuple[Mask, Mask, Mask, Mask]
    given: Mask

    @property
    def vector(self) -> Vector:
        """The instance as joint entropies; it is never negative."""
        return self.axiom.vector(self.sets, self.given)


MAX_INSTANCES = 400_000


class Instances:
    """Every instance of some axioms over unions of atoms: sets may overlap while these are few and variables discrete."""

    def __init__(self, space: Space, axioms: Iterable[Axiom], discrete: bool):
        import numpy as np

        self.space, self.axioms = space, tuple(axioms)
        self.choices = np.array(list(_choices(len(space.atoms), discrete)), dtype=np.int64).reshape(-1, 5)

    def violated(self, h: Any, unknown: Any, below: float, most: int) -> list[tuple[Instance, Vector]]:
        """The instances that a point of entropies violates most."""
        import numpy as np

        found: list[tuple[float, Instance]] = []
        sets, given = self.choices[:, :4], self.choices[:, 4]
        for axiom in self.axioms:
            union = {}
            for letters in {m for _, part in axiom.parts for m in part}:
                union[letters] = np.zeros(len(sets), dtype=np.int64)
                for k in range(4):
                    if letters >> k & 1:
                        union[letters] |= sets[:, k]
            slack = np.zeros(len(sets))
            for x, (a, b, c) in axiom.parts:
                under = union[c] | given
                slack += x * (h[union[a] | under] + h[union[b] | under] - h[union[a] | union[b] | under] - h[under])
            candidates = np.nonzero(slack < below)[0]
            for k in candidates[np.argsort(slack[candidates], kind="stable")[:most]]:
                a, b, c, d, g = (self.space.masks[int(m)] for m in self.choices[k])
                found.append((float(slack[k]), Instance(axiom, (a, b, c, d), g)))
        found.sort(key=lambda item: item[0])
        return [(instance, instance.vector) for _, instance in found[:most]]


@lru_cache(8)
def _choices(n: int, discrete: bool) -> tuple[tuple[int, ...], ...]:
    """Quintuples A, B, C, D, condition of sets of n atoms: the single atoms first, unions, conditions, overlaps while they are few.

    Sets overlap for discrete variables only: a variable with a density has no finite information about itself.
    """
    found: dict[tuple[int, ...], None] = {}
    for chosen in permutations([1 << k for k in range(n)], 4):
        found[(*chosen, 0)] = None
    disjoint = 6**n
    if disjoint <= MAX_INSTANCES:
        for code in range(disjoint):
            sets = [0] * 6
            for k in range(n):
                code, place = divmod(code, 6)
                sets[place] |= 1 << k
            if all(sets[:4]):
                found[tuple(sets[:5])] = None
    if discrete and (1 << n) - 1 >= 15 and ((1 << n) - 1) ** 4 <= MAX_INSTANCES:
        for given in range(1 << n):
            inside = [m for m in range(1, 1 << n) if not m & given]
            for a in inside:
                for b in inside:
                    for c in inside:
                        for d in inside:
                            found[a, b, c, d, given] = None
    return tuple(found)
