"""Finite worlds: every factor a table, every joint an exact product of tables, every term an exact sum, in nats.

A world satisfies the graphs of its spec by construction and nothing more. Arrays have one axis a variable of the spec, of size
one where the variable does not occur, so that a product of factors is a product of arrays.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal, TypeAlias, assert_never, get_args

import numpy as np
import sympy
from numpy.typing import NDArray

from ibsym.checking import divergences, estimates
from ibsym.errors import IbsymError
from ibsym.spec.grammar import QuantitySyntax, quantities
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

Table: TypeAlias = NDArray[np.float64]
Style: TypeAlias = Literal["dense", "sparse", "deterministic", "near-singular"]
STYLES: tuple[Style, ...] = get_args(Style)
MAX_STATES = 20_000


class FiniteWorld:
    """A table for every factor of a spec, and a value for every parameter.

    >>> spec = Spec(name="compress", objective="minimize I_q(X;Z)", variables={"x": "binary[D]", "z": "binary[L]"},
    ...             joints={"q": "data(x) q(z|x)"}, families={"q(z|x)": "bernoulli"})
    >>> world = FiniteWorld.random(spec, 0)
    >>> bool(abs(world.joint("q").sum() - 1) < 1e-12), world.value(MutualInformation("q", (("x",), ("z",)))) > 0
    (True, True)
    """

    def __init__(
        self,
        spec: Spec,
        shapes: Mapping[str, tuple[int, ...]],
        tables: Mapping[str, Table],
        parameters: Mapping[str, float],
        *,
        seed: int = 0,
        style: Style = "dense",
        draws: int = 2,
    ):
        self.spec, self.shapes, self.tables, self.parameters = spec, dict(shapes), dict(tables), dict(parameters)
        self.seed, self.style, self.draws = seed, style, draws
        self.axes = {v: i for i, v in enumerate(spec.variables)}
        self.critics: dict[str, Table] = {}
        self._joints: dict[str, Table] = {}
        self._values: dict[Term, float] = {}

    @staticmethod
    def random(
        spec: Spec, seed: int, *, sizes: Mapping[str, int | tuple[int, ...]] | None = None, style: Style = "dense"
    ) -> FiniteWorld:
        """A world drawn from a seed: alphabets of 2 or 3 symbols (2 x 2 where coordinates are asked for), random tables.

        ``sparse`` and ``deterministic`` tables belong to one joint that the objective samples; the others stay dense, so that
        its relative entropies are finite. ``near-singular`` tables are almost deterministic, all of them.
        """
        rng = np.random.default_rng((seed, STYLES.index(style)))
        shapes = _shapes(spec, rng, sizes or {})
        axes = {v: i for i, v in enumerate(spec.variables)}
        sampled = [n for n in sampled_joints(spec) if n in spec.joints and spec.joints[n].rooted]
        sharp: set[Factor] = set()
        if style in ("sparse", "deterministic") and sampled:
            sharp = set(spec.joints[sampled[int(rng.integers(len(sampled)))]].factors)
        tables: dict[str, Table] = {}
        for factor in own_factors(spec):
            given = math.prod(math.prod(shapes[v]) for v in factor.given)
            of = math.prod(math.prod(shapes[v]) for v in factor.of)
            rows = _rows(rng, given, of, style if factor in sharp or style == "near-singular" else "dense")
            order = sorted(range(len(factor.given) + len(factor.of)), key=lambda i, f=factor: axes[(*f.given, *f.of)[i]])  # type: ignore[misc]
            split = rows.reshape([math.prod(shapes[v]) for v in (*factor.given, *factor.of)]).transpose(order)
            tables[factor.text] = split.reshape(
                [math.prod(shapes[v]) if v in (*factor.given, *factor.of) else 1 for v in spec.variables]
            )
        parameters = {n: parameter_value(rng, e.default, *e.interval) for n, e in spec.parameters.items()}
        return FiniteWorld(spec, shapes, tables, parameters, seed=seed, style=style, draws=2 + seed % 2)

    def table(self, factor: Factor) -> Table:
        """A factor's table: its own, or the weighted marginals of a mixture's components."""
        if factor.components:
            return sum((float(c.weight) * self.marginal(c.joint, c.of) for c in factor.components), np.zeros(1))
        if factor.text not in self.tables:
            return self.without(self.tables[self.spec.sources[factor.head].text], factor.of)
        return self.tables[factor.text]

    def joint(self, name: str) -> Table:
        """The joint's probabilities, over the axes of its variables."""
        joint = self.spec.joints[name]
        if not joint.rooted:
            outside = ", ".join(self.spec.ordered(joint.external))
            raise IbsymError(f"{name} conditions on {outside}, no expectation can be taken under it")
        return self._product(name)

    def _product(self, name: str) -> Table:
        """The product of a joint's factors, and of a uniform law of what it conditions on: any law gives the same conditionals."""
        if name not in self._joints:
            joint = self.spec.joints[name]
            product: Table = np.ones([1] * len(self.axes))
            for factor in joint.factors:
                product = product * self.table(factor)
            self._joints[name] = product / math.prod(math.prod(self.shapes[v]) for v in joint.external)
        return self._joints[name]

    def without(self, table: Table, scope: Iterable[str]) -> Table:
        """The sum over every variable outside of the scope."""
        keep = {self.axes[v] for v in scope}
        summed: Table = table.sum(axis=tuple(i for i in range(table.ndim) if i not in keep), keepdims=True)
        return summed

    def marginal(self, name: str, scope: Iterable[str]) -> Table:
        """The joint's marginal of some variables."""
        return self.without(self.joint(name), scope)

    def density(self, density: Density) -> Table:
        """r(a|b) as a table: a declared factor as it is, else a ratio of marginals (nan where b cannot happen)."""
        factor = self.spec.joints[density.head].factor_of(density.of, density.given)
        if factor is not None:
            return self.table(factor)
        whole = self._product(density.head)
        both = self.without(whole, density.scope)
        if not density.given:
            return both
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Table = both / self.without(whole, density.given)
        return ratio

    def expected_log(self, joint: str, parts: Iterable[tuple[int, Density]]) -> float:
        """E_J of a signed sum of log-densities; infinite where J reaches what a density excludes, nan where it is undefined."""
        weighted = list(parts)
        law = self.marginal(joint, {v for _, d in weighted for v in d.scope})
        total: Table = np.zeros([1] * len(self.axes))
        with np.errstate(divide="ignore", invalid="ignore"):
            for sign, density in weighted:
                total = total + sign * np.log(self.density(density))
            reached = law > 0
            return float((law[reached] * np.broadcast_to(total, law.shape)[reached]).sum())

    def grid(self, table: Table, groups: Iterable[Iterable[str]]) -> Table:
        """The table with one axis a group of variables, each group's states in one row."""
        parts = [tuple(g) for g in groups]
        names = [v for g in parts for v in g]
        full = np.broadcast_to(table, [math.prod(self.shapes[v]) if v in names else 1 for v in self.axes])
        ordered = full.transpose([*(self.axes[v] for v in names), *(i for v, i in self.axes.items() if v not in names)])
        return ordered.reshape([math.prod(math.prod(self.shapes[v]) for v in g) for g in parts])

    def entropy(self, joint: str, of: tuple[str, ...], given: tuple[str, ...] = ()) -> float:
        """H_J(A|B)."""
        return -self.expected_log(joint, [(1, Density(joint, of, given))]) if of else 0.0

    def coordinate_correlation(self, joint: str, variable: str) -> float:
        """TC_J over the coordinates of one variable, whose alphabet is a product."""
        return divergences.correlation(self.marginal(joint, (variable,)).reshape(self.product(variable)))

    def product(self, variable: str) -> tuple[int, ...]:
        """The numbers of values of a variable's coordinates."""
        shape = self.shapes[variable]
        if len(shape) < 2:
            raise IbsymError(f"{variable} has no coordinates in this world: give its size as a tuple")
        return shape

    def pair(self, term: Term) -> tuple[Table, Table]:
        """The two distributions P, Q that a divergence (or an information, as one) compares, over equal axes."""
        match term:
            case RelativeEntropy(first, second) | JensenShannon(first, second) | FDivergence(_, first, second):
                scope = {v for d in (first, *second) for v in d.scope}
                p = self.marginal(first.head, scope)
                q = self.without(p, scope - set(first.of))
                for density in second:
                    q = np.where(q == 0, 0.0, q * self.density(density))
            case MutualInformation(joint, groups, given) | TotalCorrelation(joint, groups, given) if len(groups) > 1:
                p = self.marginal(joint, {v for g in groups for v in g} | set(given))
                base = self.without(p, given)
                q = base
                with np.errstate(divide="ignore", invalid="ignore"):
                    for group in groups:
                        q = q * np.nan_to_num(self.without(p, {*group, *given}) / base)
            case TotalCorrelation(joint, ((variable,),)):
                p = self.marginal(joint, (variable,))
                q = divergences.independent(p.reshape(self.product(variable))).reshape(p.shape)
            case _:
                raise IbsymError(f"{term} does not compare two distributions")
        full = np.broadcast_shapes(p.shape, q.shape)
        return np.broadcast_to(p, full), np.broadcast_to(q, full)

    def critic(self, term: Term) -> Table:
        """A fixed random critic over the samples of a term, the same for every call."""
        text = str(term)
        if text not in self.critics:
            rng = np.random.default_rng((self.seed, zlib.crc32(text.encode())))
            self.critics[text] = rng.normal(size=self.pair(term)[0].shape)
        return self.critics[text]

    def value(self, term: Term) -> float:
        """The term's value in nats; infinite or nan where it is not defined in this world."""
        if term not in self._values:
            self._values[term] = self._value(term)
        return self._values[term]

    def _value(self, term: Term) -> float:
        match term:
            case Entropy(joint, of, given):
                return self.entropy(joint, of, given)
            case MutualInformation(joint, groups, given):
                return self._inclusion_exclusion(joint, groups, given)
            case TotalCorrelation() if term.coordinatewise:
                return self.coordinate_correlation(term.joint, term.groups[0][0])
            case TotalCorrelation(joint, groups, given):
                everything = tuple(v for g in groups for v in g)
                return sum(self.entropy(joint, g, given) for g in groups) - self.entropy(joint, everything, given)
            case RelativeEntropy(first, second):
                return self.expected_log(first.head, [(1, first), *((-1, d) for d in second)])
            case CrossEntropy(first, second):
                return self.expected_log(first.head, [(-1, d) for d in second])
            case ExpectedLog(joint, second):
                return self.expected_log(joint, [(1, d) for d in second])
            case JensenShannon():
                return divergences.divergence("jensen-shannon", *self.pair(term))
            case FDivergence():
                return divergences.divergence(term.generator, *self.pair(term))
            case Estimate():
                return estimates.value(self, term)
            case Slack(estimate, side):
                return side.sign * (self.value(estimate) - self.value(estimate.term))
        assert_never(term)

    def _inclusion_exclusion(self, joint: str, groups: tuple[tuple[str, ...], ...], given: tuple[str, ...]) -> float:
        total = 0.0
        for chosen in range(1, 1 << len(groups)):
            members = tuple(v for i, g in enumerate(groups) if chosen >> i & 1 for v in g)
            total += (1 if chosen.bit_count() % 2 else -1) * self.entropy(joint, members, given)
        return total

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
        """Coefficients and values, term by term; a term of coefficient zero is left out."""
        weighted = [(self.coefficient(w.coefficient), w.term) for w in expression]
        return [(c, self.value(t)) for c, t in weighted if c]


