"""Cross-entropy vectors: every linear term as a combination of coordinates <J|R(S)> = E_J[log R(S)].

J samples and R is evaluated on the set of variables S. Two coordinates are one where the joints agree on S, that is, where
the same factors make up their marginals. What else is known of the joints is a linear equation between coordinates:
a conditional independence of R (d-separation), under any J, and a factor that several joints share.
Equality of terms is membership of their difference in the span of these equations, decided in rational arithmetic.

Jensen-Shannon and f-divergences, a total correlation over coordinates and one-sided estimates are coordinates of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, assert_never

from ibsym.errors import SpecError
from ibsym.estimators import ONE_SIDED
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Term,
    TotalCorrelation,
)
from ibsym.terms.premises import Discrete, Independent, Irrelevant, Nonnegative, Premise, SharedFactor

if TYPE_CHECKING:
    from ibsym.terms.reduction import Reduction

Rational: TypeAlias = int | Fraction
Law: TypeAlias = tuple[str, ...]
"""The factors that a marginal is made of, by their texts: joints that agree on it share it."""


class Part(NamedTuple):
    """A factor that several joints use, or what is left of it when all of its variables but ``of`` are summed out."""

    factor: str
    of: tuple[str, ...]


class LogDensity(NamedTuple):
    """<J|R(S)> = E_J log R(S): who samples, what is evaluated, on which variables."""

    sampler: Law
    model: Law | Part
    scope: tuple[str, ...]


class Coordinatewise(NamedTuple):
    """The total correlation over the coordinates of one variable."""

    law: Law
    variable: str


class Argument(NamedTuple):
    """An argument of a divergence: the law of its variables and conditioners, and which are which."""

    law: Law
    of: tuple[str, ...]
    given: tuple[str, ...]


class Divergence(NamedTuple):
    """A divergence that is not linear in log-densities, by its name."""

    name: str
    first: Argument
    second: tuple[Argument, ...]


class OneSided(NamedTuple):
    """The value of an estimator that bounds its term, by its name and the term's text."""

    estimator: str
    term: str


Coordinate: TypeAlias = tuple[object, ...]
"""A coordinate of some linear space; those of terms are the tuples above."""
Vector: TypeAlias = dict[Coordinate, Rational]
_Conditional: TypeAlias = tuple[str, tuple[str, ...], tuple[str, ...]]

MAX_PARTS = 16
LISTED = 2000
"""Up to which size of a spec all contexts are listed: about a second at five joints of six variables."""


def combine(*pairs: tuple[Rational, Mapping[Coordinate, Rational]]) -> Vector:
    """The linear combination of vectors, zeros left out; whole numbers stay ``int``, which is several times faster."""
    total: Vector = {}
    for coefficient, vector in pairs:
        if coefficient:
            for key, value in vector.items():
                total[key] = total.get(key, 0) + coefficient * value
    return {k: v for k, v in total.items() if v}


@dataclass(frozen=True)
class Equation:
    """A combination of coordinates that is zero, and the fact of a graph that makes it so."""

    vector: Vector
    premise: Premise


def _distinct(equations: Iterable[Equation]) -> list[Equation]:
    """The equations that say something, each once."""
    found: dict[frozenset[tuple[Coordinate, Rational]], Equation] = {}
    for e in equations:
        if e.vector:
            found.setdefault(frozenset(e.vector.items()), e)
    return list(found.values())


class Span:
    """The span of some vectors, in reduced echelon form over the rationals: no row has another's pivot."""

    def __init__(self, vectors: Iterable[Vector] = ()):
        self.rows: dict[Coordinate, Vector] = {}
        for vector in vectors:
            self.add(vector)

    def reduce(self, vector: Vector) -> Vector:
        """What is left of a vector modulo the span: empty if it lies in it."""
        return combine((1, vector), *((-value, self.rows[key]) for key, value in vector.items() if key in self.rows))

    def add(self, vector: Vector) -> None:
        """The span with one more vector."""
        rest = self.reduce(vector)
        if rest:
            pivot = min(rest, key=repr)
            unit = abs(rest[pivot]) == 1
            row = combine((rest[pivot] if unit else Fraction(1) / rest[pivot], rest))
            for key, other in self.rows.items():
                if other.get(pivot):
                    self.rows[key] = combine((1, other), (-other[pivot], row))
            self.rows[pivot] = row


