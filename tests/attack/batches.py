"""Many random worlds at once: arrays with a leading axis of worlds, written apart from ibsym.checking so that the two can disagree.

A finite batch has a table for every factor; a Gaussian one has a linear-Gaussian conditional. Only the spec's graphs and the terms'
fields are read; values are in nats, one a world.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterable

import numpy as np
import sympy
from numpy.typing import NDArray

from ibsym.facts import Side
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Term,
    TotalCorrelation,
)

Array = NDArray[np.float64]
STYLES = ("dense", "sparse", "deterministic", "near-singular", "peaked")

# q g(p/q) of each generator, from the formulas of the literature.
PERSPECTIVES: dict[str, Callable[[Array, Array], Array]] = {
    "kl": lambda p, q: _xlog(p, p, q),
    "reverse-kl": lambda p, q: _xlog(q, q, p),
    "pearson": lambda p, q: np.where(p == q, 0, p * p / q - 2 * p + q),
    "neyman": lambda p, q: np.where(p == q, 0, q * q / p - 2 * q + p),
    "squared-hellinger": lambda p, q: p + q - 2 * np.sqrt(p * q),
    "jensen-shannon": lambda p, q: (_xlog(p, 2 * p, p + q) + _xlog(q, 2 * q, p + q)) / 2,
    "jeffreys": lambda p, q: _xlog(p, p, q) + _xlog(q, q, p),
}
SLOPES: dict[str, Callable[[Array], Array]] = {
    "kl": lambda u: np.log(u) + 1,
    "reverse-kl": lambda u: -1 / u,
    "pearson": lambda u: 2 * u - 2,
    "neyman": lambda u: 1 - u**-2,
    "squared-hellinger": lambda u: 1 - u**-0.5,
    "jensen-shannon": lambda u: 0.5 * np.log(2 * u / (1 + u)),
    "jeffreys": lambda u: np.log(u) + 1 - 1 / u,
}


def _xlog(x: Array, a: Array, b: Array) -> Array:
    """x log(a/b), zero where x is."""
    return np.where(x > 0, x * (np.log(a) - np.log(b)), 0.0)


def parameters(spec: Spec, rng: np.random.Generator, size: int) -> dict[str, Array]:
    """Values inside the intervals, their ends included."""
    drawn = {}
    for name, entry in spec.parameters.items():
        low, high = entry.min, entry.max
        tail = rng.exponential(2.0, size) * 10.0 ** rng.integers(-1, 2, size)
        if low is not None and high is not None:
            value = rng.uniform(low, high, size)
        elif low is not None:
            value = low + tail
        elif high is not None:
            value = high - tail
        else:
            value = entry.default + rng.normal(size=size) * 3
        ends = [e for e in (low, high) if e is not None]
        if ends:
            value = np.where(rng.random(size) < 0.15, rng.choice(ends, size), value)
        drawn[name] = value
    return drawn


def coefficient(expression: sympy.Expr, values: dict[str, Array]) -> Array | float:
    """The coefficient in every world."""
    if expression.is_Symbol:
        return values[expression.name]
    if expression.is_number:
        return float(expression)
    parts = [coefficient(a, values) for a in expression.args]
    if expression.is_Add:
        return sum(parts)
    if expression.is_Mul:
        return math.prod(parts)  # type: ignore[arg-type]
    assert expression.is_Pow, expression
    return parts[0] ** int(expression.exp)


class Batch:
    """What both kinds of batches do with terms: everything reduces to E_J[log r(a|b)]."""

    def __init__(self, spec: Spec, size: int, drawn: dict[str, Array]):
        self.spec, self.size, self.drawn = spec, size, drawn
        self.memory: dict[object, Array] = {}

    def log(self, joint: str, density: Density) -> Array:
        raise NotImplementedError

    def special(self, term: Term) -> Array:
        raise NotImplementedError

    def entropy(self, joint: str, of: Iterable[str], given: Iterable[str] = ()) -> Array:
        return -self.log(joint, Density(joint, tuple(of), tuple(given)))

    def value(self, term: Term) -> Array:
        if term not in self.memory:
            with np.errstate(all="ignore"):
                self.memory[term] = np.asarray(self.compute(term))
        return self.memory[term]

    def compute(self, term: Term) -> Array:
        match term:
            case Entropy(joint, of, given):
                return self.entropy(joint, of, given)
            case MutualInformation(joint, groups, given):
                return self.information(joint, groups, given)
            case TotalCorrelation(joint, groups, given) if len(groups) > 1:
                every = [v for g in groups for v in g]
                return sum((self.entropy(joint, g, given) for g in groups), -self.entropy(joint, every, given))
            case RelativeEntropy(first, second):
                return self.gathered(first.head, [(1, first), *((-1, d) for d in second)])
            case CrossEntropy(first, second):
                return self.gathered(first.head, [(-1, d) for d in second])
            case ExpectedLog(joint, second):
                return self.gathered(joint, [(1, d) for d in second])
            case Slack(estimate, side):
                gap = self.value(estimate) - self.value(estimate.term)
                return gap if side is Side.UPPER else -gap
        return self.special(term)

    def gathered(self, joint: str, parts: list[tuple[int, Density]]) -> Array:
        return sum((s * self.log(joint, d) for s, d in parts), np.zeros(self.size))

    def information(self, joint: str, groups: tuple[tuple[str, ...], ...], given: tuple[str, ...]) -> Array:
        """I(A;B|C) = H(A|C) - H(A|B,C), one group after the other."""
        if len(groups) == 1:
            return self.entropy(joint, groups[0], given)
        *rest, last = groups
        return self.information(joint, tuple(rest), given) - self.information(joint, tuple(rest), (*given, *last))

    def summands(self, expression: Expression) -> list[tuple[Array | float, Array]]:
        return [(coefficient(w.coefficient, self.drawn), self.value(w.term)) for w in expression]


class FiniteBatch(Batch):
    """Tables of shape (worlds, states of each variable), of size one where a variable does not occur."""

    def __init__(self, spec: Spec, seed: int, size: int, style: str):
        rng = np.random.default_rng((seed, STYLES.index(style), 11))
        super().__init__(spec, size, parameters(spec, rng, size))
        self.rng_key, self.style = seed, style
        self.axis = {v: i + 1 for i, v in enumerate(spec.variables)}
        split = _split_variables(spec)
        self.shape = {v: (2, 2) if v in split else (int(rng.integers(2, 4)),) for v in spec.variables}
        rooted = [j for j in spec.joints.values() if j.rooted]
        sharp = set(rooted[int(rng.integers(len(rooted)))].factors) if style in ("sparse", "deterministic") else set()
        everywhere = style == "near-singular" or (style == "sparse" and seed % 5 == 0)
        self.tables: dict[str, Array] = {}
        for factor in spec.factors.values():
            if not factor.components and not partial(spec, factor):
                own = style if factor in sharp or everywhere or style == "peaked" else "dense"
                if factor.family is not None and factor.family.name == "deterministic":
                    own = "deterministic"
                self.tables[factor.text] = self.random(rng, factor, own)

    def count(self, names: Iterable[str]) -> int:
        return math.prod(math.prod(self.shape[v]) for v in names)

    def random(self, rng: np.random.Generator, factor: Factor, style: str) -> Array:
        rows, states = self.count(factor.given), self.count(factor.of)
        shape = (self.size, rows, states)
        picked = np.eye(states)[rng.integers(states, size=shape[:2])]
        dense = rng.gamma(0.15 if style == "peaked" else 1.0, size=shape) + 1e-12
        match style:
            case "deterministic":
                table = picked
            case "sparse":
                table = np.maximum(rng.random(shape) < 0.55, picked) * dense
            case "near-singular":
                leak = 10.0 ** -rng.uniform(2, 8, (self.size, 1, 1))
                dense = dense / dense.sum(axis=2, keepdims=True)
                table = (1 - leak) * picked + leak * (0.9 * dense + 0.1 / states)
            case _:
                table = dense
        table = table / table.sum(axis=2, keepdims=True)
        names = [*factor.given, *factor.of]
        table = table.reshape([self.size, *(self.count([v]) for v in names)])
        order = sorted(range(len(names)), key=lambda i: self.axis[names[i]])
        table = table.transpose([0, *(i + 1 for i in order)])
        return table.reshape([self.size, *(self.count([v]) if v in names else 1 for v in self.axis)])

    def joint(self, name: str) -> Array:
        if ("joint", name) not in self.memory:
            product = np.ones([self.size, *(1 for _ in self.axis)])
            for factor in self.spec.joints[name].factors:
                product = product * self.table(factor)
            self.memory["joint", name] = product
        return self.memory["joint", name]

    def table(self, factor: Factor) -> Array:
        if factor.components:
            return sum((float(c.weight) * self.margin(self.joint(c.joint), c.of) for c in factor.components), np.zeros(1))
        if partial(self.spec, factor):
            return self.margin(self.tables[self.spec.sources[factor.head].text], factor.of)
        return self.tables[factor.text]

    def margin(self, table: Array, names: Iterable[str]) -> Array:
        keep = {self.axis[v] for v in names}
        return table.sum(axis=tuple(i for i in self.axis.values() if i not in keep), keepdims=True)

    def density(self, density: Density) -> Array:
        """r(a|b): the declared factor, else r(a,b) / r(b)."""
        key = ("density", density)
        if key not in self.memory:
            joint = self.spec.joints[density.head]
            own = [f for f in joint.factors if {*f.of} == {*density.of} and {*f.given} == {*density.given}]
            if own:
                self.memory[key] = self.table(own[0])
            else:
                both = self.margin(self.joint(density.head), density.scope)
                self.memory[key] = both / self.margin(both, density.given) if density.given else both
        return self.memory[key]

    def gathered(self, joint: str, parts: list[tuple[int, Density]]) -> Array:
        """The logarithms are added up before the mean is taken, so that infinities of one outcome meet."""
        law = self.margin(self.joint(joint), {v for _, d in parts for v in d.scope})
        total = sum((s * np.log(self.density(d)) for s, d in parts), np.zeros(1))
        return np.where(law > 0, law * total, 0.0).reshape(self.size, -1).sum(axis=1)

    def log(self, joint: str, density: Density) -> Array:
        return self.gathered(joint, [(1, density)])

    def grid(self, table: Array, groups: Iterable[Iterable[str]]) -> Array:
        """One axis a group of variables, after the axis of worlds."""
        parts = [tuple(g) for g in groups]
        names = [v for g in parts for v in g]
        full = np.broadcast_to(table, [self.size, *(self.count([v]) if v in names else 1 for v in self.axis)])
        rest = [i for v, i in self.axis.items() if v not in names]
        return full.transpose([0, *(self.axis[v] for v in names), *rest]).reshape([self.size, *(self.count(g) for g in parts)])

    def pair(self, term: Term) -> tuple[Array, Array]:
        """The two distributions that a divergence compares."""
        match term:
            case MutualInformation(joint, (a, b), given):
                p = self.grid(self.margin(self.joint(joint), (*given, *a, *b)), (given, a, b))
                base = p.sum(axis=(2, 3), keepdims=True)
                q = np.where(base > 0, p.sum(axis=3, keepdims=True) * p.sum(axis=2, keepdims=True) / base, 0.0)
            case TotalCorrelation(joint, ((variable,),), ()):
                p = self.grid(self.margin(self.joint(joint), (variable,)), ((variable,),)).reshape(self.size, 2, 2)
                q = p.sum(axis=2, keepdims=True) * p.sum(axis=1, keepdims=True)
            case TotalCorrelation(joint, groups, ()):
                p = self.margin(self.joint(joint), {v for g in groups for v in g})
                q = math.prod((self.margin(p, g) for g in groups), start=np.ones(1))
            case RelativeEntropy(first, second) | JensenShannon(first, second) | FDivergence(_, first, second):
                p = self.margin(self.joint(first.head), {v for d in (first, *second) for v in d.scope})
                q = self.margin(p, {v for d in (first, *second) for v in d.scope} - {*first.of})
                for d in second:
                    q = np.where(q > 0, q * self.density(d), 0.0)
            case _:
                raise AssertionError(term)
        full = np.broadcast_shapes(p.shape, q.shape)
        return np.broadcast_to(p, full).reshape(self.size, -1), np.broadcast_to(q, full).reshape(self.size, -1)

    def special(self, term: Term) -> Array:
        match term:
            case JensenShannon():
                return PERSPECTIVES["jensen-shannon"](*self.pair(term)).sum(axis=1)
            case FDivergence():
                return PERSPECTIVES[term.generator](*self.pair(term)).sum(axis=1)
            case TotalCorrelation():
                law, apart = self.pair(term)
                return _xlog(law, law, apart).sum(axis=1)
            case Estimate(MutualInformation(joint), "adversary", Density() as d):
                return self.value(Entropy(joint, d.of)) + self.value(ExpectedLog(joint, (d,)))
            case Estimate(inner, name):
                return self.estimate(inner, name)
        raise AssertionError(term)

    def critic(self, term: Term, shape: tuple[int, ...]) -> Array:
        rng = np.random.default_rng((self.rng_key, zlib.crc32(str(term).encode())))
        return rng.normal(size=shape) * rng.choice([0.1, 1.0, 3.0])

    def estimate(self, term: Term, name: str) -> Array:
        """The estimator's expectation with 2 or 3 draws, by sums over all of them; critics are random tables."""
        match term:
            case MutualInformation(joint, (a, b), ()) if name in ("infonce", "leave-one-out", "club"):
                law = self.grid(self.margin(self.joint(joint), (*a, *b)), (a, b))
                pa, pb = law.sum(axis=2), law.sum(axis=1)
                if name == "infonce":
                    f = self.critic(term, law.shape)
                    mixed = np.log((np.exp(f)[:, :, :, None] + np.exp(f)[:, :, None, :]) / 2)
                    return (law * f).sum(axis=(1, 2)) - (law[:, :, :, None] * pb[:, None, None, :] * mixed).sum(axis=(1, 2, 3))
                conditional = np.where(pa[:, :, None] > 0, law / pa[:, :, None], 1.0)
                own = np.where(law > 0, law * np.log(conditional), 0.0).sum(axis=(1, 2))
                if name == "club":
                    return own - np.where(
                        pa[:, :, None] * pb[:, None, :] > 0, pa[:, :, None] * pb[:, None, :] * np.log(conditional), 0.0
                    ).sum(axis=(1, 2))
                mean = np.log((conditional[:, :, None, :] + conditional[:, None, :, :]) / 2)
                weight = pa[:, :, None, None] * pa[:, None, :, None] * pb[:, None, None, :]
                return own - np.where(weight > 0, weight * mean, 0.0).sum(axis=(1, 2, 3))
            case ExpectedLog(joint, (density,)) if name == "iwae":
                return self.importance(joint, density)
            case CrossEntropy(first, (density,)) if name == "iwae":
                return -self.importance(first.head, density)
        p, q = self.pair(term)
        f = self.critic(term, p.shape)
        u = np.exp(f)
        match name:
            case "dv":
                return (p * f).sum(axis=1) - np.log((q * u).sum(axis=1))
            case "nwj":
                return 1 + (p * f).sum(axis=1) - (q * u).sum(axis=1)
            case "logistic":
                return math.log(2) - 0.5 * (p * np.log1p(np.exp(-f))).sum(axis=1) - 0.5 * (q * np.log1p(u)).sum(axis=1)
            case "dual" if isinstance(term, FDivergence):
                slope = SLOPES[term.generator](u)
                g = PERSPECTIVES[term.generator](u, np.ones_like(u))
                return (p * slope).sum(axis=1) - (q * (u * slope - g)).sum(axis=1)
        raise AssertionError(f"{name}[{term}]")

    def importance(self, joint: str, density: Density) -> Array:
        """E_J log (w1 + w2)/2 with w = r(x,z|y) / j(z|x,y) and the z drawn from j(z|x,y)."""
        sampler, model = self.spec.joints[joint], self.spec.joints[density.head]
        seen = (*density.of, *density.given)
        hidden = tuple(v for v in model.variables if v in sampler.variables and v not in seen)
        law = self.grid(self.margin(self.joint(joint), (*seen, *hidden)), (seen, hidden))
        proposal = np.where(law > 0, law / law.sum(axis=2, keepdims=True), 0.0)
        target = self.grid(self.density(Density(density.head, (*density.of, *hidden), density.given)), (seen, hidden))
        w = np.where(proposal > 0, target / np.where(proposal > 0, proposal, 1), 0.0)
        mean = np.log((w[:, :, :, None] + w[:, :, None, :]) / 2)
        weight = law[:, :, :, None] * proposal[:, :, None, :]
        return np.where(weight > 0, weight * mean, 0.0).sum(axis=(1, 2, 3))


