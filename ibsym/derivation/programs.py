"""Programs over rows, computable terms and equations: all of them at once, or within few variables and with the rows that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias, TypeVar

from ibsym.derivation.model import Computable
from ibsym.errors import SolverError
from ibsym.facts import Side
from ibsym.proving.contexts import Contexts
from ibsym.proving.elemental import ElementalInequality, InequalityKind
from ibsym.proving.pricing import Pricing
from ibsym.proving.program import Column, solve
from ibsym.spec.graphs import Names
from ibsym.terms.measures import Term
from ibsym.terms.vectors import Coordinate, Coordinates, Equation, LogDensity, Span, Vector, combine

TIER_1, TIER_2, TIER_3, TIER_4, RANK, EQUATION = 1e6, 1e4, 1e2, 1.0, 1e-3, 1e-4
DOMINANCE, CAP = 1e8, 100
WHOLE = 2000
"""Up to which size of a spec one program over all of its variables holds every row."""

_R = TypeVar("_R")
Found: TypeAlias = tuple[
    tuple[tuple[Fraction, ElementalInequality], ...],
    tuple[tuple[Fraction, Computable], ...],
    tuple[tuple[Fraction, Equation], ...],
]


def _scope(vector: Vector) -> Names:
    """The variables that a vector's log-densities are of."""
    return frozenset(v for key in vector if isinstance(key, LogDensity) for v in key.scope)


def _tag(system: int, vector: Vector) -> Vector:
    return {(system, *key): value for key, value in vector.items()}


def price(kind: InequalityKind, learned: bool) -> float:
    """What a row's multiplier costs, by the order of preference."""
    match kind:
        case InequalityKind.ESTIMATOR:
            return 0.0
        case InequalityKind.RELATIVE_ENTROPY:
            return TIER_4 if learned else TIER_3
    return TIER_1


def used(
    answer: Sequence[Fraction], cone: Sequence[_R], items: Sequence[Computable], equations: Sequence[Equation]
) -> tuple[tuple[tuple[Fraction, _R], ...], tuple[tuple[Fraction, Computable], ...], tuple[tuple[Fraction, Equation], ...]]:
    """What has a multiplier other than zero."""
    n, m = len(cone), len(items)
    return (
        tuple((x, row) for x, row in zip(answer[:n], cone, strict=True) if x),
        tuple((x, item) for x, item in zip(answer[n : n + m], items, strict=True) if x),
        tuple((x, e) for x, e in zip(answer[n + m :], equations, strict=True) if x),
    )


def spent(found: Found) -> float:
    """What a plan costs, up to the order among equal ones."""
    rows, items, _ = found
    return sum(float(x) * price(r.kind, r.learned) for x, r in rows) + sum(abs(float(x)) * c.cost for x, c in items)


def _useful(found: Found) -> bool:
    """Whether a plan is exact, or something in it can be learned."""
    rows, items, _ = found
    return not rows or any(c.learned for _, c in items)


def priced(
    sign: int, cone: Sequence[ElementalInequality], items: Sequence[Computable], equations: Sequence[Equation]
) -> list[Column]:
    """Columns of ``term + sign * sum lambda g - sum t c - sum e E = 0``: rows, computable terms, equations."""
    size = max(1, len(cone) + len(items))
    columns = [Column(combine((sign, r.vector)), price(r.kind, r.learned) + RANK * (1 + k / size)) for k, r in enumerate(cone)]
    for k, c in enumerate(items, len(cone)):
        cost = 0.0 if c.estimated else c.cost + RANK * (1 + k / size)
        columns.append(Column(combine((-1, c.vector)), cost, free=True))
    return columns + [Column(combine((-1, e.vector)), EQUATION, free=True) for e in equations]


def undominated(
    target: Vector,
    cone: Sequence[Vector],
    items: Sequence[Computable],
    equations: Sequence[Vector],
    columns: Sequence[Column],
    answer: list[Fraction],
    span: Span,
) -> list[Fraction]:
    """The answer, or another proved bound whose gap is smaller by non-negative rows.

    The second system of coordinates says gap - gap' = sum mu g with mu >= 0, and the program makes sum mu large. A cheaper
    bound can only be dominated by one that uses terms of tier 2, so nothing is solved where there are none. An estimate
    is no bound and dominates none. Rows that are zero by the equations, the ``span``, are nothing to win.
    """
    gap = combine(*zip(answer, cone, strict=False))
    tempting = any(c.cost and not c.estimated and not answer[len(cone) + k] for k, c in enumerate(items))
    if not gap or not tempting:
        return answer
    both = [
        Column(_tag(0, c.vector) | _tag(1, combine((-1, cone[k])) if k < len(cone) else {}), c.cost, c.free)
        for k, c in enumerate(columns)
    ]
    for k, item in enumerate(items, len(cone)):
        if item.estimated and not answer[k]:
            both[k] = Column({})
    cap: Coordinate = ("cap",)
    live = [row for row in cone if span.reduce(row)]
    both += [Column(_tag(1, combine((-1, row))) | {cap: 1}, -DOMINANCE) for row in live]
    both += [Column(_tag(1, e), EQUATION, free=True) for e in equations]
    both.append(Column({cap: 1}))
    found = solve(_tag(0, target) | _tag(1, gap) | {cap: -CAP}, both)
    if found is None or not any(found[len(columns) : len(columns) + len(live)]) or not found[-1]:
        return answer
    return found[: len(columns)]


