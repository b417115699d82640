"""Every rule's example holds, with its relation, in many worlds; equalities are also equal as vectors; estimators keep their side."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ibsym.checking import estimates
from ibsym.checking.exact import Facts
from ibsym.checking.finite import STYLES, FiniteWorld
from ibsym.checking.gaussian import GaussianWorld
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Relation, Side
from ibsym.rules.catalogue import EXAMPLE, RULES, Rule
from ibsym.spec.grammar import RelationSyntax, parse
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
from ibsym.terms.reading import Reader

SPEC = Spec(**EXAMPLE)
FACTS = Facts(SPEC)
WORLDS = [FiniteWorld.random(SPEC, seed, style=style) for style in STYLES for seed in range(15)]


def sides(rule: Rule) -> tuple[Expression, str, Expression]:
    claim = parse(rule.example, "claim")
    assert isinstance(claim, RelationSyntax)
    reader = Reader(SPEC, rule.name)
    return reader.expression(claim.left), claim.relation, reader.expression(claim.right)


def difference(left: Expression, right: Expression, world: FiniteWorld | GaussianWorld) -> tuple[float, float]:
    pairs = world.summands(left) + world.summands(right.scaled(-1))
    return sum(c * v for c, v in pairs), 1 + sum(abs(c * v) for c, v in pairs)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.name)
def test_the_example_holds_in_many_worlds(rule: Rule) -> None:
    left, relation, right = sides(rule)
    counted = 0
    for world in WORLDS:
        value, scale = difference(left, right, world)
        if not math.isfinite(scale):
            continue
        counted += 1
        match relation:
            case "=":
                assert abs(value) <= 1e-12 * scale
            case ">=":
                assert value >= -1e-12 * scale
            case "<=":
                assert value <= 1e-12 * scale
    assert counted >= 30


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.name)
def test_the_example_has_the_rules_relation(rule: Rule) -> None:
    left, relation, right = sides(rule)
    assert relation == rule.relation.value
    identity = FACTS.zero(left - right)
    assert identity is (rule.relation is Relation.EQ)
    assert FACTS.zero(left - right) is all(FACTS.coordinates.equal(v, {}) for v in FACTS.monomials(left - right).values())


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.name)
def test_inequalities_are_strict_somewhere(rule: Rule) -> None:
    left, relation, right = sides(rule)
    largest = max(abs(difference(left, right, world)[0]) for world in WORLDS[:15])
    assert (largest > 1e-3) is (relation != "=")


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.name)
def test_only_discrete_rules_fail_for_gaussians(rule: Rule) -> None:
    """Every rule holds in Gaussian worlds, but for those whose condition says that a variable is discrete: they fail in one."""
    left, relation, right = sides(rule)
    held = True
    for seed in range(60):
        value, scale = difference(left, right, GaussianWorld.random(SPEC, seed))
        held &= {"=": abs(value) <= 1e-9 * scale, ">=": value >= -1e-9 * scale, "<=": value <= 1e-9 * scale}[relation]
    assert held is not ("discrete" in rule.condition)


def test_every_rule_is_sourced_and_printed() -> None:
    for rule in RULES.values():
        assert rule.sources
        assert rule.statement
        assert rule.example in str(rule)
    for name, estimator in ESTIMATORS.items():
        assert (estimator.name, bool(estimator.sources), bool(estimator.known)) == (name, True, True)


Q, P = Density("q", ("z",)), Density("p", ("z",))
DIVERGENCE = RelativeEntropy(Q, (P,))
INFORMATION = MutualInformation("q", (("x",), ("z",)))
EXAMPLES: dict[str, list[Term]] = {
    "dv": [
        DIVERGENCE,
        RelativeEntropy(Density("q", ("z",), ("x",)), (P,)),
        INFORMATION,
        TotalCorrelation("q", (("x",), ("c",), ("z",))),
    ],
    "nwj": [DIVERGENCE, RelativeEntropy(Density("q", ("x",), ("z",)), (Density("p", ("x",), ("z",)),)), INFORMATION],
    "logistic": [JensenShannon(Q, (P,)), JensenShannon(Density("q", ("x", "z")), (Density("p", ("x", "z")),))],
    "dual": [
        FDivergence(g, Q, (P,))
        for g in ("kl", "reverse-kl", "pearson", "neyman", "squared-hellinger", "jensen-shannon", "jeffreys")
    ],
    "infonce": [INFORMATION, MutualInformation("q", (("c",), ("z",))), MutualInformation("q", (("x",), ("c",)), ("z",))],
    "leave-one-out": [
        INFORMATION,
        MutualInformation("q", (("x", "c"), ("z",))),
        MutualInformation("q", (("x",), ("z",)), ("c",)),
    ],
    "club": [INFORMATION, MutualInformation("q", (("z",), ("x",))), MutualInformation("q", (("x",), ("z",)), ("c",))],
    "adversary": [MutualInformation("q", (("z",), ("c",)))],
    "iwae": [
        ExpectedLog("q", (Density("p", ("x",)),)),
        ExpectedLog("q", (Density("p", ("c",)),)),
        ExpectedLog("q", (Density("p", ("x",), ("c",)),)),
    ],
}


@pytest.mark.parametrize("name", [n for n, r in ESTIMATORS.items() if r.side is not None])
def test_one_sided_estimators_keep_their_side(name: str) -> None:
    rule = ESTIMATORS[name]
    assert rule.side is not None
    strict = 0
    for term in EXAMPLES[name]:
        decoder = Density("p", ("c",), ("z",)) if name == "adversary" else None  # whom another player fits
        estimate = Estimate(term, name, decoder)
        assert estimates.admits(estimate)
        assert estimates.side(estimate) is rule.side
        assert FACTS.nonnegative(Slack(estimate, rule.side))
        assert not FACTS.nonnegative(Slack(estimate, -rule.side))
        for world in WORLDS:
            slack = world.value(Slack(estimate, rule.side))
            if math.isfinite(slack):
                assert slack >= -1e-10 * (1 + abs(world.value(term)))
                strict += slack > 1e-6
    assert strict > 20


@pytest.mark.parametrize("name", [n for n, r in ESTIMATORS.items() if r.side is None])
def test_the_others_claim_no_side(name: str) -> None:
    estimate = Estimate(DIVERGENCE, name)
    assert estimates.side(estimate) is None
    assert not any(FACTS.nonnegative(Slack(estimate, side)) for side in Side)


def test_contrast_with_itself_is_no_upper_bound() -> None:
    """MATHS 5: with j = i included, the contrastive upper bound falls below the information; the catalogue leaves it out."""
    # K = 2 with the pair itself among the two: half of the difference vanishes.
    values = [0.5 * w.value(Estimate(INFORMATION, "club")) - w.value(INFORMATION) for w in WORLDS[:15]]
    assert min(values) < 0


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_estimator_of_ones_own_is_admitted_of_its_kinds_of_terms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ESTIMATORS, "another", replace(ESTIMATORS[name], name="another", side=None))
    assert all(estimates.admits(Estimate(term, "another")) for term in EXAMPLES[name])
    assert estimates.admits(Estimate(EXAMPLES["iwae"][0], "another")) == ("E" in ESTIMATORS[name].estimates)


def test_iwae_bounds_a_cross_entropy_from_above() -> None:
    estimate = Estimate(CrossEntropy(Density("q", ("x",)), (Density("p", ("x",)),)), "iwae")
    assert estimates.side(estimate) is Side.UPPER
    assert all(world.value(Slack(estimate, Side.UPPER)) >= -1e-12 for world in WORLDS[:15])


def test_critics_move_and_stay() -> None:
    world = FiniteWorld.random(SPEC, 0)
    assert np.array_equal(world.critic(DIVERGENCE), FiniteWorld.random(SPEC, 0).critic(DIVERGENCE))
    assert not np.array_equal(world.critic(DIVERGENCE), FiniteWorld.random(SPEC, 1).critic(DIVERGENCE))
    assert FACTS.nonnegative(Entropy("q", ("x",)))
