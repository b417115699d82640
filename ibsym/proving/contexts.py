"""Elemental inequalities of large joints, priced all at once and written down only where a program's dual asks for them.

Every row is E_J of a difference of log-densities at four sets: in arrays that have one place a set, all rows of one kind are four
lookups. The sets are those of :mod:`ibsym.terms.reduction`, so the arrays are as long as a joint has subsets, and the coordinates few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from ibsym.proving.elemental import ElementalInequality, InequalityKind, relative_entropy_row
from ibsym.spec.graphs import Joint, Names
from ibsym.terms.measures import Density, Entropy, MutualInformation
from ibsym.terms.reading import density
from ibsym.terms.reduction import Table
from ibsym.terms.vectors import Coordinate, Coordinates, Rational, Vector, combine


class Values:
    """h of every set of one pair of joints, from h of the coordinates that are left."""

    def __init__(self, tables: tuple[tuple[Rational, Table], ...], places: dict[Coordinate, int]):
        import numpy as np

        self.table = tables[0][1]
        self.entries: list[tuple[float, Any, Any, Any]] = []
        for weight, table in tables:
            data, columns, starts = [], [], [0]
            for vector in table.reduced:
                for key, value in vector.items():
                    columns.append(places.setdefault(key, len(places)))
                    data.append(float(value))
                starts.append(len(data))
            self.entries.append((float(weight), np.array(data), np.array(columns, dtype=np.int64), np.array(starts)))

    def at(self, h: Any) -> Any:
        """The array of all sets."""
        from scipy.sparse import csr_array

        size = len(self.entries[0][3]) - 1
        return sum(w * (csr_array((d, c, s), shape=(size, len(h))) @ h) for w, d, c, s in self.entries)


@dataclass(frozen=True)
class Block:
    """Rows of one kind: sum over ``signed`` arrays of sign * value at places, what decides their costs, and how one is written down.

    ``natural`` ones are where a person would begin. A row's ``turn`` is where a list would have it: by size, borrowed ones later, by
    sampler, kind, model and number, cross-entropies after the relative entropies that they belong to.
    """

    kind: InequalityKind
    signed: tuple[tuple[int, tuple[str, str], Any], ...]
    turn: tuple[Any, ...]
    learned: Any
    natural: Any
    write: Callable[[int], ElementalInequality]

    def offered(self, values: Mapping[tuple[str, str], Any]) -> Any:
        """What all rows are worth."""
        return sum(s * values[pair][places] for s, pair, places in self.signed)


class Contexts:
    """The blocks of some samplers, over the variables ``within`` a set."""

    def __init__(self, coordinates: Coordinates, samplers: tuple[str, ...], discrete: Callable[[str], bool], within: Names):
        self.coordinates, self.spec, self.discrete, self.within = coordinates, coordinates.spec, discrete, within
        self.places: dict[Coordinate, int] = {}
        self.values: dict[tuple[str, str], Values] = {}
        self.blocks: list[Block] = []
        self.listed: list[ElementalInequality] = []
        for k, name in enumerate(samplers):
            own = self._values(name, name)
            assert own is not None
            self.blocks += [*self._informations(k, name, own), *self._entropies(k, name, own)]
            for place, model in enumerate(self.spec.joints.values()):
                if model.name != name:
                    self.listed += self._declared(name, model)
                    other = self._values(name, model.name)
                    if other is not None:
                        self.blocks += self._relative((k, place), name, model, own, other)

    @cached_property
    def ranks(self) -> list[Any]:
        """Where the rows of each block stand in one order of all, from 0 to 1."""
        import numpy as np

        columns = [np.broadcast_arrays(*b.turn) for b in self.blocks]
        if not columns:
            return []
        keys = [np.concatenate(part) for part in zip(*columns, strict=True)]
        place = np.empty(len(keys[0]))
        place[np.lexsort(keys[::-1])] = np.arange(len(place)) / max(1, len(place))
        return list(np.split(place, np.cumsum([len(c[0]) for c in columns])[:-1]))

    def _values(self, sampler: str, model: str) -> Values | None:
        pair = sampler, model
        tables = self.coordinates.reduction.tables(*pair, self.within)
        if not tables:
            return None
        if pair not in self.values:
            self.values[pair] = Values(tables, self.places)
        return self.values[pair]

    def reduced(self, block: Block, row: int) -> Vector:
        """A row in the coordinates that are left."""
        parts = [
            (s, w, t, int(at[row]))
            for s, pair, at in block.signed
            for w, t in self.coordinates.reduction.tables(*pair, self.within)
        ]
        return combine(*((s * w, table.reduced[mask]) for s, w, table, mask in parts))

    def at(self, dual: dict[Coordinate, float]) -> dict[tuple[str, str], Any]:
        """h of every set of every pair; what the dual does not know is zero."""
        import numpy as np

        h = np.zeros(max(1, len(self.places)))
        for key, place in self.places.items():
            h[place] = dual.get(key, 0.0)
        return {pair: values.at(h) for pair, values in self.values.items()}

    def _names(self, table: Table, mask: int) -> tuple[str, ...]:
        inside = {v for i, v in enumerate(table.variables) if mask >> i & 1}
        return self.spec.ordered(inside | table.model.external)

    def _informations(self, sampler: int, name: str, own: Values) -> Iterator[Block]:
        import numpy as np

        n = len(own.table.variables)
        every = _by_size(n)
        if n < 2:
            return
        free = [every[(every >> i & 1 | every >> j & 1) == 0] for i, j in combinations(range(n), 2)]
        c = np.concatenate(free)
        a, b = (
            np.concatenate([np.full(len(f), 1 << pair[k]) for f, pair in zip(free, combinations(range(n), 2), strict=True)])
            for k in (0, 1)
        )

        def write(row: int) -> ElementalInequality:
            left, right = (self._names(own.table, int(side[row])) for side in (a, b))
            term = MutualInformation(name, (left, right), self._names(own.table, int(c[row])))
            return ElementalInequality(term, InequalityKind.INFORMATION, self.coordinates.vector(term))

        natural = (c == 0) | (a | b | c == (1 << n) - 1)
        places = (1, a | b | c), (-1, a | c), (-1, b | c), (1, c)
        turn = (_counts(c), False, sampler, 1, 0, np.arange(len(c)), 0)
        yield Block(InequalityKind.INFORMATION, tuple((s, (name, name), p) for s, p in places), turn, None, natural, write)

    def _entropies(self, sampler: int, name: str, own: Values) -> Iterator[Block]:
        import numpy as np

        a, c = self._single(own.table, self.discrete)

        def write(row: int) -> ElementalInequality:
            term = Entropy(name, self._names(own.table, int(a[row])), self._names(own.table, int(c[row])))
            return ElementalInequality(term, InequalityKind.ENTROPY, self.coordinates.vector(term))

        if len(a):
            pair = (name, name)
            yield Block(
                InequalityKind.ENTROPY,
                ((-1, pair, a | c), (1, pair, c)),
                (_counts(c), False, sampler, 2, 0, np.arange(len(c)), 0),
                None,
                self._chained(own.table, a, c, (name,)),
                write,
            )

    def _declared(self, name: str, model: Joint) -> Iterator[ElementalInequality]:
        """Relative entropies to the declared factors of a joint that conditions on something."""
        for factor in model.factors if not model.rooted else ():
            if {*factor.of, *factor.given} <= self.within & set(self.spec.joints[name].variables):
                second = density(self.spec, model.name, factor.of, factor.given)
                yield from relative_entropy_row(self.coordinates, name, second, self.discrete)

    def _relative(self, turn: tuple[int, int], name: str, model: Joint, own: Values, other: Values) -> Iterator[Block]:
        """KL(J(a|C) || R(a|C)), and -E_J log R(a|C) where a is discrete."""
        import numpy as np

        a, c = self._single(other.table, lambda _: True)
        if not len(a):
            return
        outside = own.table.mask(model.external)
        inside = np.full(1 << len(other.table.variables), outside, dtype=np.int64)
        every = np.arange(len(inside))
        for i, v in enumerate(other.table.variables):
            inside |= (every >> i & 1) * own.table.mask((v,))
        learned = self._learned(other.table, a, c)
        chained = self._chained(other.table, a, c, (name, model.name))

        def second(row: int) -> Density:
            (of,) = (v for i, v in enumerate(other.table.variables) if int(a[row]) >> i & 1)
            return density(self.spec, model.name, (of,), self._names(other.table, int(c[row])))

        def write(row: int) -> ElementalInequality:
            return next(relative_entropy_row(self.coordinates, name, second(row), self.discrete))

        def write_cross(rows: Any) -> Callable[[int], ElementalInequality]:
            return lambda row: list(relative_entropy_row(self.coordinates, name, second(int(rows[row])), self.discrete))[1]

        sampler, place = turn
        sizes, borrowed, number = _counts(c) + len(model.external), self._borrowed(other.table, a, c), np.arange(len(c))
        model_side, own_side = (name, model.name), (name, name)
        yield Block(
            InequalityKind.RELATIVE_ENTROPY,
            ((1, own_side, inside[a | c]), (-1, own_side, inside[c]), (-1, model_side, a | c), (1, model_side, c)),
            (sizes, borrowed, sampler, 0, place, number, 0),
            learned,
            chained,
            write,
        )
        which = [1 << i for i, v in enumerate(other.table.variables) if self.discrete(v)]
        rows = np.nonzero(np.isin(a, which))[0]
        if len(rows):
            places = (-1, model_side, (a | c)[rows]), (1, model_side, c[rows])
            later = (sizes[rows], borrowed[rows], sampler, 0, place, number[rows], 1)
            yield Block(InequalityKind.CROSS_ENTROPY, places, later, None, chained[rows], write_cross(rows))

    def _single(self, table: Table, kept: Callable[[str], bool]) -> tuple[Any, Any]:
        """Every variable with every set of the others."""
        import numpy as np

        every = _by_size(len(table.variables))
        contexts = [(1 << i, every[every >> i & 1 == 0]) for i, v in enumerate(table.variables) if kept(v)]
        if not contexts:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return np.concatenate([np.full(len(c), a) for a, c in contexts]), np.concatenate([c for _, c in contexts])

    def _chained(self, table: Table, a: Any, c: Any, joints: Iterable[str]) -> Any:
        """Whether C is nothing, all others, the parents of a, or what comes before a in a joint: the chain rule's own contexts."""
        import numpy as np

        found = (c == 0) | (a | c == (1 << len(table.variables)) - 1)
        for joint in map(self.spec.joints.__getitem__, joints):
            order = joint.order()
            for i, v in enumerate(table.variables):
                parents = joint.by_variable[v].given if v in joint.by_variable else ()
                before = table.mask(order[: order.index(v)]), table.mask(parents)
                found |= (a == 1 << i) & np.isin(c, before)
        return found

    def _borrowed(self, table: Table, a: Any, c: Any) -> Any:
        """Whether a row's second argument is a factor of the joint that is declared under another joint's name."""
        import numpy as np

        found = np.zeros(len(a), dtype=bool)
        for factor in table.model.factors:
            inside = len(factor.of) == 1 and {*factor.of, *factor.given} <= {*table.variables, *table.model.external}
            if inside and str(Density(table.model.name, factor.of, factor.given)) not in self.spec.factors:
                found |= (a == table.mask(factor.of)) & (c == table.mask(factor.given))
        return found

    def _learned(self, table: Table, a: Any, c: Any) -> Any:
        """Whether the density of a given C depends on a learned factor, for every row."""
        import numpy as np

        place = table.connections.place
        learned = sum(1 << place["factor", f.text] for f in table.model.factors if f.learned)
        found = np.zeros(len(a), dtype=bool)
        for i, v in enumerate(table.variables):
            rows = a == 1 << i
            reached = table.connections.reached(place[v])[table.conditioners[c[rows]]]
            found[rows] = reached & learned != 0
        for factor in table.model.factors:
            if len(factor.of) == 1 and {*factor.of, *factor.given} <= {*table.variables, *table.model.external}:
                exact = (a == table.mask(factor.of)) & (c == table.mask(factor.given))
                found[exact] = factor.learned
        return found


def _by_size(n: int) -> Any:
    """All sets of n variables, smaller ones first, then as a list of combinations has them."""
    import numpy as np

    every = np.arange(1 << n)
    first = np.zeros_like(every)
    for i in range(n):
        first |= (every >> i & 1) << (n - 1 - i)
    return every[np.lexsort((-first, _counts(every)))]


def _counts(sets: Any) -> Any:
    import numpy as np

    total = np.zeros(len(sets), dtype=np.int64)
    rest = sets.copy()
    while rest.any():
        total += rest & 1
        rest = rest >> 1
    return total