def partial(spec: Spec, factor: Factor) -> bool:
    """Whether a factor is a marginal of a source."""
    return factor.head in spec.sources and spec.sources[factor.head] != factor


def _split_variables(spec: Spec) -> set[str]:
    """Variables over whose coordinates a total correlation is asked for."""
    from ibsym.spec.grammar import quantities

    asked = [*quantities(spec.objective.expression), *(e.term for e in spec.estimators)]
    return {q.groups[0][0].casefold() for q in asked if q.kind == "TC" and len(q.groups) == 1}


class GaussianBatch(Batch):
    """Every factor N(W b + c, S): means and covariances of joints, expected log-densities by traces and determinants."""

    def __init__(self, spec: Spec, seed: int, size: int):
        rng = np.random.default_rng((seed, 23))
        super().__init__(spec, size, parameters(spec, rng, size))
        self.dims = {v: int(rng.integers(1, 3)) for v in spec.variables}
        self.laws: dict[str, tuple[Array, Array, Array]] = {}
        unit = np.exp(rng.uniform(-3, 1.5, size))
        for factor in spec.factors.values():
            if factor.components or partial(spec, factor):
                continue
            n, m = (sum(self.dims[v] for v in names) for names in (factor.of, factor.given))
            root = rng.normal(size=(size, n, n))
            spread = rng.uniform(0.05, 1.0, (size, n)) * 10.0 ** -rng.choice([0, 0, 0, 2], size)[:, None]
            noise = (root @ root.transpose(0, 2, 1) + spread[:, :, None] * np.eye(n)) * (
                unit**2 * np.exp(rng.uniform(-2, 1, size))
            )[:, None, None]
            weights = rng.normal(size=(size, n, m)) * (rng.random((size, n, m)) < 0.85)
            self.laws[factor.text] = weights, unit[:, None] * rng.normal(size=(size, n)), noise

    @staticmethod
    def reaches(spec: Spec, expressions: Iterable[Expression]) -> bool:
        """Whether every term is linear in log-densities that are Gaussian, none of them a mixture's."""

        def densities(term: Term) -> list[Density] | None:
            match term:
                case Entropy(joint, of, given):
                    return [Density(joint, of, given)]
                case MutualInformation(joint, groups, given):
                    return [Density(joint, tuple(v for g in groups for v in g), given)]
                case TotalCorrelation(joint, groups, given) if len(groups) > 1:
                    return [Density(joint, tuple(v for g in groups for v in g), given)]
                case RelativeEntropy(first, second):
                    return [first, *second]
                case CrossEntropy(first, second):
                    return list(second)
                case ExpectedLog(_, second):
                    return list(second)
            return None

        for term in {w.term for e in expressions for w in e}:
            found = densities(term)
            if found is None:
                return False
            for d in found:
                joint = spec.joints[d.head]
                if any(f.components for f in joint.ancestral_factors(d.scope)):
                    return False
        return True

    def moments(self, name: str) -> tuple[dict[str, slice], Array, Array]:
        key = ("moments", name)
        if key not in self.memory:
            places: dict[str, slice] = {}
            mean, cov = np.zeros((self.size, 0)), np.zeros((self.size, 0, 0))
            for v in self.spec.ordered(self.spec.joints[name].external):  # any law: only conditionals are read off
                start = mean.shape[1]
                places[v] = slice(start, start + self.dims[v])
                mean = np.concatenate([mean, np.zeros((self.size, self.dims[v]))], axis=1)
            cov = np.broadcast_to(np.eye(mean.shape[1]), (self.size, mean.shape[1], mean.shape[1]))
            pending = list(self.spec.joints[name].factors)
            while pending:
                factor = next(f for f in pending if {*f.given} <= set(places))
                pending.remove(factor)
                weights, offset, noise = self.mixture(factor) if factor.components else self.law(factor)
                index = _index(places, factor.given)
                cross = weights @ cov[:, index, :]
                own = weights @ cov[:, index][:, :, index] @ weights.transpose(0, 2, 1) + noise
                new = (weights @ mean[:, index, None])[:, :, 0] + offset
                cov = np.concatenate(
                    [np.concatenate([cov, cross.transpose(0, 2, 1)], axis=2), np.concatenate([cross, own], axis=2)], axis=1
                )
                mean = np.concatenate([mean, new], axis=1)
                for v in factor.of:
                    start = max((s.stop for s in places.values()), default=0)
                    places[v] = slice(start, start + self.dims[v])
            self.memory[key] = (places, mean, cov)  # type: ignore[assignment]
        return self.memory[key]  # type: ignore[return-value]

    def law(self, factor: Factor) -> tuple[Array, Array, Array]:
        if not partial(self.spec, factor):
            return self.laws[factor.text]
        places, mean, cov = self.moments(factor.head)
        index = _index(places, factor.of)
        return np.zeros((self.size, len(index), 0)), mean[:, index], cov[:, index][:, :, index]

    def mixture(self, factor: Factor) -> tuple[Array, Array, Array]:
        parts = []
        for c in factor.components:
            places, mean, cov = self.moments(c.joint)
            index = _index(places, factor.of)
            parts.append((float(c.weight), mean[:, index], cov[:, index][:, :, index]))
        mean = sum((w * m for w, m, _ in parts), np.zeros(1))
        cov = sum((w * (s + (m - mean)[:, :, None] * (m - mean)[:, None, :]) for w, m, s in parts), np.zeros(1))
        return np.zeros((self.size, mean.shape[1], 0)), mean, cov

    def normal(self, law: tuple[Array, Array], residual: tuple[Array, Array]) -> Array:
        """E log N(e; m, S) where e has the given mean and covariance."""
        (m, s), (mean, cov) = law, residual
        d = mean - m
        second = cov + d[:, :, None] * d[:, None, :]
        trace = np.trace(np.linalg.solve(s, second), axis1=1, axis2=2)
        return -0.5 * (m.shape[1] * math.log(2 * math.pi) + np.linalg.slogdet(s)[1] + trace)

    def log(self, joint: str, density: Density) -> Array:
        places, mean, cov = self.moments(joint)
        own = [f for f in self.spec.joints[density.head].factors if {*f.of} == {*density.of} and {*f.given} == {*density.given}]
        if own:
            weights, offset, noise = self.law(own[0])
            index = _index(places, (*own[0].of, *own[0].given))
            n = offset.shape[1]
            combine = np.concatenate([np.broadcast_to(np.eye(n), (self.size, n, n)), -weights], axis=2)
            e = (combine @ mean[:, index, None])[:, :, 0]
            spread = combine @ cov[:, index][:, :, index] @ combine.transpose(0, 2, 1)
            return self.normal((offset, noise), (e, spread))

        def marginal(names: tuple[str, ...]) -> Array:
            if not names:
                return np.zeros(self.size)
            theirs, m, s = self.moments(density.head)
            here, there = _index(places, names), _index(theirs, names)
            return self.normal((m[:, there], s[:, there][:, :, there]), (mean[:, here], cov[:, here][:, :, here]))

        return marginal((*density.of, *density.given)) - marginal(density.given)


def _index(places: dict[str, slice], names: Iterable[str]) -> NDArray[np.intp]:
    return np.array(list(itertools.chain(*(range(places[v].start, places[v].stop) for v in names))), dtype=np.intp)
