"""Linear-Gaussian worlds: every factor N(a; W b + c, S), every joint Gaussian, every linear term a closed form in nats.

E_J log R(a|b) = -1/2 [d log 2 pi + log det S + tr S^-1 (Cov_J(e) + E_J(e) E_J(e)^T)] with e = a - W b - c and R's own W, c, S.
Where finite worlds have entropies that are never negative, these do not: a step that holds for discrete variables only fails here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy
from numpy.typing import NDArray

from ibsym.checking.finite import number, own_factors, parameter_value, symbols
from ibsym.errors import IbsymError
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    ExpectedLog,
    Expression,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Conditional:
    """N(of; weights @ given + offset, covariance)."""

    of: tuple[str, ...]
    given: tuple[str, ...]
    weights: Array
    offset: Array
    covariance: Array


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a joint, over its variables' coordinates."""

    places: dict[str, slice]
    mean: Array
    covariance: Array

    def index(self, names: Iterable[str]) -> NDArray[np.intp]:
        """The coordinates of some variables."""
        parts = [np.arange(self.places[v].start, self.places[v].stop) for v in names]
        return np.concatenate(parts) if parts else np.arange(0)


class GaussianWorld:
    """A linear-Gaussian conditional for every factor of a spec, and a value for every parameter."""

    def __init__(self, spec: Spec, dims: dict[str, int], factors: dict[str, Conditional], parameters: dict[str, float]):
        self.spec, self.dims, self.factors, self.parameters = spec, dims, factors, parameters
        self._moments: dict[str, Moments] = {}
        self._values: dict[Term, float] = {}

    @staticmethod
    def random(spec: Spec, seed: int) -> GaussianWorld:
        """A world drawn from a seed: vectors of one or two coordinates, random weights, offsets and covariances."""
        rng = np.random.default_rng((seed, 97))
        dims = {v: int(rng.integers(1, 3)) for v in spec.variables}
        unit = np.exp(rng.uniform(-3, 1))  # small units make differential entropies negative
        factors: dict[str, Conditional] = {}
        for factor in own_factors(spec):
            n, m = (sum(dims[v] for v in names) for names in (factor.of, factor.given))
            root = rng.normal(size=(n, n))
            noise = unit**2 * np.exp(rng.uniform(-2, 1)) * (root @ root.T + np.diag(rng.uniform(0.1, 1.0, n)))
            factors[factor.text] = Conditional(
                factor.of, factor.given, rng.normal(size=(n, m)), unit * rng.normal(size=n), noise
            )
        parameters = {n: parameter_value(rng, e.default, *e.interval) for n, e in spec.parameters.items()}
        return GaussianWorld(spec, dims, factors, parameters)

    @staticmethod
    def evaluates(spec: Spec, term: Term) -> bool:
        """Whether the term has a closed form in every Gaussian world: linear, and without a mixture's density."""

        def plain(*densities: Density) -> bool:
            for d in densities:
                own = spec.joints[d.head].factor_of(d.of, d.given)
                made_of = spec.joints[d.head].ancestral_factors(d.scope) if own is None else {own}
                if any(f.components for f in made_of):
                    return False
            return True

        match term:
            case Entropy(joint, of, given):
                return plain(Density(joint, of, given))
            case MutualInformation(joint, groups, given) | TotalCorrelation(joint, groups, given):
                return plain(Density(joint, tuple(v for g in groups for v in g), given))
            case RelativeEntropy(first, second):
                return plain(first, *second)
            case CrossEntropy(_, second) | ExpectedLog(_, second):
                return plain(*second)
        return False

    @staticmethod
    def reaches(spec: Spec, before: Expression, after: Expression, gap: Expression) -> bool:
        """Whether a step can be evaluated: linear terms only, and no gap that is non-negative for discrete variables only."""
        if any(isinstance(w.term, Entropy | CrossEntropy) for w in gap):
            return False
        return all(GaussianWorld.evaluates(spec, w.term) for e in (before, after, gap) for w in e)

    def moments(self, name: str) -> Moments:
        """Mean and covariance of a joint; those of a mixture are exact too, though it is not Gaussian.

        What a joint conditions on is standard normal there, which its conditionals do not depend on.
        """
        if name not in self._moments:
            joint = self.spec.joints[name]
            places: dict[str, slice] = {}
            mean, covariance = np.zeros(0), np.zeros((0, 0))
            for v in self.spec.ordered(joint.external):  # any law of them gives the same conditionals
                places[v] = slice(len(mean), len(mean) + self.dims[v])
                mean = np.concatenate([mean, np.zeros(self.dims[v])])
            covariance = np.eye(len(mean))
            pending = list(joint.factors)
            while pending:
                factor = next(f for f in pending if set(f.given) <= set(places))
                pending.remove(factor)
                known = Moments(places, mean, covariance)
                conditional = self._mixture(factor) if factor.components else self._factor(factor)
                mean, covariance = _extended(known, conditional)
                for v in factor.of:
                    start = max((s.stop for s in places.values()), default=0)
                    places[v] = slice(start, start + self.dims[v])
            self._moments[name] = Moments(places, mean, covariance)
        return self._moments[name]

    def _factor(self, factor: Factor) -> Conditional:
        """A factor's own conditional; of a source's marginal, the source's part."""
        if factor.text in self.factors:
            return self.factors[factor.text]
        index, source = self.moments(factor.head).index(factor.of), self.moments(factor.head)
        return Conditional(
            factor.of, (), np.zeros((len(index), 0)), source.mean[index], source.covariance[np.ix_(index, index)]
        )

    def _mixture(self, factor: Factor) -> Conditional:
        """The moments of a mixture, as a Gaussian's."""
        parts = []
        for c in factor.components:
            inner = self.moments(c.joint)
            index = inner.index(factor.of)
            parts.append((float(c.weight), inner.mean[index], inner.covariance[np.ix_(index, index)]))
        mean = np.asarray(sum(w * m for w, m, _ in parts))
        covariance = np.asarray(sum(w * (s + np.outer(m - mean, m - mean)) for w, m, s in parts))
        return Conditional(factor.of, (), np.zeros((len(mean), 0)), mean, covariance)

    def conditional(self, density: Density) -> Conditional:
        """r(a|b): a declared factor as it is, else the regression of a on b under the joint."""
        own = self.spec.joints[density.head].factor_of(density.of, density.given)
        if own is not None and not own.components:
            return self._factor(own)
        if any(f.components for f in self.spec.joints[density.head].ancestral_factors(density.scope)):
            raise IbsymError(f"{density} is a mixture's, and no Gaussian")
        moments = self.moments(density.head)
        a, b = moments.index(density.of), moments.index(density.given)
        cross, inner = moments.covariance[np.ix_(a, b)], moments.covariance[np.ix_(b, b)]
        weights = np.asarray(np.linalg.solve(inner, cross.T).T if len(b) else np.zeros((len(a), 0)), dtype=np.float64)
        offset = moments.mean[a] - weights @ moments.mean[b]
        covariance = moments.covariance[np.ix_(a, a)] - weights @ cross.T
        return Conditional(density.of, density.given, weights, offset, (covariance + covariance.T) / 2)

    def log(self, joint: str, density: Density) -> float:
        """E_J log r(a|b)."""
        law = self.conditional(density)
        if not self.spec.joints[joint].rooted:
            raise IbsymError(f"{joint} conditions on what it does not generate, no expectation can be taken under it")
        moments = self.moments(joint)
        index = moments.index((*law.of, *law.given))
        residual = np.hstack([np.eye(len(law.offset)), -law.weights])
        mean = residual @ moments.mean[index] - law.offset
        second = residual @ moments.covariance[np.ix_(index, index)] @ residual.T + np.outer(mean, mean)
        determinant = float(np.linalg.slogdet(law.covariance)[1])
        return -0.5 * (
            len(mean) * float(np.log(2 * np.pi)) + determinant + float(np.trace(np.linalg.solve(law.covariance, second)))
        )

    def entropy(self, joint: str, of: tuple[str, ...], given: tuple[str, ...] = ()) -> float:
        """H_J(A|B), a differential entropy."""
        return -self.log(joint, Density(joint, of, given)) if of else 0.0

    def value(self, term: Term) -> float:
        """The term's value in nats; an :class:`~ibsym.errors.IbsymError` where it has no closed form."""
        if not self.evaluates(self.spec, term):
            raise IbsymError(f"{term} has no closed form in a Gaussian world")
        if term not in self._values:
            self._values[term] = self._value(term)
        return self._values[term]

    def _value(self, term: Term) -> float:
        match term:
            case Entropy(joint, of, given):
                return self.entropy(joint, of, given)
            case MutualInformation(joint, groups, given):
                return self._information(joint, groups, given)
            case TotalCorrelation() if term.coordinatewise:
                law = self.conditional(Density(term.joint, term.groups[0]))
                return 0.5 * (float(np.log(np.diag(law.covariance)).sum()) - float(np.linalg.slogdet(law.covariance)[1]))
            case TotalCorrelation(joint, groups, given):
                everything = tuple(v for g in groups for v in g)
                return sum(self.entropy(joint, g, given) for g in groups) - self.entropy(joint, everything, given)
            case RelativeEntropy(first, second):
                return self.log(first.head, first) - sum(self.log(first.head, d) for d in second)
            case CrossEntropy(first, second):
                return -sum(self.log(first.head, d) for d in second)
            case ExpectedLog(joint, second):
                return sum(self.log(joint, d) for d in second)
        raise IbsymError(f"{term} has no closed form in a Gaussian world")

    def _information(self, joint: str, groups: tuple[tuple[str, ...], ...], given: tuple[str, ...]) -> float:
        if len(groups) == 1:
            return self.entropy(joint, groups[0], given)
        return self._information(joint, groups[:-1], given) - self._information(joint, groups[:-1], (*given, *groups[-1]))

    @cached_property
    def _symbols(self) -> dict[sympy.Expr, sympy.Expr]:
        return symbols(self.parameters)

    def coefficient(self, expression: sympy.Expr) -> float:
        """A coefficient at the world's parameters."""
        return number(expression, self._symbols)

    def evaluate(self, expression: Expression) -> float:
        """The sum of an expression's terms at the world's parameters."""
        return sum(c * v for c, v in self.summands(expression))

    def summands(self, expression: Expression) -> list[tuple[float, float]]:
        """Coefficients and values, term by term."""
        return [(self.coefficient(w.coefficient), self.value(w.term)) for w in expression]


def _extended(known: Moments, new: Conditional) -> tuple[Array, Array]:
    """Mean and covariance with the variables of a conditional appended."""
    index = known.index(new.given)
    cross = new.weights @ known.covariance[index]
    own = new.weights @ known.covariance[np.ix_(index, index)] @ new.weights.T + new.covariance
    mean = np.concatenate([known.mean, new.weights @ known.mean[index] + new.offset])
    return mean, np.block([[known.covariance, cross.T], [cross, own]])
