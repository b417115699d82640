"""The loss as it is minimised, in finite worlds: sum w * (value or surrogate of each critic's term) at random critics, by exact sums.

Where a bound is claimed, it holds at every critic; where a gradient is called exact, it is the exact term's at the best critic, in every
learned factor, by differences in the logits of the factor's table. The formulas are a second copy, apart from those that are emitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ibsym.checking import divergences
from ibsym.checking.exact import Facts
from ibsym.checking.finite import FiniteWorld, Table, own_factors
from ibsym.derivation.model import BoundTerm, Derivation
from ibsym.errors import AuditError
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Relation, Side, Sign
from ibsym.spec.graphs import Factor
from ibsym.terms.measures import Estimate, FDivergence, JensenShannon, Term

TOLERANCE, SLOPE_TOLERANCE, STEP = 1e-9, 1e-6, 1e-4
SCALES = (0.1, 1.0, 3.0)
FLOOR = 0.2


def check_losses(derivation: Derivation, side: Side, facts: Facts, worlds: int, seed: int) -> int:
    """Every critic's term of a derivation, and its whole loss, in random worlds; returns how many comparisons were made."""
    items = [b for b in derivation.bound if b.model_side is not None]
    for item in items:
        _check_words(derivation, item, side, facts)
    if not items:
        return 0
    count = 0
    for index in range(worlds):
        world = smooth(FiniteWorld.random(derivation.spec, seed + index))
        rng = np.random.default_rng((seed + index, 211))
        count += sum(_check_bounds(world, item, rng) + _check_slopes(world, item, rng) for item in items)
        if derivation.relation is side.relation:
            count += _check_whole(world, derivation, side, rng)
    return count


def smooth(world: FiniteWorld) -> FiniteWorld:
    """The world with every table mixed with the uniform one, so that log P/Q is bounded."""
    tables = {}
    for factor in own_factors(world.spec):
        table = world.tables[factor.text]
        tables[factor.text] = (1 - FLOOR) * table + FLOOR / np.prod([table.shape[world.axes[v]] for v in factor.of])
    return FiniteWorld(world.spec, world.shapes, tables, world.parameters, seed=world.seed, draws=world.draws)


def plain(item: BoundTerm) -> Term:
    """What a term of the bound is an estimate of."""
    return item.term.term if isinstance(item.term, Estimate) else item.term


def minimised(item: BoundTerm, p: Table, q: Table, f: Table) -> float:
    """What the loss has for a critic's term, as an expectation under P and Q, at a critic f."""
    term, side = plain(item), item.model_side
    assert side is not None
    if not side.surrogate:
        return value(item.estimator, term, p, q, f)
    if side.form == "nwj":
        return float(-(q * np.exp(f)).sum() + ((p * f).sum() if side.first else 0.0))
    own, other = non_saturating(term)
    return float((q * other(f)).sum() + ((p * own(f)).sum() if side.first else 0.0))


def value(estimator: str, term: Term, p: Table, q: Table, f: Table) -> float:
    """A critic's estimate of D(P||Q)."""
    match estimator:
        case "density-ratio":
            return float((p * f).sum())
        case "dv":
            return divergences.donsker_varadhan(p, q, f)
        case "logistic":
            return divergences.logistic(p, q, f)
        case "nwj" | "dual":
            generator = term.generator if isinstance(term, FDivergence) else "kl"
            return divergences.dual(generator, p, q, f)
    raise AuditError(f"{estimator} of {term} has no value that the audit knows")


def non_saturating(term: Term) -> tuple[Callable[[Table], Table], Callable[[Table], Table]]:
    """On samples of P and of Q: s(-f) keeps its slope where the critic is sure of Q's samples, as -g'(e^f) does."""
    match term:
        case JensenShannon() | FDivergence(generator="jensen-shannon"):
            return lambda f: np.logaddexp(0, f) / 2, lambda f: np.logaddexp(0, -f) / 2
        case FDivergence(generator=generator) if generator != "kl":
            slope = divergences.GENERATORS[generator][1]
            return lambda f: slope(np.exp(f)), lambda f: -slope(np.exp(f))
    return lambda f: f, lambda f: np.logaddexp(0, -f)


def critics(p: Table, q: Table, rng: np.random.Generator) -> Iterator[Table]:
    """Random critics of several sizes, and the best one moved a little, by noise and by a constant."""
    best = np.log(p) - np.log(q)
    for scale in SCALES:
        noise = scale * rng.normal(size=p.shape)
        yield from (noise, best + noise, best + scale * rng.normal())


