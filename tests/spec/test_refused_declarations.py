"""Families, factors and mixtures that a spec may not declare: the key, what is wrong with it, what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from ibsym.errors import SpecError
from ibsym.spec.families import FAMILIES
from ibsym.spec.model import Spec

KEYS: dict[str, Any] = {
    "name": "refused",
    "objective": "minimize KL(data(x)||p(x))",
    "variables": {"x": "binary[D]", "k": "categorical[K]", "a": "categorical[V; W]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x) q(k|x) q(a|x)", "p": "p(z) p(k) p(a) p(x|z,k,a)"},
    "families": {
        "q(z|x)": "diagonal-normal",
        "q(k|x)": "categorical",
        "q(a|x)": "categorical",
        "p(z)": "standard-normal",
        "p(k)": "uniform",
        "p(a)": "uniform",
        "p(x|z,k,a)": "bernoulli",
    },
}
SUM = {"family": "categorical", "marginal": "enumerate"}
ELSEWHERE = [(f, n, o) for f, facts in FAMILIES.items() for n, o in facts.options.items() if o.spaces]


def refused(message: str, remedy: str, **changes: Any) -> None:
    keys = {**KEYS, **changes}
    with pytest.raises(SpecError) as refusal:
        Spec(**keys)
    assert message in refusal.value.message
    assert remedy in str(refusal.value.remedy)


@pytest.mark.parametrize(
    ("factor", "entry", "message", "remedy"),
    [
        ("q(k|x)", {"family": "categorical", "breadth": 2}, "unknown option of categorical", "marginal"),
        ("q(a|x)", SUM, "every array of symbols would be a value to sum over", 'relax = "concrete"'),
        ("q(k|x)", {**SUM, "relax": "concrete"}, "nothing is drawn and nothing relaxed", "one of the two"),
        ("q(k|x)", {**SUM, "head": "linear", "features": "N"}, "a linear head keeps none of them", "one of the two"),
        (
            "q(k|x)",
            {"family": "categorical", "relax": "concrete", "head": "linear", "features": "N"},
            "is relaxed",
            "one of the two",
        ),
        ("q(k|x)", {"family": "categorical", "features": "N"}, "features are those of a linear head", 'head = "linear"'),
    ],
)
def test_options_that_do_not_go_together(factor: str, entry: dict[str, str], message: str, remedy: str) -> None:
    refused(message, remedy, families={**KEYS["families"], factor: entry})


@pytest.mark.parametrize(
    ("joints", "message", "remedy"),
    [
        ({"q": "data(x) q(z|x,x)", "p": "p(z)"}, "a variable occurs twice in q(z|x,x)", "each variable once"),
        (
            {"q": "data(x) q(z,k|x)", "p": "p(z)"},
            "has several variables, and diagonal-normal is a density of one",
            "one factor a variable",
        ),
        ({"q": "data(x) q(z|x)", "data": "p(z)"}, "a joint of that name exists already", ""),
        (
            {"q": "data(x) q(z|x)", "m": "(0.5*data(x) + 0.5*q(z|x)) m(k|x)"},
            "a component of a mixture is the marginal",
            "data(x)",
        ),
        (
            {"q": "data(x) q(z|x)", "m": "(0.5*data(x) + 0.5*m(x)) m(k|x)"},
            "a component of a mixture is the marginal",
            "data(x)",
        ),
        ({"q": "data(x) q(z|x)", "m": "(0.5*data(x) + 0.5*q(z)) m(k|x)"}, "differ in their variables", ""),
    ],
)
def test_factors_and_mixtures_that_are_none(joints: dict[str, str], message: str, remedy: str) -> None:
    families = {**KEYS["families"], "m(k|x)": "categorical", "q(z|x,x)": "diagonal-normal", "q(z,k|x)": "diagonal-normal"}
    refused(message, remedy, joints=joints, families=families)


@pytest.mark.parametrize(
    ("name", "option", "kind"),
    [(f, n, kind) for f, n, o in ELSEWHERE for kind in FAMILIES[f].spaces if kind not in o.spaces],
)
def test_an_option_of_another_space(name: str, option: str, kind: str) -> None:
    about = FAMILIES[name].options[option]
    refused(
        f"{option} is an option of {name} on a {' or '.join(about.spaces)} space, not on a {kind} space",
        "leave it out",
        variables={**KEYS["variables"], "z": f"{kind}[L]"},
        families={**KEYS["families"], "q(z|x)": {"family": name, option: "learned" if about.learnable else 1}},
    )
