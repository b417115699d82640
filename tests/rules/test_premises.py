"""Premises of rules are needed, and no rule needs one that it does not state: specs in which each premise fails."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from ibsym.checking.finite import FiniteWorld
from ibsym.checking.gaussian import GaussianWorld
from ibsym.rules.catalogue import EXAMPLE, RULES, Rule
from ibsym.spec.grammar import RelationSyntax, parse
from ibsym.spec.model import Spec
from ibsym.terms.reading import Reader

JOINTS: Mapping[str, str] = EXAMPLE["joints"]  # type: ignore[assignment]
FAMILIES: Mapping[str, str] = EXAMPLE["families"]  # type: ignore[assignment]


def without(*factors: str) -> dict[str, str]:
    return {k: v for k, v in FAMILIES.items() if k not in factors}


# The condition of a rule, and the example's spec changed so that it no longer holds.
BROKEN: dict[str, Spec] = {
    "C - X - Z in q": Spec(
        **{
            **EXAMPLE,
            "joints": {**JOINTS, "q": "data(x,c) q(z|x,c)", "u": "unlabelled(x) u(z|x)"},
            "families": {**without("q(z|x)"), "q(z|x,c)": "categorical", "u(z|x)": "categorical"},
        }  # type: ignore[arg-type]
    ),
    "both joints use the factor": Spec(
        **{**EXAMPLE, "joints": {**JOINTS, "u": "unlabelled(x) u(z|x)"}, "families": {**FAMILIES, "u(z|x)": "categorical"}}
    ),  # type: ignore[arg-type]
    "both joints are made of the same factors there": Spec(
        **{
            **EXAMPLE,
            "joints": {**JOINTS, "q": "other(x,c) q(z|x)", "t": "data(x) t(z|x)"},
            "families": {**FAMILIES, "other(x,c)": "empirical", "t(z|x)": "categorical"},
        }  # type: ignore[arg-type]
    ),
}

ALSO_BROKEN = {"C - X - Z in q": ("both joints use the factor",)}


def holds(rule: Rule, spec: Spec, gaussian: bool = False) -> bool:
    claim = parse(rule.example, "claim")
    assert isinstance(claim, RelationSyntax)
    reader = Reader(spec, rule.name)
    left, right = reader.expression(claim.left), reader.expression(claim.right)
    for seed in range(30):
        world = GaussianWorld.random(spec, seed) if gaussian else FiniteWorld.random(spec, seed)
        pairs = world.summands(left) + world.summands(right.scaled(-1))
        value, scale = sum(c * v for c, v in pairs), 1 + sum(abs(c * v) for c, v in pairs)
        assert math.isfinite(scale)
        if not {"=": abs(value) <= 1e-9 * scale, ">=": value >= -1e-9 * scale, "<=": value <= 1e-9 * scale}[claim.relation]:
            return False
    return True


@pytest.mark.parametrize("condition", BROKEN)
def test_rules_fail_exactly_where_their_premise_does(condition: str) -> None:
    """With a premise broken, the rules that state it fail and all others hold: a premise taken out of a rule is noticed here."""
    spec = BROKEN[condition]
    failing = {rule.name for rule in RULES.values() if not holds(rule, spec)}
    broken = {condition, *ALSO_BROKEN.get(condition, ())}
    stated = {rule.name for rule in RULES.values() if rule.condition in broken}
    assert failing == stated
    assert any(RULES[name].condition == condition for name in failing)


def test_discrete_premises() -> None:
    """In Gaussian worlds the rules that say so fail and all others hold."""
    spec = Spec(**EXAMPLE)  # type: ignore[arg-type]
    failing = {rule.name for rule in RULES.values() if not holds(rule, spec, gaussian=True)}
    assert failing == {rule.name for rule in RULES.values() if rule.condition == "A discrete"} != set()


def test_every_condition_is_one_of_these() -> None:
    assert {rule.condition for rule in RULES.values()} == {"", "A discrete", *BROKEN}
