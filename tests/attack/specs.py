"""Random specs to attack: graphs, families of every kind, signed parameters, estimators and expansions, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import sympy

from ibsym.derivation.planning import Planner
from ibsym.facts import Side
from ibsym.spec.model import Spec
from ibsym.spec.variables import capitalised
from ibsym.terms.measures import MutualInformation, RelativeEntropy
from ibsym.terms.reading import density
from tests.checking.random_specs import ESTIMATORS, random_keys, random_subset, random_term

PARAMETERS: dict[str, dict[str, float]] = {
    "beta": {"default": 1.0, "min": 0},
    "alpha": {"default": 0.5, "min": 0, "max": 1},
    "gamma": {"default": -1.0, "max": 0},
    "eta": {"default": 0.5, "min": -1, "max": 2},
    "delta": {"default": 1.0},
}
POSITIVE = (
    *("", "", "", "2*", "0.5*", "beta*", "beta*", "alpha*", "(1 + beta)*", "(1 - alpha)*", "(beta - gamma)*", "beta*alpha*"),
    *("(1 + beta)^2*", "beta/3*", "gamma^2*", "(2 - eta)*", "delta^2*", "1/(1 + alpha)*", "(-gamma)*", "-(gamma)*beta*"),
)
NEGATIVE = ("gamma*", "(alpha - 1)*", "(-beta)*", "(gamma - alpha)*", "beta*gamma*", "gamma^3*", "(eta - 2)*")
UNKNOWN = ("eta*", "delta*", "(beta + gamma)*", "(1 - beta)*")
SPACES = ("real[D]",), ("binary[D]", "categorical[K]"), ("real[D]", "binary[D]", "categorical[K]")


@dataclass(frozen=True)
class Case:
    """The keys of a spec; ``kind`` says which spaces its variables have."""

    keys: dict[str, object]
    kind: str

    def spec(self) -> Spec:
        return Spec(**self.keys)


def random_case(seed: int) -> Case:
    rng = random.Random(seed * 7919 + 13)
    which = rng.randrange(3)
    keys = random_keys(seed, most=rng.choice((3, 3, 4, 4, 5)), spaces=SPACES[which])
    _vary_families(keys, rng)
    base = Spec(**keys, objective="minimize I_q(X;Y)")  # type: ignore[arg-type]
    sense = rng.choice(("minimize", "maximize"))
    asked: dict[str, str] = {}
    if rng.random() < 0.85:
        parts = _chosen(base, rng, Side.of(sense), asked)
    else:
        parts = [
            rng.choice(["+ ", "- "]) + rng.choice(POSITIVE + NEGATIVE + UNKNOWN) + str(random_term(base, rng, linear=False))
            for _ in range(2)
        ]
    if rng.random() < 0.05:
        kept = str(_marginal_divergence(base, rng))
        asked.setdefault(kept, rng.choice(("density-ratio", "mmd", "dv", "nwj")))
    if rng.random() < 0.05:
        name = rng.choice(list(base.joints["q"].variables))
        kept = f"TC_q({capitalised(name)})"
        parts.append(f"+ beta*{kept}")
        asked[kept] = "minibatch-weighted"
    keys |= {"objective": f"{sense} {' '.join(parts).removeprefix('+ ')}", "parameters": PARAMETERS, "estimators": asked}
    return Case(keys, ("continuous", "discrete", "mixed")[which])


def _vary_families(keys: dict[str, object], rng: random.Random) -> None:
    """Some factors cannot be evaluated, some are fixed, some deterministic."""
    families = keys["families"]
    assert isinstance(families, dict)
    for text in families:
        if families[text] != "empirical" and rng.random() < 0.12:
            families[text] = rng.choice(("implicit", "deterministic"))


def with_constructs(keys: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same keys: some classes summed out exactly or by a linear head, densities the caller's, a data set's size a parameter."""
    rng, families, asked = random.Random(seed * 6700417 + 3), dict(keys["families"]), dict(keys["estimators"])
    dense = {v for v, space in keys["variables"].items() if space.startswith("categorical") and ";" not in space}
    for text, entry in families.items():
        relaxed = isinstance(entry, dict) and entry.get("family") == "categorical" and "relax" in entry
        if relaxed and rng.random() < 0.5:
            families[text] = {"family": "categorical", "marginal": "enumerate"}
        elif entry != "empirical" and rng.random() < 0.08:
            families[text] = {"family": "external", "sampled": rng.random() < 0.8, "reparameterised": rng.random() < 0.8}
        elif relaxed and text.startswith("p(") and "|" in text and text[2:-1].split("|")[0] in dense and rng.random() < 0.4:
            families[text] = {"family": "categorical", "head": "linear"}
    for term, entry in asked.items():
        name, options = (entry, {}) if isinstance(entry, str) else (entry["estimator"], entry)
        if name.startswith("minibatch") and rng.random() < 0.6:
            asked[term] = {**options, "estimator": name, "dataset_size": "N"}
        elif name == "infonce" and rng.random() < 0.5:
            asked[term] = {**options, "estimator": name, "critic": "inner-product"}
    return {**keys, "families": families, "estimators": asked, "parameters": {**keys["parameters"], "N": SIZE}}


