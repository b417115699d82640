"""term + sign * sum lambda g - sum t c - sum e E = 0 over the rationals, lambda >= 0: certificates checked without their solver.

Nothing in a plan is believed: coordinates are computed again from the terms, conditional independences are read off the graphs
by moralisation (not by the method that found them), and every row must be of a kind that is never negative for its variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from itertools import combinations

import sympy

from ibsym.checking.estimates import admits, side
from ibsym.checking.separations import Separations
from ibsym.derivation.model import Plan
from ibsym.errors import AuditError
from ibsym.facts import Relation, Sign
from ibsym.proving.elemental import InequalityKind
from ibsym.spec.graphs import Joint
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Term,
    TotalCorrelation,
    is_ratio,
)
from ibsym.terms.premises import Independent, SharedFactor
from ibsym.terms.signs import sign
from ibsym.terms.vectors import LISTED, Coordinates, Equation, Rational, Span, Vector, combine


def separated(joint: Joint, a: Iterable[str], b: Iterable[str], given: Iterable[str]) -> bool:
    """Whether the moral graph of the ancestors of a, b and C has no path from a to b outside of C."""
    left, right, blocked = set(a), set(b), set(given)
    left, right = left - blocked, right - blocked
    factors = joint.ancestral_factors(left | right | blocked)
    cliques = [{*f.of, *f.given} for f in factors] + [set(joint.external)]
    reached, pending = set(left), list(left)
    while pending:
        variable = pending.pop()
        for clique in cliques:
            if variable in clique:
                pending += clique - reached - blocked
                reached |= clique - blocked
    return not reached & right


class Facts:
    """What the graphs of a spec say, worked out anew: coordinates, legal equations, legal rows."""

    def __init__(self, spec: Spec):
        self.spec = spec
        self.coordinates = Coordinates(spec)
        self._equations: dict[str, list[Equation]] = {}
        self._laws: dict[str, set[object]] = {}
        self._spans: dict[frozenset[str], Span] = {}

    def equations(self, sampler: str) -> list[Equation]:
        """Conditional independences and declared factors of every joint, under one sampler."""
        if sampler not in self._equations:
            self._equations[sampler] = list(self._legal(sampler))
        return self._equations[sampler]

    def _legal(self, sampler: str) -> Iterator[Equation]:
        scope = set(self.spec.joints[sampler].variables)
        for model in (j for j in self.spec.joints.values() if j.external <= scope):
            outside = tuple(model.external)
            shared = [v for v in model.variables if v in scope and v not in outside]
            for a, b in combinations(shared, 2):
                rest = [v for v in shared if v not in (a, b)]
                for size in range(len(rest) + 1):
                    for given in ((*some, *outside) for some in combinations(rest, size)):
                        if separated(model, (a,), (b,), given):
                            vector = combine(*self._independence(sampler, model.name, (a,), (b,), given))
                            if vector:
                                yield Equation(vector, Independent((a,), (b,), given, model.name))
            yield from self._shared(sampler, model)

    def _independence(
        self, sampler: str, model: str, a: tuple[str, ...], b: tuple[str, ...], given: tuple[str, ...]
    ) -> Iterator[tuple[Rational, Vector]]:
        """log R(a|b,C) - log R(a|C) under a sampler."""
        yield 1, self.coordinates.by_law(sampler, model, a, (*b, *given))
        yield -1, self.coordinates.by_law(sampler, model, a, given)

    def _shared(self, sampler: str, model: Joint) -> Iterator[Equation]:
        """The declared factors that the joint's own conditionals are."""
        for factor in model.factors:
            if {*factor.of, *factor.given} <= set(self.spec.joints[sampler].variables):
                own = self.coordinates.by_law(sampler, model.name, factor.of, factor.given)
                vector = combine((1, own), (-1, self.coordinates.log_factor(sampler, factor)))
                if vector:
                    yield Equation(vector, SharedFactor(Density.factor(factor), model.name))

    @property
    def samplers(self) -> list[str]:
        """The joints under which expectations can be taken."""
        return [j.name for j in self.spec.joints.values() if j.rooted]

    def legal(self, equation: Equation) -> bool:
        """Whether the graphs say that the equation holds, by the premise that it names."""
        match equation.premise:
            case Independent(a, b, given, name) if name in self.spec.joints:
                model = self.spec.joints[name]
                inside = {*a, *b, *given} <= set(model.variables) and model.external <= {*given}
                return inside and separated(model, a, b, given) and equation.vector in self._forms(model, a, b, given)
            case SharedFactor(_, name) if name in self.spec.joints:
                model = self.spec.joints[name]
                samplers = [s for s in self.samplers if model.external <= set(self.spec.joints[s].variables)]
                return any(equation == e for s in samplers for e in self._shared(s, model))
        return False

    def _forms(self, model: Joint, a: tuple[str, ...], b: tuple[str, ...], given: tuple[str, ...]) -> Iterator[Vector]:
        """What an independence says under each sampler, and under each product that a mixture is of."""
        sets = (1, {*a, *b, *given}), (-1, {*b, *given}), (-1, {*a, *given}), (1, {*given})
        scopes = [(sign, model.conditioned(names)) for sign, names in sets]
        for sampler in self.samplers:
            if {*a, *b, *given} <= set(self.spec.joints[sampler].variables):
                yield combine(*self._independence(sampler, model.name, a, b, given))
                for _, part in self.coordinates.samplers(sampler):
                    keys = ((sign, self.coordinates.key(part, model, names)) for sign, names in scopes if names)
                    vectors: list[tuple[Rational, Vector]] = [(sign, {key: 1}) for sign, key in keys]
                    yield combine(*vectors)

    def vanishes(self, vector: Vector) -> bool:
        """Whether a vector is zero by what the graphs say."""
        rest = self._separations.reduce(vector)
        if not rest:
            return True
        if self.coordinates.size > LISTED:
            return not self._factors.reduce(rest)
        samplers = self._touched({key[0] for key in vector})
        if samplers not in self._spans:
            self._spans[samplers] = Span(e.vector for n in sorted(samplers) for e in self.equations(n))
        return not self._spans[samplers].reduce(vector)

    @cached_property
    def _separations(self) -> Separations:
        return Separations(self.spec, self.coordinates, separated)

    @cached_property
    def _factors(self) -> Span:
        pairs = [(s, m) for s in self.samplers for m in self.spec.joints.values()]
        known = [(s, m) for s, m in pairs if m.external <= set(self.spec.joints[s].variables)]
        return Span(self._separations.reduce(e.vector) for s, m in known for e in self._shared(s, m))

    def _touched(self, laws: set[object]) -> frozenset[str]:
        """The samplers whose equations share a law with these, directly or through others: no other equation can matter."""
        for name in self.samplers:
            if name not in self._laws:
                self._laws[name] = {key[0] for e in self.equations(name) for key in e.vector}
        found: set[str] = set()
        reached = set(laws)
        while True:
            more = {n for n, own in self._laws.items() if n not in found and own & reached}
            if not more:
                return frozenset(found)
            found |= more
            reached |= {law for n in more for law in self._laws[n]}

    def monomials(self, expression: Expression) -> dict[sympy.Expr, Vector]:
        """The expression's coordinates, one rational vector for each monomial in the parameters.

        Ratios of parameters are brought to a common denominator first, which is left out.
        """
        found: dict[sympy.Expr, Vector] = {}
        ratios = [w.coefficient for w in expression if is_ratio(w.coefficient)]
        denominator = sympy.lcm_list([sympy.denom(sympy.together(c)) for c in ratios]) if ratios else sympy.Integer(1)
        for part in expression:
            vector = self.coordinates.vector(part.term)
            numerator = part.coefficient if denominator == 1 else sympy.cancel(part.coefficient * denominator)
            for monomial, number in sympy.expand(numerator).as_coefficients_dict().items():
                found[monomial] = combine((1, found.get(monomial, {})), (Fraction(str(number)), vector))
        return found

    def zero(self, expression: Expression) -> bool:
        """Whether an expression is zero for every value of its parameters, by what the graphs say."""
        return all(self.vanishes(v) for v in self.monomials(expression).values())

    def _normalised(self, first: Density, second: tuple[Density, ...]) -> bool:
        """Whether the second argument is a distribution of the first's variables, for every value of its conditioners."""
        covered = [v for d in second for v in d.of]
        if sorted(covered) != sorted(first.of) or not all(map(self.exists, second)):
            return False
        extra = {v for d in second for v in d.given} - first.scope
        if not extra <= set(self.spec.joints[first.head].variables) or not separated(
            self.spec.joints[first.head], first.of, extra, first.given
        ):
            return False
        seen, pending = set(first.given) | extra, list(second)
        while pending:
            ready = next((d for d in pending if set(d.given) <= seen), None)
            if ready is None:
                return False
            seen |= set(ready.of)
            pending.remove(ready)
        return True

    def exists(self, density: Density) -> bool:
        """Whether a joint that conditions on E has the density: a declared factor, or of what E does not tell beyond the given."""
        joint = self.spec.joints[density.head]
        outside = joint.external - set(density.given)
        declared = any({*f.of} == {*density.of} and {*f.given} == {*density.given} for f in joint.factors)
        return declared or (not joint.external & set(density.of) and separated(joint, density.of, outside, density.given))

    def sign(self, coefficient: sympy.Expr) -> Sign:
        """The sign of a coefficient over its parameters' intervals."""
        return sign(coefficient, self.spec.intervals)

    def nonnegative(self, term: Term) -> str:
        """Why a term is never negative, or an empty text: the only sources of inequality there are."""
        spec = self.spec
        match term:
            case RelativeEntropy(first, second):
                if not spec.joints[first.head].rooted or not self._normalised(first, second):
                    return ""
                return InequalityKind.RELATIVE_ENTROPY.value
            case MutualInformation(groups=(_, _)) | TotalCorrelation():
                return InequalityKind.INFORMATION.value
            case Entropy(of=of):
                return InequalityKind.ENTROPY.value if all(map(spec.discrete, of)) else ""
            case CrossEntropy(second=second):
                return InequalityKind.CROSS_ENTROPY.value if all(spec.discrete(v) for d in second for v in d.of) else ""
            case Slack(estimate, bounded):
                return InequalityKind.ESTIMATOR.value if admits(estimate) and side(estimate) is bounded else ""
        return ""


