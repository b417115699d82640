"""Finite worlds satisfy their graphs and nothing else; every term's value agrees with a plain loop over outcomes."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from ibsym.checking import divergences
from ibsym.checking.finite import STYLES, FiniteWorld
from ibsym.errors import IbsymError
from ibsym.facts import Side
from ibsym.spec.loading import load, zoo_names
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
    TotalCorrelation,
)
from ibsym.terms.reading import read_objective
from tests.checking.random_specs import random_spec

SEEDS = range(12)


def outcomes(world: FiniteWorld, joint: str) -> dict[tuple[int, ...], float]:
    """The joint as a plain dictionary over all variables (an absent variable is always 0)."""
    table = world.joint(joint)
    return {index: float(table[index]) for index in itertools.product(*map(range, table.shape))}


def probability(world: FiniteWorld, joint: str, fixed: dict[str, int]) -> float:
    return math.fsum(p for i, p in outcomes(world, joint).items() if all(i[world.axes[v]] == s for v, s in fixed.items()))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", SEEDS)
def test_joints_sum_to_one_and_satisfy_their_graphs(seed: int, style: str) -> None:
    world = FiniteWorld.random(random_spec(seed), seed, style=style)  # type: ignore[arg-type]
    for joint in world.spec.joints.values():
        if not joint.rooted:
            with pytest.raises(IbsymError, match="no expectation can be taken"):
                world.joint(joint.name)
            continue
        assert world.joint(joint.name).sum() == pytest.approx(1, abs=1e-12)
        assert world.joint(joint.name).min() >= 0
        for a, b, given in joint.independences():
            assert world.value(MutualInformation(joint.name, ((a,), (b,)), given)) == pytest.approx(0, abs=1e-12)


def test_graphs_say_all_there_is_to_say() -> None:
    """In dense worlds, variables that are not separated are dependent: nothing holds by accident."""
    for seed in SEEDS:
        world = FiniteWorld.random(random_spec(seed), seed)
        for joint in (j for j in world.spec.joints.values() if j.rooted and not any(f.components for f in j.factors)):
            for a, b in itertools.combinations(joint.variables, 2):
                if not joint.independent((a,), (b,)):
                    assert world.value(MutualInformation(joint.name, ((a,), (b,)))) > 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_shared_factors_agree(seed: int) -> None:
    world = FiniteWorld.random(random_spec(seed), seed)
    for joint in (j for j in world.spec.joints.values() if j.rooted):
        for factor in joint.factors:
            table = world.table(factor)
            both, base = (world.marginal(joint.name, s) for s in ({*factor.of, *factor.given}, factor.given))
            assert np.allclose(both, table * base, atol=1e-13)
            assert np.allclose(table.sum(axis=tuple(world.axes[v] for v in factor.of)), 1)


def test_mixtures_are_weighted_marginals() -> None:
    world = FiniteWorld.random(load("vdb"), 3)
    mixed = 0.5 * world.marginal("data", ("x",)) + 0.5 * world.marginal("p", ("x",))
    assert np.allclose(world.marginal("m", ("x",)), mixed, atol=1e-14)


def test_a_seed_is_a_world() -> None:
    one, two, other = (FiniteWorld.random(load("vib"), seed) for seed in (5, 5, 6))
    assert one.parameters == two.parameters != other.parameters
    assert all(np.array_equal(one.tables[t], two.tables[t]) for t in one.tables)


def test_parameters_lie_in_their_intervals() -> None:
    for seed in range(40):
        world = FiniteWorld.random(load("infovae"), seed)
        assert world.parameters["alpha"] <= 1
        assert world.parameters["lam"] >= 0


@pytest.mark.parametrize("name", zoo_names())
def test_sharp_worlds_give_most_objectives_a_value(name: str) -> None:
    spec = load(name)
    objective = read_objective(spec)
    finite = [
        math.isfinite(FiniteWorld.random(spec, seed, style=style).evaluate(objective))  # type: ignore[arg-type]
        for style in STYLES
        for seed in range(10)
    ]
    assert sum(finite) >= 30


@pytest.mark.parametrize("style", STYLES)
def test_terms_agree_with_loops_over_outcomes(style: str) -> None:
    spec = load("semi-supervised-ib")
    for seed in range(6):
        world = FiniteWorld.random(spec, seed, style=style)  # type: ignore[arg-type]

        def mean_log(joint: str, ratio) -> float:  # type: ignore[no-untyped-def]
            names = list(world.axes)
            return math.fsum(p * ratio(dict(zip(names, i, strict=True))) for i, p in outcomes(world, joint).items() if p > 0)

        def p(joint: str, values: dict[str, int], names: str) -> float:
            return probability(world, joint, {n: values[n] for n in names})

        entropy = mean_log("q", lambda v: -math.log(p("q", v, "xz") / p("q", v, "x")))
        assert world.value(Entropy("q", ("z",), ("x",))) == pytest.approx(entropy, abs=1e-12)
        information = mean_log("q", lambda v: math.log(p("q", v, "cz") / p("q", v, "c") / p("q", v, "z")))
        assert world.value(MutualInformation("q", (("c",), ("z",)))) == pytest.approx(information, abs=1e-12)
        total = mean_log("q", lambda v: math.log(p("q", v, "xcz") / p("q", v, "c") / p("q", v, "z") / p("q", v, "x")))
        assert world.value(TotalCorrelation("q", (("x",), ("c",), ("z",)))) == pytest.approx(total, abs=1e-12)
        three = [world.value(MutualInformation("q", (("x",), ("c",)), g)) for g in ((), ("z",))]
        assert world.value(MutualInformation("q", (("x",), ("c",), ("z",)))) == pytest.approx(three[0] - three[1], abs=1e-12)
        if style == "dense":
            model = Density("p", ("x",), ("z",))
            relative = mean_log("q", lambda v: math.log(p("q", v, "xz") / p("q", v, "z") / p("p", v, "xz") * p("p", v, "z")))
            assert world.value(RelativeEntropy(Density("q", ("x",), ("z",)), (model,))) == pytest.approx(relative, abs=1e-12)
            log = mean_log("q", lambda v: math.log(p("p", v, "xz") / p("p", v, "z")))
            assert world.value(ExpectedLog("q", (model,))) == pytest.approx(log, abs=1e-12)
            assert world.value(CrossEntropy(Density("q", ("x",), ("z",)), (model,))) == pytest.approx(-log, abs=1e-12)
            marginal = mean_log("q", lambda v: math.log(p("q", v, "xz") / p("q", v, "x") / p("p", v, "z")))
            other = RelativeEntropy(Density("q", ("z",), ("x",)), (Density("p", ("z",)),))
            assert world.value(other) == pytest.approx(marginal, abs=1e-12)


def test_relative_entropy_is_infinite_without_absolute_continuity() -> None:
    spec = load("vae")
    world = FiniteWorld.random(spec, 0)
    world.tables["p(z)"] = np.array([[1.0] + [0.0] * (world.shapes["z"][0] - 1)])
    assert world.value(RelativeEntropy(Density("q", ("z",)), (Density("p", ("z",)),))) == math.inf
    assert world.value(RelativeEntropy(Density("p", ("z",)), (Density("q", ("z",)),))) < math.inf
    assert world.value(JensenShannon(Density("q", ("z",)), (Density("p", ("z",)),))) <= math.log(2)


FORMULAS = {
    "kl": lambda u: u * math.log(u),
    "reverse-kl": lambda u: -math.log(u),
    "pearson": lambda u: (u - 1) ** 2,
    "neyman": lambda u: (1 - u) ** 2 / u,
    "squared-hellinger": lambda u: (math.sqrt(u) - 1) ** 2,
    "jensen-shannon": lambda u: 0.5 * (u * math.log(2 * u / (1 + u)) + math.log(2 / (1 + u))),
    "jeffreys": lambda u: (u - 1) * math.log(u),
}


@pytest.mark.parametrize("generator", FORMULAS)
def test_divergences_are_their_generators_means(generator: str) -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    plain = math.fsum(b * FORMULAS[generator](a / b) for a, b in zip(p, q, strict=True))
    assert divergences.divergence(generator, p, q) == pytest.approx(plain, abs=1e-12)
    assert divergences.divergence(generator, p, p) == pytest.approx(0, abs=1e-15)
    assert divergences.dual(generator, p, q, np.log(p / q)) == pytest.approx(plain, abs=1e-12)
    assert all(divergences.dual(generator, p, q, rng.normal(size=5)) < plain for _ in range(200))


def test_divergences_at_the_boundary_are_limits() -> None:
    p, q, near = np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([1 - 1e-13, 1e-13])
    for generator in ("kl", "pearson", "squared-hellinger", "jensen-shannon"):
        assert divergences.divergence(generator, p, q) == pytest.approx(divergences.divergence(generator, near, q), abs=1e-6)
    for generator in ("reverse-kl", "neyman", "jeffreys"):
        assert divergences.divergence(generator, p, q) == math.inf
    for generator in ("kl", "pearson", "jeffreys"):
        assert divergences.divergence(generator, q, p) == math.inf


def test_coordinates_of_a_product_alphabet() -> None:
    spec = load("beta-tcvae")
    world = FiniteWorld.random(spec, 1)
    assert world.shapes["z"] == (2, 2)
    law = world.marginal("q", ("z",)).reshape(2, 2)
    apart = np.outer(law.sum(axis=1), law.sum(axis=0))
    expected = float((law * np.log(law / apart)).sum())
    assert world.value(TotalCorrelation("q", (("z",),))) == pytest.approx(expected, abs=1e-13)
    with pytest.raises(IbsymError, match="no coordinates"):
        world.value(TotalCorrelation("q", (("x",),)))


PAIR = Spec(
    name="pair", objective="minimize I_q(X;Z)", variables={"x": "binary[D]", "z": "binary[L]", "c": "binary[K]"},
    joints={"q": "data(x,c) q(z|x)", "p": "p(z) p(x|z)"},
    families={"q(z|x)": "bernoulli", "p(z)": "bernoulli", "p(x|z)": "bernoulli"},
)  # fmt: skip
XZ = MutualInformation("q", (("x",), ("z",)))


def test_contrastive_estimate_by_brute_force() -> None:
    world = FiniteWorld.random(PAIR, 1)
    world.draws = 3
    law, critic = (world.grid(t, (("x",), ("z",))) for t in (world.marginal("q", ("x", "z")), world.critic(XZ)))
    pz = law.sum(axis=0)
    total = 0.0
    for a, b in itertools.product(*map(range, law.shape)):
        for c, d in itertools.product(range(len(pz)), repeat=2):
            scores = np.exp(critic[a, [b, c, d]])
            total += law[a, b] * pz[c] * pz[d] * math.log(scores[0] / scores.mean())
    estimate = Estimate(XZ, "infonce")
    assert world.value(estimate) == pytest.approx(total, abs=1e-12)
    assert world.value(estimate) < min(math.log(3), world.value(XZ))
    assert world.value(Slack(estimate, Side.LOWER)) == pytest.approx(world.value(XZ) - total, abs=1e-12)


def test_leave_one_out_and_contrast_by_brute_force() -> None:
    world = FiniteWorld.random(PAIR, 2)
    world.draws = 2
    law = world.grid(world.marginal("q", ("x", "z")), (("x",), ("z",)))
    px, pz = law.sum(axis=1), law.sum(axis=0)
    one = two = 0.0
    for a, b in itertools.product(*map(range, law.shape)):
        for other in range(len(px)):
            one += law[a, b] * px[other] * math.log((law[a, b] / px[a]) / (law[other, b] / px[other]))
        two += (law[a, b] - px[a] * pz[b]) * math.log(law[a, b] / px[a])
    assert world.value(Estimate(XZ, "leave-one-out")) == pytest.approx(one, abs=1e-12)
    assert world.value(Estimate(XZ, "club")) == pytest.approx(two, abs=1e-12)


def test_importance_weighting_by_brute_force_and_its_limits() -> None:
    world = FiniteWorld.random(PAIR, 3)
    term = ExpectedLog("q", (Density("p", ("x",)),))
    q = world.grid(world.marginal("q", ("x", "z")), (("x",), ("z",)))
    p = world.grid(world.marginal("p", ("x", "z")), (("x",), ("z",)))
    px = q.sum(axis=1)
    values = []
    for world.draws in (1, 2, 3):
        total = 0.0
        for a in range(len(px)):
            for zs in itertools.product(range(q.shape[1]), repeat=world.draws):
                chosen = list(zs)
                weights = np.prod(q[a, chosen] / px[a])
                total += px[a] * weights * math.log((p[a, chosen] / (q[a, chosen] / px[a])).mean())
        world._values.clear()
        values.append(world.value(Estimate(term, "iwae")))
        assert values[-1] == pytest.approx(total, abs=1e-12)
    assert values[0] < values[1] < values[2] < world.value(term)
    evidence = ExpectedLog("q", (Density("p", ("x",), ("z",)),))
    prior = RelativeEntropy(Density("q", ("z",), ("x",)), (Density("p", ("z",)),))
    assert values[0] == pytest.approx(world.value(evidence) - world.value(prior), abs=1e-12)


def test_duals_are_exact_at_the_best_critic() -> None:
    world = FiniteWorld.random(PAIR, 4)
    first, second = Density("q", ("z",), ("x",)), Density("p", ("z",))
    cases = [
        (RelativeEntropy(first, (second,)), "dv"),
        (RelativeEntropy(first, (second,)), "nwj"),
        (XZ, "dv"),
        (JensenShannon(Density("q", ("z",)), (second,)), "logistic"),
        (FDivergence("pearson", Density("q", ("z",)), (second,)), "dual"),
    ]
    for term, name in cases:
        estimate = Estimate(term, name)
        world.critics.clear()
        world._values.clear()
        loose = world.value(estimate)
        p, q = world.pair(term)
        world.critics[str(term)] = np.log(p / q)
        world._values.clear()
        assert loose < world.value(estimate) == pytest.approx(world.value(term), abs=1e-12)


def test_surrogates_stand_for_their_terms_and_others_are_refused() -> None:
    world = FiniteWorld.random(PAIR, 5)
    term = RelativeEntropy(Density("q", ("z",)), (Density("p", ("z",)),))
    for name in ("density-ratio", "mmd", "sliced-wasserstein", "minibatch-weighted", "minibatch-stratified", "batch-marginal"):
        assert world.value(Estimate(term, name)) == world.value(term)
    for wrong in (Estimate(term, "infonce"), Estimate(XZ, "logistic"), Estimate(Entropy("q", ("x",)), "density-ratio")):
        with pytest.raises(IbsymError, match="does not estimate"):
            world.value(wrong)


def test_sizes_are_what_one_asks_for() -> None:
    world = FiniteWorld.random(PAIR, 0, sizes={"x": 5, "z": (2, 3)})
    assert world.marginal("q", ("x", "z")).size == 30
    assert world.value(TotalCorrelation("q", (("z",),))) > 0


def test_random_choices_do_not_depend_on_anything_else() -> None:
    before = random.getstate()
    FiniteWorld.random(PAIR, 0)
    assert random.getstate() == before