SIZE = {"default": 60.0, "min": 2.0}


SIDES = {"infonce": Side.LOWER, "iwae": Side.LOWER, "leave-one-out": Side.UPPER, "club": Side.UPPER}


def _chosen(spec: Spec, rng: random.Random, whole: Side, asked: dict[str, str]) -> list[str]:
    """Terms that have a bound, each with a coefficient whose sign asks for that bound, estimators on the side that they bound."""
    planner = Planner(spec)
    parts: list[str] = []
    wanted = rng.choice((1, 1, 2, 2, 3))
    for _ in range(12):
        term: Any = _likely_term(spec, rng) if rng.random() < 0.6 else random_term(spec, rng, linear=rng.random() < 0.9)
        text, side = str(term), Side.UPPER if rng.random() < 0.5 else Side.LOWER
        positive = side is whole
        if any(text in part for part in parts):
            continue
        if text[:2] in ESTIMATORS and rng.random() < 0.15:
            name = rng.choice(ESTIMATORS[text[:2]])
            right = SIDES.get(name, side) is side
            if right and not (name == "iwae" and len(term.second) > 1) and not (getattr(term, "given", ()) and text[0] == "I"):
                asked[text] = name
                parts.append(("+ " if positive else "- ") + rng.choice(POSITIVE) + text)
        elif planner.plan(term, sympy.Integer(1), None) is not None:
            if rng.random() < 0.6:
                continue  # an equality: the easier kind
            parts.append(rng.choice(["+ ", "- "]) + rng.choice(POSITIVE + NEGATIVE + UNKNOWN) + text)
        else:
            plan = planner.plan(term, sympy.Integer(1), side)
            if plan is not None and any(c.learned for _, c in plan.computed):
                swapped = rng.random() < 0.25
                sign = "+ " if positive is not swapped else "- "
                parts.append(sign + rng.choice(NEGATIVE if swapped else POSITIVE) + text)
        if len(parts) == wanted:
            break
    return parts or ["I_q(X;Y)"]


def _likely_term(spec: Spec, rng: random.Random) -> object:
    """A term that tends to have a bound: an information of two variables, a divergence between two joints."""
    joint = rng.choice([j for j in spec.joints.values() if j.rooted and len(j.variables) > 1])
    if rng.random() < 0.6:
        a, b, *rest = rng.sample(list(joint.variables), len(joint.variables))
        given = (rest[0],) if rest and rng.random() < 0.25 else ()
        return MutualInformation(joint.name, ((a,), (b,)), given)
    return _marginal_divergence(spec, rng) if rng.random() < 0.5 else _divergence(spec, rng)


def _marginal_divergence(spec: Spec, rng: random.Random) -> object:
    names = [v for v in spec.joints["q"].variables if v in spec.joints["p"].variables]
    of = random_subset(rng, names, 1)
    first, second = rng.sample(["q", "p"], 2)
    return RelativeEntropy(density(spec, first, of), (density(spec, second, of),))


def _divergence(spec: Spec, rng: random.Random) -> object:
    names = [v for v in spec.joints["q"].variables if v in spec.joints["p"].variables]
    of = random_subset(rng, names, 1)
    given = random_subset(rng, [v for v in names if v not in of])
    first, second = rng.sample(["q", "p"], 2)
    return RelativeEntropy(density(spec, first, of, given), (density(spec, second, of, given),))


def with_expansion(case: Case, spec: Spec, constants: list[tuple[str, tuple[str, ...]]], seed: int) -> Case | None:
    """The case with a constant H_j(A) expanded through another joint's r(a), its relative entropy kept by an estimator."""
    rng = random.Random(seed)
    options = [
        (joint, of, other.name)
        for joint, of in constants
        for other in spec.joints.values()
        if other.rooted and other.name != joint and {*of} <= set(other.variables) and other.name not in spec.sources
    ]
    if not options:
        return None
    joint, of, other = rng.choice(options)
    first, second = density(spec, joint, of), density(spec, other, of)
    entropy = f"H_{joint}({','.join(map(capitalised, of))})"
    estimators = {**case.keys["estimators"], str(RelativeEntropy(first, (second,))): "density-ratio"}  # type: ignore[dict-item]
    return Case({**case.keys, "estimators": estimators, "derivation": {"expand": [f"{entropy} with {second}"]}}, case.kind)