class Widening:
    """Plans of large specs: within the variables of a term, then with their parents, and so on."""

    def __init__(self, coordinates: Coordinates):
        self.coordinates, self.spec = coordinates, coordinates.spec
        self._contexts: dict[tuple[tuple[str, ...], Names, bool], Contexts] = {}
        self.whole = coordinates.size <= WHOLE

    def _context(self, samplers: tuple[str, ...], within: Names, discrete: bool = False) -> Contexts:
        """The same rows as arrays, of the variables within a set, once."""
        key = samplers, within, discrete
        if key not in self._contexts:
            kept = (lambda _: True) if discrete else self.spec.discrete
            self._contexts[key] = Contexts(self.coordinates, samplers, kept, within)
        return self._contexts[key]

    def _neighbourhoods(self, target: Vector, samplers: tuple[str, ...]) -> Iterator[Names]:
        """The variables of a term, then with their parents in any joint, and so on to all that the samplers have."""
        joints = self.spec.joints.values()
        every = frozenset(v for s in samplers for v in self.spec.joints[s].variables)
        inside = _scope(target) & every
        while True:
            yield inside
            parents = frozenset(p for j in joints for v in inside if v in j.by_variable for p in j.by_variable[v].given)
            wider = inside | parents & every
            if wider == inside:
                if inside != every:
                    yield every
                return
            inside = wider

    def plan(
        self,
        term: Term,
        side: Side,
        given: Sequence[ElementalInequality],
        items: Sequence[Computable],
        samplers: tuple[str, ...],
        discrete: bool,
        bounding: bool,
        widest: float,
    ) -> Found | None:
        """The plan within few variables, each program with the rows that its dual asks for.

        More variables are looked at until a plan is useful and drops no information, or until they make it no cheaper.
        """
        target = self.coordinates.vector(term)
        found: Found | None = None
        if self.whole:
            every = frozenset(v for s in samplers for v in self.spec.joints[s].variables)
            contexts = self._context(samplers, every, discrete)
            return self._cheapest(target, side, given, items, contexts, samplers, bounding)
        for within in self._neighbourhoods(target, samplers):
            contexts = self._context(samplers, within, discrete)
            inside = [c for c in items if _scope(c.vector) <= within]
            wanted = [r for r in given if _scope(r.vector) <= within]
            narrow = self._cheapest(target, side, wanted, inside, contexts, samplers, bounding)
            before = found
            if narrow is not None and (found is None or spent(narrow) < spent(found) - RANK):
                found = narrow
            settled = found is not None and _useful(found) and (found is before or spent(found) < TIER_1)
            if settled or len(within) >= widest:
                break
        return found

    def _cheapest(
        self,
        target: Vector,
        side: Side,
        given: Sequence[ElementalInequality],
        items: Sequence[Computable],
        contexts: Contexts,
        samplers: tuple[str, ...],
        bounding: bool,
    ) -> Found | None:
        """The cheapest multipliers in the coordinates that independences leave."""
        reduction = self.coordinates.reduction
        shared = [e for e in self.coordinates.factor_equations(samplers) if _scope(e.vector) <= contexts.within]
        program = Pricing(contexts, target, side.sign, priced(side.sign, (), items, shared), price, RANK)
        for row in given:
            program.add(row, price(row.kind, row.learned) + RANK)
        answer = program.listed(bounding) if self.whole else program.grown(bounding)
        if answer is None:
            return None
        n = len(program.columns)
        columns = [*program.master.columns[n:], *program.master.columns[:n]]
        answer = [*answer[n:], *answer[:n]]
        if bounding:
            cone = [combine((side.sign, c.vector)) for c in columns[: len(program.rows)]]
            left = [reduction.apply(e.vector) for e in shared]
            answer = undominated(program.master.target, cone, items, left, columns, answer, Span(left))
        rows, computed, factors = used(answer, program.rows, items, shared)
        gaps = tuple((x, write()) for x, write in rows)
        parts = (
            [(side.sign * x, r.vector) for x, r in gaps],
            [(-x, c.vector) for x, c in computed],
            [(-x, e.vector) for x, e in factors],
        )
        rest, independences = reduction.explain(combine((1, target), *(p for some in parts for p in some)))
        if rest:
            raise SolverError("the multipliers do not add up to the term")
        return gaps, computed, (*factors, *((Fraction(x), e) for x, e in independences))