def check_plan(facts: Facts, plan: Plan) -> None:
    """The plan's identity holds exactly, its multipliers are not negative, its rows and equations are legal."""
    name = f"the plan of {plan.term}"
    total: Vector = dict(facts.coordinates.vector(plan.term))
    for multiplier, row in plan.gaps:
        if multiplier < 0:
            raise AuditError(f"{name}: the multiplier {multiplier} of {row.term} is negative")
        if facts.nonnegative(row.term) != row.kind.value:
            raise AuditError(f"{name}: {row.term} >= 0 does not hold as a {row.kind.value} of these variables")
        vector = facts.coordinates.vector(row.term)
        if vector != row.vector:
            raise AuditError(f"{name}: the coordinates of {row.term} are others than those of its row")
        total = combine((1, total), (plan.side.sign * multiplier, vector))
    for multiplier, item in plan.computed:
        vector = facts.coordinates.vector(item.term)
        if not facts.vanishes(combine((1, vector), (-1, item.vector))):
            raise AuditError(f"{name}: the coordinates of {item.term} are others than those that were used")
        total = combine((1, total), (-multiplier, item.vector))
    for multiplier, equation in plan.equations:
        if not facts.legal(equation):
            raise AuditError(f"{name}: no graph says '{equation.premise}'")
        total = combine((1, total), (-multiplier, equation.vector))
    if total:
        raise AuditError(f"{name}: the identity does not hold, {len(total)} coordinates are left over")


