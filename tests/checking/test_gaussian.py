"""Gaussian worlds against plain formulas on covariances, written independently: log-determinants of sub-covariances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ibsym.checking.gaussian import GaussianWorld
from ibsym.errors import IbsymError
from ibsym.spec.loading import load
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    ExpectedLog,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)
from tests.checking.random_specs import random_spec

SEEDS = range(10)


def naive_moments(world: GaussianWorld, joint: str) -> tuple[list[tuple[str, int]], np.ndarray, np.ndarray]:
    """Mean and covariance by solving x = B x + c + e for all coordinates at once."""
    spec = world.spec
    labels = [(v, i) for v in spec.joints[joint].variables for i in range(world.dims[v])]
    place = {label: k for k, label in enumerate(labels)}
    n = len(labels)
    weights, offset, noise = np.zeros((n, n)), np.zeros(n), np.zeros((n, n))
    for factor in spec.joints[joint].factors:
        law = world.factors[factor.text]
        rows = [place[v, i] for v in law.of for i in range(world.dims[v])]
        columns = [place[v, i] for v in law.given for i in range(world.dims[v])]
        weights[np.ix_(rows, columns)] = law.weights
        offset[rows] = law.offset
        noise[np.ix_(rows, rows)] = law.covariance
    inverse = np.linalg.inv(np.eye(n) - weights)
    return labels, inverse @ offset, inverse @ noise @ inverse.T


def naive_entropy(world: GaussianWorld, joint: str, names: tuple[str, ...]) -> float:
    labels, _, covariance = naive_moments(world, joint)
    keep = [k for k, (v, _) in enumerate(labels) if v in names]
    if not keep:
        return 0.0
    part = covariance[np.ix_(keep, keep)]
    return 0.5 * float(np.log(np.linalg.det(2 * np.pi * np.e * part)))


def naive_kl(world: GaussianWorld, first: str, second: str, names: tuple[str, ...]) -> float:
    """KL of two marginals by the textbook formula."""
    (la, ma, sa), (lb, mb, sb) = (naive_moments(world, j) for j in (first, second))
    ka = [la.index((v, i)) for v in names for i in range(world.dims[v])]
    kb = [lb.index((v, i)) for v in names for i in range(world.dims[v])]
    s, t, d = sa[np.ix_(ka, ka)], sb[np.ix_(kb, kb)], mb[kb] - ma[ka]
    inverse = np.linalg.inv(t)
    return 0.5 * float(np.trace(inverse @ s) + d @ inverse @ d - len(d) + np.log(np.linalg.det(t) / np.linalg.det(s)))


@pytest.mark.parametrize("seed", SEEDS)
def test_entropies_and_informations_are_log_determinants(seed: int) -> None:
    world = GaussianWorld.random(random_spec(seed), seed)
    for joint in (j for j in world.spec.joints.values() if j.rooted and not any(f.components for f in j.factors)):
        for of in itertools.chain(*(itertools.combinations(joint.variables, k) for k in (1, 2))):
            rest = tuple(v for v in joint.variables if v not in of)[:2]
            conditional = naive_entropy(world, joint.name, (*of, *rest)) - naive_entropy(world, joint.name, rest)
            assert world.value(Entropy(joint.name, of, rest)) == pytest.approx(conditional, abs=1e-9)
            if rest:
                separate = naive_entropy(world, joint.name, of) + naive_entropy(world, joint.name, rest)
                information = separate - naive_entropy(world, joint.name, (*of, *rest))
                assert world.value(MutualInformation(joint.name, (of, rest))) == pytest.approx(information, abs=1e-9)
                assert world.value(TotalCorrelation(joint.name, (of, rest))) == pytest.approx(information, abs=1e-9)
        for a, b, given in joint.independences():
            assert world.value(MutualInformation(joint.name, ((a,), (b,)), given)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_relative_entropies_are_the_textbooks(seed: int) -> None:
    world = GaussianWorld.random(load("vae"), seed)
    for names in (("z",), ("x",), ("x", "z")):
        term = RelativeEntropy(Density("q", names), (Density("p", names),))
        assert world.value(term) == pytest.approx(naive_kl(world, "q", "p", names), rel=1e-9, abs=1e-9)
        cross = world.value(CrossEntropy(Density("q", names), (Density("p", names),)))
        assert cross == pytest.approx(naive_kl(world, "q", "p", names) + naive_entropy(world, "q", names), rel=1e-9)
    conditional = RelativeEntropy(Density("q", ("x",), ("z",)), (Density("p", ("x",), ("z",)),))
    expected = naive_kl(world, "q", "p", ("x", "z")) - naive_kl(world, "q", "p", ("z",))
    assert world.value(conditional) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_expectations_under_another_joint_by_quadrature() -> None:
    """E_q log p(x|z) against Gauss-Hermite sums, which are exact for quadratics."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    for seed in SEEDS:
        world = GaussianWorld.random(load("vae"), seed)
        labels, mean, covariance = naive_moments(world, "q")
        root = np.linalg.cholesky(covariance)
        law = world.factors["p(x|z)"]
        x, z = ([k for k, (v, _) in enumerate(labels) if v == name] for name in "xz")
        inverse, size = np.linalg.inv(law.covariance), len(x)
        total = 0.0
        for index in itertools.product(range(5), repeat=len(labels)):
            point = mean + root @ nodes[list(index)]
            error = point[x] - law.weights @ point[z] - law.offset
            log = -0.5 * (size * np.log(2 * np.pi) + np.log(np.linalg.det(law.covariance)) + error @ inverse @ error)
            total += float(np.prod(weights[list(index)]) * log)
        assert world.value(ExpectedLog("q", (Density("p", ("x",), ("z",)),))) == pytest.approx(total, rel=1e-8)


def test_mixtures_are_sampled_by_their_moments_and_not_evaluated() -> None:
    world = GaussianWorld.random(load("vdb"), 0)
    log = ExpectedLog("m", (Density("r", ("t",)),))
    factor = Density("e", ("t",), ("x",))
    parts = []
    for source in ("data", "p"):
        moments = world.moments(source)
        index = moments.index(("x",))
        law, prior = world.factors["e(t|x)"], world.factors["r(t)"]
        mean = law.weights @ moments.mean[index] + law.offset - prior.offset
        spread = law.weights @ moments.covariance[np.ix_(index, index)] @ law.weights.T + law.covariance
        second = np.linalg.inv(prior.covariance) @ (spread + np.outer(mean, mean))
        parts.append(-0.5 * (len(mean) * np.log(2 * np.pi) + np.log(np.linalg.det(prior.covariance)) + np.trace(second)))
    assert world.value(log) == pytest.approx(sum(parts) / 2, rel=1e-9)
    assert world.value(ExpectedLog("m", (factor,))) < world.value(log) + 100
    refused: list[Term] = [Entropy("m", ("t",)), JensenShannon(Density("data", ("x",)), (Density("p", ("x",)),))]
    for term in refused:
        with pytest.raises(IbsymError, match="no closed form"):
            world.value(term)


def test_differential_entropies_may_be_negative() -> None:
    """What tells these worlds from finite ones: a discrete-only step does not survive here."""
    values = [GaussianWorld.random(load("vae"), seed).value(Entropy("q", ("z",), ("x",))) for seed in range(40)]
    assert min(values) < 0 < max(values)
