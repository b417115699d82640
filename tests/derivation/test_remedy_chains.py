"""What errors say to write, one after the other, never leads in a circle: mistakes in specs of the zoo, made at random."""

from __future__ import annotations

import copy
import json
import random
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ibsym.errors import SpecError
from ibsym.estimators import ESTIMATORS
from ibsym.spec.families import FAMILIES
from tests.derivation.test_remedies import same_objective, tried

ZOO = [tomllib.loads(p.read_text("utf-8")) for p in sorted((Path(__file__).parents[2] / "ibsym/zoo").glob("*.toml"))]
TERM = r"[A-Z]+_?\w*\([^()]*(?:\([^()]*\)[^()]*)*\)"
SPACES = ("real[D]", "binary[D]", "categorical[K]", "unit[D]", "count[D]", "simplex[K]", "sphere[D]", "positive[D]")


def mistaken(keys: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """A spec with one mistake or two."""
    k: Any = copy.deepcopy(dict(keys))
    families, joints, parameters = k["families"], k["joints"], k.get("parameters", {})
    for _ in range(rng.choice((1, 1, 2))):
        match rng.randrange(10):
            case 0 if families:
                families.pop(rng.choice(list(families)))
            case 1 if families:
                families[rng.choice(list(families))] = rng.choice(list(FAMILIES))
            case 2:
                name = rng.choice(list(joints))
                parts = re.findall(r"\w+\([^)]*\)", joints[name])
                if len(parts) > 1 and "+" not in joints[name]:
                    parts.pop(rng.randrange(len(parts)))
                    joints[name] = " ".join(parts)
            case 3 if len(joints) > 1:
                joints.pop(rng.choice(list(joints)))
            case 4 if parameters:
                parameters[rng.choice(list(parameters))] = {"default": 1.0}
            case 5 if terms := re.findall(TERM, k["objective"]):
                k.setdefault("estimators", {})[rng.choice(terms)] = rng.choice(list(ESTIMATORS))
            case 6 if k.get("estimators"):
                k["estimators"].pop(rng.choice(list(k["estimators"])))
            case 7:
                k["objective"] = re.sub(r"\((\w+);(\w+)\)", r"(\2;\1)", k["objective"])
            case 8:
                k["objective"] = k["objective"].replace(" - ", " + ", 1)
            case 9:
                k["variables"][rng.choice(list(k["variables"]))] = rng.choice(SPACES)
    return dict(k)


@pytest.mark.parametrize("seed", range(12))
def test_no_remedy_leads_back(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(12):
        keys, seen, told = mistaken(rng.choice(ZOO), rng), set(), []
        while (error := tried(keys)) is not None and error.ways:
            told.append(str(error))
            assert json.dumps(keys, sort_keys=True) not in seen, "\n".join(told)
            assert len(told) < 10, "\n".join(told)
            assert error.remedy
            seen.add(json.dumps(keys, sort_keys=True))
            before = keys
            for edit in error.ways[0]:
                keys = edit.applied(keys)
            with suppress(SpecError):  # neither can be read yet
                assert same_objective(before, keys), "\n".join(told)


def of_the_zoo(name: str, **changes: Any) -> dict[str, Any]:
    keys = copy.deepcopy(next(k for k in ZOO if k["name"] == name))
    for table, entries in changes.items():
        keys[table] = {**keys[table], **entries} if isinstance(entries, dict) else entries
    return keys


def test_a_sign_that_two_parameters_settle() -> None:
    """beta - lam of one information: neither interval fixes it alone."""
    error = tried(
        of_the_zoo("vib", objective="minimize (beta - lam)*I_q(X;Z) - I_q(Z;C)", parameters={"lam": {"default": 1.0, "min": 0}})
    )
    assert error is not None
    assert error.remedy.startswith(
        "parameters.beta = { default = 1000, min = 1 }; parameters.lam = { default = 1, min = 0, max = 1 }"
    )


def test_an_expansion_that_cancels_goes_with_its_estimator() -> None:
    error = tried(
        of_the_zoo(
            "semi-supervised-ib",
            joints={"q": "unlabelled(x,c) q(z|x)"},
            derivation={"expand": ["H_q(C) with u(c)"]},
            estimators={"KL(u(x)||p(x))": "density-ratio"},
        )
    )
    assert error is not None
    assert "KL(q(c)||u(c)) cancels" in error.message
    assert error.remedy == "leave it out, and 'H_q(C) with u(c)' of derivation.expand, which changes nothing"


@pytest.mark.parametrize(
    ("space", "said"),
    [("count[L]", "whose draws are reparameterised: external"), ("real[L]", "diagonal-normal, full-normal")],
)
def test_families_whose_draws_carry_gradients_are_named(space: str, said: str) -> None:
    family = "poisson" if space.startswith("count") else "normal-mixture"
    error = tried(of_the_zoo("vae", variables={"z": space}, families={"q(z|x)": family, "p(z)": family}))
    assert error is not None
    assert said in error.remedy


def test_a_factor_that_another_joint_lacks_is_written_as_ones_own() -> None:
    """Where the other joint has z from elsewhere."""
    error = tried(of_the_zoo("vae", joints={"p": "q(z) p(x|z)"}))
    assert error is not None
    assert error.remedy == 'write p(z): joints.p = "p(z) p(x|z)"'
