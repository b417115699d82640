"""What an estimator's value is in a finite world, by exact sums: expectations over all draws, critics as fixed random tables.

A second copy, on purpose: which terms an estimator is one of and from which side it bounds them is written here apart from
:mod:`ibsym.estimators`, so that a mistake there is noticed. One that is unknown here claims no side and stands for its term.

An estimate that has no direction, and a surrogate, stands for its term. The duals take the world's critic, Donsker and
Varadhan's too, which is a lower bound with exact expectations and no more. The multi-sample estimates are expectations over
every outcome of K draws.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ibsym.checking import divergences
from ibsym.errors import IbsymError
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Side
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Estimate,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)

if TYPE_CHECKING:
    from ibsym.checking.finite import FiniteWorld, Table


def admits(estimate: Estimate) -> bool:
    """Whether an estimator is one of the term: of a relative entropy, an information, a divergence, a log-marginal."""
    match estimate.estimator, estimate.term:
        case "density-ratio" | "dv" | "nwj", RelativeEntropy() | MutualInformation(groups=(_, _)) | TotalCorrelation():
            return True
        case "mmd" | "sliced-wasserstein", RelativeEntropy() | TotalCorrelation() | JensenShannon() | FDivergence():
            return True
        case "mmd" | "sliced-wasserstein" | "infonce" | "leave-one-out" | "club" | "pairwise-kl", MutualInformation(
            groups=(_, _)
        ):
            return True
        case "minibatch-weighted" | "minibatch-stratified", RelativeEntropy() | TotalCorrelation() | MutualInformation(
            groups=(_, _)
        ):
            return True
        case "adversary", MutualInformation(groups=(a, b)):
            density = estimate.density
            return density is not None and {frozenset(density.of), frozenset(density.given)} == {frozenset(a), frozenset(b)}
        case ("batch-marginal", RelativeEntropy()) | ("logistic", JensenShannon()) | ("dual", FDivergence()):
            return True
        case "iwae", ExpectedLog(second=(_,)) | CrossEntropy(second=(_,)):
            return True
        case name, RelativeEntropy() | JensenShannon() | FDivergence() | MutualInformation(groups=(_, _)) | TotalCorrelation():
            return name not in KNOWN and name in ESTIMATORS
        case name, ExpectedLog(second=(_,)) | CrossEntropy(second=(_,)):
            return name not in KNOWN and name in ESTIMATORS and "E" in ESTIMATORS[name].estimates
    return False


def side(estimate: Estimate) -> Side | None:
    """The side from which an estimate bounds its term whatever its critic, or None."""
    if isinstance(estimate.term, CrossEntropy):
        return -SIDES["iwae"] if estimate.estimator == "iwae" else None
    if estimate.density is not None and estimate.estimator != "adversary":
        return None  # another conditional than the true one
    return SIDES.get(estimate.estimator)


KNOWN = frozenset(
    (
        *("density-ratio", "dv", "nwj", "logistic", "dual", "mmd", "sliced-wasserstein", "minibatch-weighted"),
        *("minibatch-stratified", "batch-marginal", "infonce", "iwae", "leave-one-out", "club", "adversary", "pairwise-kl"),
    )
)
SIDES = {
    **dict.fromkeys(("nwj", "logistic", "dual", "infonce", "iwae", "adversary"), Side.LOWER),
    **dict.fromkeys(("leave-one-out", "club"), Side.UPPER),
}


def value(world: FiniteWorld, estimate: Estimate) -> float:
    """The estimate's expectation under exact sampling."""
    term, name = estimate.term, estimate.estimator
    if not admits(estimate):
        raise IbsymError(f"{name} does not estimate {term}")
    if side(estimate) is None and name != "dv":
        return world.value(term)
    match name, term:
        case "adversary", MutualInformation(joint) if estimate.density is not None:
            return world.entropy(joint, estimate.density.of) + world.expected_log(joint, [(1, estimate.density)])
        case _, MutualInformation() if name in ("infonce", "leave-one-out", "club"):
            return _pairs(world, name, term)
        case _, ExpectedLog(joint, (density,)):
            return _importance(world, joint, density)
        case _, CrossEntropy(first, (density,)):
            return -_importance(world, first.head, density)
        case "dv", _:
            return divergences.donsker_varadhan(*world.pair(term), world.critic(term))
        case "logistic", _:
            return divergences.logistic(*world.pair(term), world.critic(term))
    generator = term.generator if isinstance(term, FDivergence) else "kl"
    return divergences.dual(generator, *world.pair(term), world.critic(term))