def check_gap(facts: Facts, gap: Expression, where: str) -> None:
    """Every term of a gap is never negative, and neither is its coefficient."""
    for part in gap:
        if facts.sign(part.coefficient) not in (Sign.NONNEGATIVE, Sign.ZERO):
            raise AuditError(f"{where}: the coefficient {part.coefficient} of the gap {part.term} may be negative")
        if not facts.nonnegative(part.term):
            raise AuditError(f"{where}: the gap {part.term} is not known to be non-negative for these variables")


def check_computable(facts: Facts, term: Term) -> None:
    """A term of the bound is an estimate, or an expectation of declared factors whose densities can be evaluated."""
    match term:
        case Estimate():
            if not admits(term):
                raise AuditError(f"{term} is part of the bound, and {term.estimator} does not estimate {term.term}")
            return
        case RelativeEntropy(first, second):
            densities = (first, *second)
        case ExpectedLog(_, second) | CrossEntropy(_, second):
            densities = second
        case _:
            raise AuditError(f"{term} is part of the bound and cannot be computed")
    for d in densities:
        factor = facts.spec.joints[d.head].factor_of(d.of, d.given)
        if factor is None or not factor.evaluated:
            raise AuditError(f"{term} is part of the bound, and {d} is not a declared factor with a density")


def check_constant(facts: Facts, term: Term) -> None:
    """A constant is an entropy that no learned factor touches, or the cross-entropy of such a law to fixed densities."""
    match term:
        case Entropy(name, of, given):
            scope = {*of, *given}
        case ExpectedLog(name, second):
            check_computable(facts, term)
            scope = {v for d in second for v in d.scope}
            evaluated = [facts.spec.joints[d.head].factor_of(d.of, d.given) for d in second]
            if any(f is None or f.learned for f in evaluated):
                raise AuditError(f"{term} is not a constant: its density is learned")
        case _:
            raise AuditError(f"{term} is not a constant")
    parts = facts.coordinates.samplers(name)
    if any(f.learned for _, joint in parts for f in joint.ancestral_factors(scope)):
        raise AuditError(f"{term} is not a constant: a learned factor occurs in it")


def difference(relation: Relation, before: Expression, after: Expression, gap: Expression) -> Expression:
    """What is zero where the step holds: after - before - gap for an upper bound, before - after - gap for a lower one."""
    return after - before + gap if relation is Relation.GE else after - before - gap
