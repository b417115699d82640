"""Finite worlds against other people's code: scipy's entropies always, the package dit (which speaks bits) where it is installed."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy.special import rel_entr
from scipy.stats import entropy

from ibsym.checking.finite import STYLES, FiniteWorld
from ibsym.terms.measures import CrossEntropy, Density, Entropy, MutualInformation, RelativeEntropy, TotalCorrelation
from tests.checking.random_specs import random_spec, random_subset

SEEDS = range(8)


def table(world: FiniteWorld, joint: str) -> tuple[tuple[str, ...], np.ndarray]:
    names = world.spec.joints[joint].variables
    return names, world.grid(world.joint(joint), [(v,) for v in names])


def margin(names: tuple[str, ...], law: np.ndarray, keep: tuple[str, ...]) -> np.ndarray:
    return law.sum(axis=tuple(i for i, v in enumerate(names) if v not in keep))


@pytest.mark.parametrize("seed", SEEDS)
def test_scipy_agrees(seed: int) -> None:
    rng = random.Random(seed)
    for style in STYLES:
        world = FiniteWorld.random(random_spec(seed), seed, style=style)
        for joint in (j for j in world.spec.joints.values() if j.rooted):
            names, law = table(world, joint.name)

            def h(keep: tuple[str, ...], names: tuple[str, ...] = names, law: np.ndarray = law) -> float:
                return float(entropy(margin(names, law, keep).ravel())) if keep else 0.0

            for _ in range(10):
                of = random_subset(rng, list(names), 1)
                rest = [v for v in names if v not in of]
                given = random_subset(rng, rest)
                assert world.value(Entropy(joint.name, of, given)) == pytest.approx(h((*of, *given)) - h(given), abs=1e-11)
                other = random_subset(rng, [v for v in rest if v not in given], 1) if len(rest) > len(given) else ()
                if other:
                    expected = h((*of, *given)) + h((*other, *given)) - h((*of, *other, *given)) - h(given)
                    assert world.value(MutualInformation(joint.name, (of, other), given)) == pytest.approx(expected, abs=1e-11)
                    total = TotalCorrelation(joint.name, (of, other), given)
                    assert world.value(total) == pytest.approx(expected, abs=1e-11)
                    p, q = world.pair(MutualInformation(joint.name, (of, other), given))
                    assert q.sum() == pytest.approx(1, abs=1e-12)
                    assert float(rel_entr(p, q).sum()) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
def test_scipy_agrees_on_two_joints(seed: int) -> None:
    world = FiniteWorld.random(random_spec(seed), seed)
    other = "p" if world.spec.joints["p"].rooted else "data"
    (a, q), (b, p) = table(world, "q"), table(world, other)
    for v in set(a) & set(b):
        first, second = margin(a, q, (v,)), margin(b, p, (v,))
        term = RelativeEntropy(Density("q", (v,)), (Density(other, (v,)),))
        assert world.value(term) == pytest.approx(float(rel_entr(first, second).sum()), abs=1e-12)
        cross = CrossEntropy(term.first, term.second)
        assert world.value(cross) == pytest.approx(float(entropy(first, second) + entropy(first)), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_dit_agrees(seed: int) -> None:
    dit = pytest.importorskip("dit", reason="the extra second-opinion")
    from dit.multivariate import coinformation, total_correlation

    world = FiniteWorld.random(random_spec(seed), seed)
    for joint in (j for j in world.spec.joints.values() if j.rooted and len(j.variables) > 2):
        names, law = table(world, joint.name)
        outcomes = ["".join(map(str, i)) for i in np.ndindex(law.shape)]
        distribution = dit.Distribution(outcomes, list(law.ravel()))
        (a, b, c), place = names[:3], {v: i for i, v in enumerate(names)}
        groups = [[place[v]] for v in (a, b, c)]
        nats = math.log(2)
        three = MutualInformation(joint.name, ((a,), (b,), (c,)))
        assert world.value(three) == pytest.approx(nats * coinformation(distribution, groups), abs=1e-9)
        conditional = MutualInformation(joint.name, ((a,), (b,)), (c,))
        assert world.value(conditional) == pytest.approx(nats * coinformation(distribution, groups[:2], groups[2]), abs=1e-9)
        total = TotalCorrelation(joint.name, ((a,), (b,), (c,)))
        assert world.value(total) == pytest.approx(nats * total_correlation(distribution, groups), abs=1e-9)