def _check_words(derivation: Derivation, item: BoundTerm, side: Side, facts: Facts) -> None:
    """The sign that the loss was chosen by is the weight's own, and a step claims a bound only where the loss has one."""
    assert item.model_side is not None
    coefficient = side.sign * item.coefficient
    if item.model_side.weight is not facts.sign(coefficient):
        raise AuditError(
            f"{item.text} is weighted by {coefficient}, and its loss was chosen for the sign {item.model_side.weight.value}"
        )
    for step in derivation.steps:
        fresh = {w.term for w in step.after} - {w.term for w in step.before}
        if item.term in fresh and step.rule in ESTIMATORS and item.model_side.bounds is (step.relation is Relation.APPROX):
            claim = "a bound" if item.model_side.bounds else "no bound"
            raise AuditError(f"the step of {item.term} claims {step.relation}, and its loss is called {claim}")


def _check_bounds(world: FiniteWorld, item: BoundTerm, rng: np.random.Generator) -> int:
    """A term whose loss is called a bound is one at every critic, on the side that its weight needs, and meets it at the best one."""
    assert item.model_side is not None
    if not item.model_side.bounds:
        return 0
    p, q = world.pair(plain(item))
    exact = world.value(plain(item))
    above = item.model_side.weight is not Sign.NONPOSITIVE
    met = minimised(item, p, q, np.log(p) - np.log(q))
    if not abs(met - exact) <= TOLERANCE * (1 + abs(exact)):
        raise AuditError(
            f"the loss of {item.text} by {item.estimator} ({item.model}) is {met:.6g} at the best critic, and the term {exact:.6g}, "
            f"in world {world.seed}"
        )
    count = 0
    for f in critics(p, q, rng):
        difference = minimised(item, p, q, f) - exact
        count += 1
        if not (difference if above else -difference) >= -TOLERANCE * (1 + abs(exact)):
            raise AuditError(
                f"the loss of {item.text} by {item.estimator} ({item.model}) is on the wrong side of it by {abs(difference):.3g} nats "
                f"at a random critic in world {world.seed}"
            )
    return count


def _check_whole(world: FiniteWorld, derivation: Derivation, side: Side, rng: np.random.Generator) -> int:
    """objective (relation) what is minimised + constants, every critic at random."""
    for critic_scale in SCALES:
        total = world.evaluate(derivation.apart)
        scale = 1 + abs(total)
        for item in derivation.bound:
            weight = world.coefficient(item.coefficient)
            if item.model_side is None:
                size = world.value(item.term)
            else:
                p, q = world.pair(plain(item))
                f = (np.log(p) - np.log(q)) * rng.uniform() + critic_scale * rng.normal(size=p.shape)
                size = minimised(item, p, q, f)
            total, scale = total + weight * size, scale + abs(weight * size)
        difference = total - world.evaluate(derivation.objective)
        if np.isfinite(difference) and not side.sign * difference >= -TOLERANCE * scale:
            raise AuditError(
                f"the loss claims {derivation.objective} {side.relation} it, and misses by {abs(difference):.3g} nats at random critics "
                f"in world {world.seed}"
            )
    return len(SCALES)


def _check_slopes(world: FiniteWorld, item: BoundTerm, rng: np.random.Generator) -> int:
    """Where the gradient is called exact: at the best critic, the loss changes with every learned factor as the exact term does."""
    assert item.model_side is not None
    if not item.model_side.exact:
        return 0
    term = plain(item)
    p, q = world.pair(term)
    best = np.log(p) - np.log(q)
    learned = [f for f in world.spec.factors.values() if f.learned]
    for factor in learned:
        direction = rng.normal(size=world.tables[factor.text].shape)
        ahead, behind = (moved(world, factor, step * direction) for step in (STEP, -STEP))
        wanted = (ahead.value(term) - behind.value(term)) / (2 * STEP)
        got = (minimised(item, *ahead.pair(term), best) - minimised(item, *behind.pair(term), best)) / (2 * STEP)
        if not abs(got - wanted) <= SLOPE_TOLERANCE * (1 + abs(wanted)):
            raise AuditError(
                f"the loss of {item.text} by {item.estimator} ({item.model}) has the slope {got:.6g} in {factor} at the best critic, "
                f"and the term has {wanted:.6g}, in world {world.seed}"
            )
    return len(learned)


def moved(world: FiniteWorld, factor: Factor, change: Table) -> FiniteWorld:
    """The world with the logits of one factor's table changed."""
    weights = world.tables[factor.text] * np.exp(change)
    over = tuple(world.axes[v] for v in factor.of)
    tables = {**world.tables, factor.text: weights / weights.sum(axis=over, keepdims=True)}
    return FiniteWorld(world.spec, world.shapes, tables, world.parameters, seed=world.seed, draws=world.draws)