def symbols(parameters: Mapping[str, float]) -> dict[sympy.Expr, sympy.Expr]:
    """Parameters as an expression has them, and their values."""
    return {sympy.Symbol(n, real=True): sympy.Float(v, 30) for n, v in parameters.items()}


def number(expression: sympy.Expr, at: dict[sympy.Expr, sympy.Expr]) -> float:
    """An expression's value where its symbols have these values."""
    return float(expression if expression.is_Rational else expression.xreplace(at))


def own_factors(spec: Spec) -> list[Factor]:
    """The factors whose tables are drawn: neither mixtures nor marginals of a source, which follow from others."""
    every = {f.text: f for j in spec.joints.values() for f in j.factors if not f.components}
    return [f for f in every.values() if not f.empirical or f == spec.sources[f.head]]


def sampled_joints(spec: Spec) -> list[str]:
    """The joints that the objective's expectations are taken under."""
    found: dict[str, None] = {}
    for quantity in quantities(spec.objective.expression):
        if quantity.first is not None:
            found[quantity.first.head] = None
        elif quantity.joint is not None:
            found[quantity.joint] = None
    return list(found) or [n for n, j in spec.joints.items() if j.rooted]


def _with_coordinates(spec: Spec) -> set[str]:
    """The variables over whose coordinates a total correlation is asked for."""
    asked: list[QuantitySyntax] = [*quantities(spec.objective.expression), *(e.term for e in spec.estimators)]
    return {spec.resolve(q.groups[0][0], "objective", capital=True) for q in asked if q.kind == "TC" and len(q.groups) == 1}