class Coordinates:
    """The coordinate system of a spec: vectors of terms, and the equations between coordinates."""

    def __init__(self, spec: Spec):
        self.spec = spec
        self._samplers: dict[str, tuple[tuple[Rational, Joint], ...]] = {}
        owners: dict[Factor, int] = {}
        self._named: set[Factor] = set()
        for joint in spec.joints.values():
            for factor in joint.factors if joint.name not in spec.sources else ():
                owners[factor] = owners.get(factor, 0) + 1
                shared = owners[factor] > 1 and bool(factor.given)
                scope = {*factor.of, *factor.given}
                if shared or not joint.conditioned(scope) <= scope:
                    self._named.add(factor)
        self._marginals = {f for f in spec.factors.values() if f.empirical and f != spec.sources[f.head]}

    def samplers(self, name: str) -> tuple[tuple[Rational, Joint], ...]:
        """The joint as a mixture of products: one part of weight 1 unless a factor is a mixture."""
        if name not in self._samplers:
            joint = self.spec.joints[name]
            mixture = next((f for f in joint.factors if f.components), None)
            if mixture is None:
                self._samplers[name] = ((1, joint),)
            else:
                others = tuple(f for f in joint.factors if f is not mixture)
                parts = [
                    (
                        component.weight * weight,
                        self._part(joint, component.of, inner, others),
                    )
                    for component in mixture.components
                    for weight, inner in self.samplers(component.joint)
                ]
                if len(parts) > MAX_PARTS:
                    message = f"{name} is a mixture of {len(parts)} products, more than {MAX_PARTS}"
                    raise SpecError(message, key=f"joints.{name}", remedy="a mixture of fewer components")
                self._samplers[name] = tuple(parts)
        return self._samplers[name]

    def _part(self, joint: Joint, of: tuple[str, ...], inner: Joint, others: tuple[Factor, ...]) -> Joint:
        below = tuple(f for f in inner.factors if f in inner.ancestral_factors(of))
        hidden = {v for f in below for v in f.of} - set(of)
        outside = {v for f in others for v in (*f.of, *f.given)}
        names: dict[str, str] = {}
        for variable in hidden & outside:  # summed out inside of the component: not the one that the other factors have
            fresh = f"{variable}'"
            while fresh in hidden:
                fresh += "'"
            names[variable] = fresh
        factors = (*(f.renamed(names) for f in below), *others)
        every = {v for f in factors for v in f.of}
        return Joint(joint.name if names else inner.name, factors, self.spec.ordered(every), True)

    def _law(self, joint: Joint, scope: Iterable[str]) -> Law:
        """The factors that a marginal is made of; of a source no more than what is used of it, where a joint has that marginal."""
        factors = joint.ancestral_factors(scope)
        if not self._marginals:
            return tuple(sorted(f.declared for f in factors))
        used = {*scope, *(v for f in factors for v in f.given)}
        return tuple(sorted(self._least(f, used) for f in factors))

    def _least(self, factor: Factor, used: set[str]) -> str:
        if factor.origin is not None:
            names = dict(zip(factor.of, factor.origin.of, strict=True))
            return self._least(factor.origin, {names[v] for v in used & {*names}})
        if not factor.empirical:
            return factor.text
        enough = [m for m in self._marginals if m.head == factor.head and used & {*factor.of} <= {*m.of} <= {*factor.of}]
        return min(enough, key=lambda m: (len(m.of), m.text), default=factor).text

    def _atom(self, sampler: str, model: Law | Part, scope: frozenset[str]) -> Vector:
        where = tuple(sorted(scope))
        atom: Vector = {}
        for weight, part in self.samplers(sampler):
            key = LogDensity(self._law(part, scope), model, where)
            atom[key] = atom.get(key, 0) + weight
        return atom

    def key(self, part: Joint, model: Joint, scope: Iterable[str]) -> LogDensity:
        """The coordinate <J|R(S)> of a product J."""
        where = tuple(sorted(scope))
        return LogDensity(self._law(part, where), self._law(model, where), where)

    def log(self, sampler: str, model: str, of: Iterable[str], given: Iterable[str] = ()) -> Vector:
        """<J|R(of|given)>: the expected log-density of the model under the sampler."""
        a, b = frozenset(of), frozenset(given)
        joint = self.spec.joints[model]
        factor = None if joint.rooted else joint.factor_of(a, b)
        return self.by_law(sampler, model, a, b) if factor is None else self.log_factor(sampler, factor)

    def by_law(self, sampler: str, model: str, of: Iterable[str], given: Iterable[str] = ()) -> Vector:
        """<J|R(of|given)> from the factors of R alone, be it a declared factor or not.

        Of a joint that conditions on E it is <J|R(of|given,E)>: the same where the density exists.
        """
        a, b = frozenset(of), frozenset(given)
        joint = self.spec.joints[model]
        both, below = (joint.conditioned(s) for s in (a | b, b))
        parts = [(1, self._atom(sampler, self._law(joint, both), both))]
        if below:
            parts.append((-1, self._atom(sampler, self._law(joint, below), below)))
        return combine(*parts)

    def log_factor(self, sampler: str, factor: Factor, of: Iterable[str] | None = None) -> Vector:
        """<J|f(a|b)> for a factor, or for a part ``of`` of its variables."""
        part = frozenset(factor.of if of is None else of)
        if factor in self._named:
            return self._atom(sampler, Part(factor.text, tuple(sorted(part))), part | frozenset(factor.given))
        owner = next(j for j in self.spec.joints.values() if factor in j.factors)
        return self.by_law(sampler, owner.name, part, factor.given)

    def log_density(self, sampler: str, density: Density) -> Vector:
        """<J|R(A|B)> of a density."""
        return self.log(sampler, density.head, density.of, density.given)

    def vector(self, term: Term) -> Vector:
        """The coordinates of a term."""
        match term:
            case Entropy(joint, of, given):
                return combine((-1, self.log(joint, joint, of, given)))
            case MutualInformation(joint, groups, given):
                return self._information(joint, groups, given)
            case TotalCorrelation() if term.coordinatewise:
                (variable,) = term.groups[0]
                return {Coordinatewise(self._law(self.spec.joints[term.joint], (variable,)), variable): 1}
            case TotalCorrelation(joint, groups, given):
                everything = [v for g in groups for v in g]
                parts = [(-1, self.log(joint, joint, g, given)) for g in groups]
                return combine((1, self.log(joint, joint, everything, given)), *parts)
            case RelativeEntropy(first, second):
                return combine(
                    (1, self.log_density(first.head, first)), *((-1, self.log_density(first.head, d)) for d in second)
                )
            case CrossEntropy(first, second):
                return combine(*((-1, self.log_density(first.head, d)) for d in second))
            case ExpectedLog(joint, second):
                return combine(*((1, self.log_density(joint, d)) for d in second))
            case JensenShannon(first, second):
                return self._divergence("JS", first, second)
            case FDivergence(generator, first, second):
                return self._divergence(generator, first, second)
            case Estimate(inner, estimator, density):
                bounds = estimator in ONE_SIDED and density is None
                return {OneSided(estimator, str(inner)): 1} if bounds else self.vector(inner)
            case Slack():
                return combine((1, self.vector(term.high)), (-1, self.vector(term.low)))
        assert_never(term)

    def _information(self, joint: str, groups: tuple[tuple[str, ...], ...], given: tuple[str, ...]) -> Vector:
        first, *rest = groups
        if len(rest) == 1:
            return combine((1, self.log(joint, joint, rest[0], (*first, *given))), (-1, self.log(joint, joint, rest[0], given)))
        last = rest[-1]
        return combine(
            (1, self._information(joint, groups[:-1], given)), (-1, self._information(joint, groups[:-1], (*given, *last)))
        )

    def _divergence(self, name: str, first: Density, second: tuple[Density, ...]) -> Vector:
        def argument(d: Density) -> Argument:
            return Argument(self._law(self.spec.joints[d.head], d.scope), tuple(sorted(d.of)), tuple(sorted(d.given)))

        return {Divergence(name, argument(first), tuple(sorted(map(argument, second)))): 1}

    def connected(self, names: Iterable[str]) -> tuple[str, ...]:
        """Joints that share the law of a variable with the given ones, directly or through others; sources inside others left out."""
        laws = {
            j.name: {(v, self._law(part, (v,))) for _, part in self.samplers(j.name) for v in j.variables}
            for j in self.spec.joints.values()
            if j.rooted
        }
        found = [n for n in laws if n in set(names)]
        for name in found:
            found += [n for n in laws if n not in found and laws[n] & laws[name]]
        inside = {s for s in found if s in self.spec.sources and any(s != n and laws[s] <= laws[n] for n in found)}
        return tuple(n for n in laws if n in found and n not in inside)

    def equations(self, samplers: Iterable[str]) -> list[Equation]:
        """Every known equation between the coordinates of these samplers."""
        models = self.spec.joints.values()
        return _distinct(e for s in samplers for m in models for e in (*self._independences(s, m), *self._factors(s, m)))

    def factor_equations(self, samplers: Iterable[str]) -> list[Equation]:
        """The densities of joints that are declared factors with a coordinate of their own."""
        return _distinct(e for s in samplers for m in self.spec.joints.values() for e in self._factors(s, m))

    def _independences(self, sampler: str, model: Joint) -> Iterator[Equation]:
        """Every elemental independence of a joint under a sampler; their number doubles with each variable."""
        scope = set(self.spec.joints[sampler].variables)
        for a, b, given in model.independences():
            if {a, b, *given} <= scope:
                wide, narrow = (self.by_law(sampler, model.name, (a,), c) for c in ((b, *given), given))
                yield Equation(combine((1, wide), (-1, narrow)), Independent((a,), (b,), given, model.name))

    def _factors(self, sampler: str, model: Joint) -> Iterator[Equation]:
        scope = set(self.spec.joints[sampler].variables)
        for factor in model.factors:
            whole = {*factor.of, *factor.given}
            if factor in self._named and whole | model.conditioned(whole) <= scope:
                own = self.by_law(sampler, model.name, factor.of, factor.given)
                vector = combine((1, own), (-1, self.log_factor(sampler, factor)))
                yield Equation(vector, SharedFactor(Density.factor(factor), model.name))

    def consequences(self, premise: Premise) -> list[Vector]:
        """The equations between coordinates that a premise says, one for each joint that has its variables."""
        match premise:
            case Independent(a, b, given, joint):
                return self._under_each((joint, a, (*b, *given)), (joint, a, given))
            case Irrelevant(density, further):
                return self._under_each(
                    (density.head, density.of, (*density.given, *further)), (density.head, density.of, density.given)
                )
            case SharedFactor(density, joint):
                factor = self.spec.factors[str(density)]
                return [
                    combine((1, self.by_law(s, joint, factor.of, factor.given)), (-1, self.log_factor(s, factor)))
                    for s in self._reaching(joint, density.scope)
                ]
            case Nonnegative() | Discrete():
                return []
        assert_never(premise)

    def _under_each(self, left: _Conditional, right: _Conditional) -> list[Vector]:
        """log left - log right under every joint that has the variables."""
        samplers = self._reaching(left[0], {*left[1], *left[2]})
        return [combine((1, self.by_law(s, *left)), (-1, self.by_law(s, *right))) for s in samplers]

    def _reaching(self, model: str, scope: Collection[str]) -> list[str]:
        """The joints that have the variables, and what the model conditions on there."""
        needed = {*scope} | self.spec.joints[model].conditioned(scope)
        return [j.name for j in self.spec.joints.values() if j.rooted and needed <= set(j.variables)]

    def shared_factors(self) -> list[Premise]:
        """Which joints have which of the factors that several joints use."""
        joints = self.spec.joints.values()
        return [SharedFactor(Density.factor(f), j.name) for j in joints for f in j.factors if f in self._named]

    @cached_property
    def size(self) -> int:
        """sum n 2^n over the joints of n variables: what a list of all contexts is as long as."""
        return sum(len(j.variables) << len(j.variables) for j in self.spec.joints.values() if j.rooted or len(j.factors) > 1)

    @cached_property
    def _span(self) -> Span:
        rooted = [j.name for j in self.spec.joints.values() if j.rooted]
        return Span(e.vector for e in self.equations(rooted))

    @cached_property
    def reduction(self) -> Reduction:
        """The independences of all joints, as a rewriting."""
        from ibsym.terms.reduction import Reduction  # it is made of coordinates

        return Reduction(self)

    def equal(self, a: Vector, b: Vector) -> bool:
        """Whether two vectors are equal modulo everything that is known of the graphs."""
        difference = combine((1, a), (-1, b))
        if self.size > LISTED:
            return self.reduction.zero(difference)
        return not self._span.reduce(difference)
