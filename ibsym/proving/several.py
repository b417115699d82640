"""Claims about several joints, in cross-entropy space: relative entropies between them are further rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

from ibsym.errors import SolverError
from ibsym.proving import constants
from ibsym.proving.attempts import Premise
from ibsym.proving.claims import Atom, Constant, Linear, zero_quantity
from ibsym.proving.elemental import ElementalInequality, elemental_rows
from ibsym.proving.notation import Chain
from ibsym.proving.problem import Item, Problem, Proof, signed_sum, written
from ibsym.proving.program import Column, decided, proposed
from ibsym.spec.grammar import DensitySyntax, QuantitySyntax, parse
from ibsym.spec.model import Spec
from ibsym.terms.reading import Reader
from ibsym.terms.vectors import Coordinate, Coordinates, LogDensity, Vector, combine


@lru_cache(maxsize=4)
def _space(
    names: tuple[str, ...], heads: tuple[str, ...], continuous: bool
) -> tuple[Spec, Coordinates, tuple[ElementalInequality, ...]]:
    """Joints of the same variables, their coordinates and what holds in them whatever is presumed: a claim is read several times."""
    variables = dict.fromkeys(names, "real[D]" if continuous else "binary[D]")
    joined = ",".join(variables)
    keys = {
        "name": "claim",
        "objective": f"minimize H_{heads[0]}({','.join(v[:1].upper() + v[1:] for v in variables)})",
        "variables": variables,
        "joints": {h: f"{h}({joined})" for h in heads},
        "families": {f"{h}({joined})": "implicit" for h in heads},
    }
    spec = Spec(**keys)
    coordinates = Coordinates(spec)
    return spec, coordinates, tuple(elemental_rows(coordinates, heads))


class Several:
    """Claims about several joints, in cross-entropy space: relative entropies between them are further rows."""

    def __init__(self, problem: Problem, continuous: bool):
        self.problem = problem
        self.heads = tuple(problem.joints) or ("q",)
        self.spec, self.coordinates, rows = _space(tuple(n.casefold() for n in problem.variables), self.heads, continuous)
        self.reader = Reader(self.spec, "claim")
        self.rows = list(rows)
        self.premises: list[Premise] = []
        for chain in problem.chains:
            self.premises += self._chain(chain)
        for function in problem.functions:
            self.premises.append(Premise(self.vector([(Fraction(1), zero_quantity(function))]), function.text, True))
        for statement in problem.premises:
            self.premises.append(Premise(self.vector(statement.form), statement.text, statement.zero))

    def _chain(self, chain: Chain) -> Iterable[Premise]:
        """log r(a,c|b) = log r(a|b) + log r(c|b) under every joint, for every split of the chain."""
        joint = chain.joint or self.heads[0]
        groups = [tuple(n.casefold() for n in g) for g in chain.groups]
        for middle in range(1, len(groups) - 1):
            before = [n for g in groups[:middle] for n in g]
            after = [n for g in groups[middle + 1 :] for n in g]
            for a in _nonempty(before):
                for b in _nonempty(after):
                    for sampler in self.heads:
                        log = self.coordinates.log
                        vector = combine(
                            (1, log(sampler, joint, a, (*b, *groups[middle]))),
                            (-1, log(sampler, joint, a, groups[middle])),
                        )
                        yield Premise(vector, chain.text, True)

    def vector(self, terms: Linear) -> Vector:
        """A sum of terms in coordinates."""
        return combine(*((x, self.quantity(q)) for x, q in terms))

    def quantity(self, q: Atom) -> Vector:
        """One term in coordinates."""
        if isinstance(q, Constant):
            return constants.vector(q)
        return self.coordinates.vector(self.reader.term(self._named(q)))

    def _named(self, q: QuantitySyntax) -> QuantitySyntax:
        """The quantity with its variables as they were declared for the reader."""
        up = {n.casefold(): n.casefold()[:1].upper() + n.casefold()[1:] for n in self.problem.variables}

        def density(d: DensitySyntax) -> DensitySyntax:
            return DensitySyntax(d.head, tuple(v.casefold() for v in d.of), tuple(v.casefold() for v in d.given), d.column)

        groups = tuple(tuple(up[v.casefold()] for v in g) for g in q.groups)
        given = tuple(up[v.casefold()] for v in q.given)
        first = None if q.first is None else density(q.first)
        joint = q.joint if q.joint is not None or q.kind == "E" or q.first is not None else self.heads[0]
        return QuantitySyntax(q.kind, joint, groups, given, first, tuple(map(density, q.second)), q.generator, q.column)

    def prove(self, terms: Linear, deadline: float, thorough: bool = True, otherwise: Sequence[Linear] = ()) -> Proof | None:
        """0 <= the sum of the terms unless one of the others is positive, or None where that is not of Shannon type."""
        cases = [
            Premise(self.vector([(-x, q) for x, q in form]), f"{written(form)} <= 0", False, "the other case")
            for form in otherwise
        ]
        target = self.vector(terms)
        used = self._multipliers(target, [*self.premises, *cases], deadline)
        if used is None:
            return None
        premises, rows = used
        left = combine((1, target), *((-x, p.vector) for x, p in premises), *((-x, r.vector) for x, r in rows))
        if any(not constants.is_constant(key) for key in left) or constants.sign(constants.logs(left)) < 0:
            raise SolverError(f"the constants are too near to one another: {left}")
        items = [Item(x, p.text, p.reason, zero=p.zero) for x, p in premises]
        items += [Item(x, str(r.term), r.kind.value) for x, r in rows]
        if left:
            items.append(Item(Fraction(1), signed_sum((v, constants.name(k)) for k, v in left.items()), "a number"))
        expanded = signed_sum((v, constants.name(k) if constants.is_constant(k) else _log(k)) for k, v in target.items())
        return Proof(written(terms), expanded, tuple(items))

    def _multipliers(
        self, target: Vector, premises: list[Premise], deadline: float
    ) -> tuple[list[tuple[Fraction, Premise]], list[tuple[Fraction, ElementalInequality]]] | None:
        columns = [Column(combine((-1, r.vector)), 1.0) for r in self.rows]
        columns += [Column(combine((-1, constants.merged(p.vector))), 0.01, free=p.zero) for p in premises]
        rest, left, n = constants.merged(target), max(0.01, deadline - time.monotonic()), len(self.rows)
        answer = None
        if any(constants.is_constant(key) for v in (target, *(p.vector for p in premises)) for key in v):
            rest = constants.capped(rest)
            columns = [constants.cheap(c) for c in columns]
            columns += [
                Column({k: -x if k == constants.ONE else x for k, x in c.vector.items()}, c.cost) for c in constants.surplus()
            ]
            rough = proposed(rest, columns, left)
            if rough is None:
                return None
            answer = constants.apart(rest, columns, [*rough[:-2], 0.0, 0.0])
        if answer is None:
            answer = decided(rest, columns, left)
        if answer is None:
            return None
        given = [(x, p) for x, p in zip(answer[n:], premises, strict=False) if x]
        return given, [(x, r) for x, r in zip(answer, self.rows, strict=False) if x]

    def contradiction(self, deadline: float) -> bool:
        """Whether the premises have it that 1 <= 0."""
        if not any(constants.is_constant(key) for p in self.premises for key in p.vector):
            return False
        return self._multipliers({constants.ONE: -1}, self.premises, deadline) is not None


def _log(coordinate: Coordinate) -> str:
    """A coordinate <J|R(S)> as E_J[log r(s)]; every joint here is one factor."""
    assert isinstance(coordinate, LogDensity)
    sampler, model = heads(coordinate)
    return f"E_{sampler}[log {model}({','.join(coordinate.scope)})]"


def heads(coordinate: LogDensity) -> tuple[str, str]:
    """Which joint samples, and which is evaluated: each is the one factor of all variables."""
    (sampler,), (model, *_) = coordinate.sampler, coordinate.model
    found = [parse(str(factor), "density") for factor in (sampler, model)]
    first, second = (f.head for f in found if isinstance(f, DensitySyntax))
    return first, second


def _nonempty(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)