def _shapes(spec: Spec, rng: np.random.Generator, sizes: Mapping[str, int | tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    products = _with_coordinates(spec)
    shapes: dict[str, tuple[int, ...]] = {}
    for variable in spec.variables:
        drawn = int(rng.integers(2, 4)) if 3 ** len(spec.variables) <= MAX_STATES else 2
        size = sizes.get(variable, (2, 2) if variable in products else drawn)
        shapes[variable] = size if isinstance(size, tuple) else (size,)
    return shapes


def _normalised(rows: Table) -> Table:
    shares: Table = rows / rows.sum(axis=1, keepdims=True)
    return shares


def _rows(rng: np.random.Generator, given: int, of: int, style: Style) -> Table:
    """A distribution over ``of`` states for each of ``given`` conditions."""
    dense = rng.dirichlet(np.ones(of), size=given)
    picked = np.eye(of)[rng.integers(of, size=given)]
    match style:
        case "dense":
            return np.asarray(dense, dtype=np.float64)
        case "deterministic":
            return picked
        case "near-singular":
            leak = 10.0 ** -rng.uniform(2, 8)
            return np.asarray((1 - leak) * picked + leak * (0.9 * dense + 0.1 / of))
        case "sparse":
            kept = np.maximum(rng.random((given, of)) < 0.6, picked) * dense
            return _normalised(kept)
    assert_never(style)


def parameter_value(rng: np.random.Generator, default: float, low: float, high: float) -> float:
    """A value inside the interval: uniform where it is bounded, else within a few units of its end or default."""
    if math.isfinite(low) and math.isfinite(high):
        return float(rng.uniform(low, high))
    if math.isfinite(low):
        return low + float(rng.exponential(2.0))
    if math.isfinite(high):
        return high - float(rng.exponential(2.0))
    return default + float(rng.normal())
