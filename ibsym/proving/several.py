"""Claims about several joints, in cross-entropy space: relative entropies between them are further rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from ibsym.errors import SpecError
from ibsym.proving.claims import Chain
from ibsym.proving.elemental import elemental_rows
from ibsym.proving.problem import Item, Problem, Proof, differences, signed_sum, text_of
from ibsym.proving.program import Column, decided
from ibsym.spec.grammar import DensitySyntax, QuantitySyntax
from ibsym.spec.model import Spec
from ibsym.terms.reading import Reader
from ibsym.terms.vectors import Coordinate, Coordinates, Vector, combine


class Several:
    """Claims about several joints, in cross-entropy space: relative entropies between them are further rows."""

    def __init__(self, problem: Problem, continuous: bool):
        self.problem = problem
        variables = dict.fromkeys((n.casefold() for n in problem.variables), "real[D]" if continuous else "binary[D]")
        joined = ",".join(variables)
        self.heads = problem.joints or ("q",)
        keys = {
            "name": "claim",
            "objective": f"minimize H_{self.heads[0]}({','.join(v[:1].upper() + v[1:] for v in variables)})",
            "variables": variables,
            "joints": {h: f"{h}({joined})" for h in self.heads},
            "families": {f"{h}({joined})": "implicit" for h in self.heads},
        }
        self.spec = Spec(**keys)
        self.coordinates = Coordinates(self.spec)
        self.reader = Reader(self.spec, "claim")
        self.rows = elemental_rows(self.coordinates, self.heads)
        self.premises: list[tuple[Vector, str, bool]] = []
        for chain in problem.chains:
            self.premises += self._chain(chain)
        for statement in problem.premises:
            zero = statement.syntax.relation == "="
            self.premises += [(self.vector(d), statement.text, zero) for d in differences(statement)[:1]]

    def _chain(self, chain: Chain) -> Iterable[tuple[Vector, str, bool]]:
        """log r(a,c|b) = log r(a|b) + log r(c|b) under every joint, for every split of the chain."""
        if chain.joint is None:
            raise SpecError(f"{chain.text!r} in which joint?", key="given", remedy=f'"{chain.text} in {self.heads[0]}"')
        groups = [tuple(n.casefold() for n in g) for g in chain.groups]
        for middle in range(1, len(groups) - 1):
            before = [n for g in groups[:middle] for n in g]
            after = [n for g in groups[middle + 1 :] for n in g]
            for a in _nonempty(before):
                for b in _nonempty(after):
                    for sampler in self.heads:
                        log = self.coordinates.log
                        vector = combine(
                            (1, log(sampler, chain.joint, a, (*b, *groups[middle]))),
                            (-1, log(sampler, chain.joint, a, groups[middle])),
                        )
                        yield vector, chain.text, True

    def vector(self, terms: Iterable[tuple[Fraction, QuantitySyntax]]) -> Vector:
        """A sum of terms in coordinates."""
        return combine(*((x, self.coordinates.vector(self.reader.term(self._named(q)))) for x, q in terms))

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

    def prove(self, terms: list[tuple[Fraction, QuantitySyntax]], deadline: float, thorough: bool = True) -> Proof | None:
        """Multipliers of the rows and premises that add up to the sum of terms; None where there are none."""
        target = self.vector(terms)
        columns = [Column(combine((-1, r.vector)), 1.0) for r in self.rows]
        columns += [Column(combine((-1, v)), 0.01, free=zero) for v, _, zero in self.premises]
        answer = decided(target, columns, time_limit=max(0.01, deadline - time.monotonic()))
        if answer is None:
            return None
        n = len(self.rows)
        items = [Item(x, text, "premise", zero=zero) for x, (_, text, zero) in zip(answer[n:], self.premises, strict=True) if x]
        items += [Item(x, str(r.term), r.kind.value) for x, r in zip(answer[:n], self.rows, strict=True) if x]
        expanded = signed_sum((v, _log(k)) for k, v in target.items())
        return Proof(signed_sum((x, text_of(q)) for x, q in terms), expanded, tuple(items))


def _log(coordinate: Coordinate) -> str:
    """A coordinate <J|R(S)> as E_J[log r(s)]; every joint here is one factor."""
    match coordinate:
        case ((sampler,), (model,), tuple(scope)):
            head, name = (str(factor).split("(", 1)[0] for factor in (sampler, model))
            return f"E_{head}[log {name}({','.join(map(str, scope))})]"
    raise AssertionError(coordinate)


def _nonempty(names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)