def _pairs(world: FiniteWorld, name: str, term: MutualInformation) -> float:
    """An estimate of I_J(A;B|C) from K pairs (a_k, b_k), all drawn given the same c."""
    first, second = term.groups
    law, scores = (world.grid(t, (term.given, first, second)) for t in (world.pair(term)[0], world.critic(term)))
    total = 0.0
    for part, critic in zip(law, scores, strict=True):
        weight = part.sum()
        if weight > 0:
            pairs = part / weight
            match name:
                case "club":
                    total += weight * _contrast(pairs)
                case "leave-one-out":
                    total += weight * _leave_one_out(pairs, world.draws)
                case _:
                    total += weight * _infonce(pairs, critic, world.draws)
    return float(total)


def _conditional(pairs: Table) -> Table:
    """j(b|a), nan where a cannot happen."""
    with np.errstate(divide="ignore", invalid="ignore"):
        conditional: Table = pairs / pairs.sum(axis=1, keepdims=True)
    return conditional


def _mean_log(weights: Table, logs: Table) -> float:
    """sum w l over what can happen."""
    reached = weights > 0
    return float((weights[reached] * logs[reached]).sum())


def _contrast(pairs: Table) -> float:
    """E log j(b|a) - E log j(b'|a), with b' drawn apart from a."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(_conditional(pairs))
    apart = pairs.sum(axis=1, keepdims=True) * pairs.sum(axis=0, keepdims=True)
    return _mean_log(pairs, logs) - _mean_log(apart, logs)


def _leave_one_out(pairs: Table, draws: int) -> float:
    """E log j(b|a) - E log 1/(K-1) sum_k j(b|a_k), with the a_k drawn apart from b."""
    a, b = pairs.sum(axis=1), pairs.sum(axis=0)
    conditional = np.nan_to_num(_conditional(pairs))
    total = 0.0
    with np.errstate(divide="ignore"):
        for others in product(np.flatnonzero(a), repeat=draws - 1):
            chosen = list(others)
            total -= np.prod(a[chosen]) * _mean_log(b, np.log(conditional[chosen].mean(axis=0)))
        return float(total + _mean_log(pairs, np.log(conditional)))


def _infonce(pairs: Table, scores: Table, draws: int) -> float:
    """E log e^f(a,b) - E log 1/K sum_k e^f(a,b_k), with b_1 = b and the others drawn apart."""
    b = pairs.sum(axis=0)
    total = _mean_log(pairs, scores)
    for others in product(np.flatnonzero(b), repeat=draws - 1):
        chosen = list(others)
        rest = np.exp(scores[:, chosen]).sum(axis=1, keepdims=True)
        total -= np.prod(b[chosen]) * _mean_log(pairs, np.log((np.exp(scores) + rest) / draws))
    return float(total)


def _importance(world: FiniteWorld, joint: str, density: Density) -> float:
    """E_J log 1/K sum_k r(x,z_k|y)/j(z_k|x,y), the z_k drawn from j(z|x,y): at most E_J log r(x|y)."""
    sampler, model = world.spec.joints[joint], world.spec.joints[density.head]
    seen = (*density.of, *density.given)
    hidden = tuple(v for v in model.variables if v in sampler.variables and v not in seen)
    law = world.grid(world.marginal(joint, {*seen, *hidden}), (seen, hidden))
    with np.errstate(divide="ignore", invalid="ignore"):
        proposal = _conditional(law)
        ratio = (
            world.grid(world.density(Density(density.head, (*density.of, *hidden), density.given)), (seen, hidden)) / proposal
        )
        total = 0.0
        for row, weight in enumerate(law.sum(axis=1)):
            if weight > 0:
                for draws in product(np.flatnonzero(proposal[row]), repeat=world.draws):
                    chosen = list(draws)
                    total += weight * np.prod(proposal[row, chosen]) * np.log(ratio[row, chosen].mean())
    return float(total)


def standing(expression: Expression, estimates: Collection[Term]) -> Expression:
    """The expression with some estimates replaced by the terms they stand for: their value at the best critic."""
    return Expression.of(
        *((w.coefficient, w.term.term if isinstance(w.term, Estimate) and w.term in estimates else w.term) for w in expression)
    )
