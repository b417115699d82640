"""Specs that are refused: mistakes of every kind in one small system, and estimators where they do not belong."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ibsym.errors import Edit
from ibsym.estimators import ESTIMATORS
from ibsym.spec.families import USUAL

Keys = dict[str, Any]
BASE: Keys = {
    "name": "system",
    "objective": "minimize I_q(X;Z) - beta*I_q(Z;C)",
    "variables": {"x": "real[D]", "c": "categorical[K]", "s": "categorical[M]", "z": "real[L]"},
    "joints": {"q": "data(x,c,s) q(z|x)", "p": "p(z) p(c|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(c|z)": "categorical"},
    "parameters": {"beta": {"default": 0.5, "min": 0}, "eta": {"default": 0.5}, "gamma": {"default": -1.0}},
}
OBJECTIVES = {
    "read the other way": "minimize I_q(Z;S) - I_q(Z;C)",
    "a wrong sign": "minimize I_q(X;Z) + beta*I_q(Z;C)",
    "a wrong sense": "maximize I_q(X;Z) - beta*I_q(Z;C)",
    "no decoder": "minimize I_q(X;Z) - beta*I_q(Z;X)",
    "no subscript": "minimize I_q(X;Z) - beta*E[log p(c|z)]",
    "no subscript of a total correlation": "minimize beta*TC(C;Z) - I_q(Z;C)",
    "no sign": "minimize I_q(X;Z) - eta*I_q(Z;C)",
    "no sign of a negative one": "minimize I_q(X;Z) + gamma*I_q(Z;C)",
    "no sign of a difference": "minimize (1 - beta)*I_q(X;Z) - I_q(Z;C)",
    "no such parameter": "minimize I_q(X;Z) - delta*I_q(Z;C)",
    "the other cross-entropy": "minimize CE(p(z)||q(z)) - I_q(Z;C)",
    "a cross-entropy of the model": "minimize CE(p(c)||q(c)) - I_q(Z;C)",
    "Jensen-Shannon": "minimize JS(q(z)||p(z)) - I_q(Z;C)",
    "another divergence": "minimize F[pearson](q(z)||p(z)) - I_q(Z;C)",
    "coordinates": "minimize TC_q(Z) - I_q(Z;C)",
    "groups": "minimize TC_q(Z;S) - I_q(Z;C)",
    "a conditional": "minimize I_q(Z;S|C) - I_q(Z;C)",
    "from below": "maximize KL(q(z)||p(z)) + I_q(Z;C)",
    "an entropy": "maximize H_q(Z) + I_q(Z;C)",
    "a variable too many": "minimize I_q(X;W) - I_q(Z;C)",
    "no law": "minimize I_p(X;Z) - I_q(Z;C)",
    "a variable that a model lacks": "minimize KL(q(z|x)||p(z|x)) - I_q(Z;C)",
    "a parameter misspelt": "minimize I_q(X;Z) - betta*I_q(Z;C)",
}
TERMS = ("I_q(X;Z)", "TC_q(Z;C)", "KL(q(z)||p(z))", "JS(q(z)||p(z))", "CE(q(z)||p(z))", "E_q[log p(c|z)]")


def _with(*edits: Edit) -> Keys:
    keys = copy.deepcopy(BASE)
    for edit in edits:
        keys = edit.applied(keys)
    return keys


def refused() -> Iterator[tuple[str, Keys]]:
    """Names and keys. Some are accepted: an estimator where it may be."""
    for name, objective in OBJECTIVES.items():
        yield name, _with(Edit(("objective",), objective))
    for kind in USUAL:
        space = "sphere[3]" if kind == "sphere" else f"{kind}[K]"
        yield f"no family, {kind}", _with(Edit(("variables", "c"), space), Edit(("families", "p(c|z)")))
        wrong = "bernoulli" if kind != "binary" else "categorical"
        yield f"a family of another space, {kind}", _with(Edit(("variables", "c"), space), Edit(("families", "p(c|z)"), wrong))
        yield f"no density, {kind}", _with(Edit(("variables", "c"), space), Edit(("families", "p(c|z)"), "implicit"))
    for factor in BASE["families"]:
        yield f"no family of {factor}", _with(Edit(("families", factor)))
        yield f"misspelt, {factor}", _with(Edit(("families", factor), "diagonal-normals"))
        yield f"unheard of, {factor}", _with(Edit(("families", factor), "zzz"))
        yield f"implicit, {factor}", _with(Edit(("families", factor), "implicit"))
    yield "written with spaces", _with(Edit(("families", "p(c|z)")), Edit(("families", "p( c | z )"), "implicit"))
    yield "a factor of no joint", _with(Edit(("families", "p(s|z)"), "categorical"))
    yield "a density left out of its joint", _with(Edit(("joints", "p"), "p(c|z)"))
    yield "a table without its family", _with(Edit(("families", "p(c|z)"), {"name": "categorical"}))
    yield "a key with a parameter", _with(Edit(("families", "p(c|z)")), Edit(("families", "p_theta(c|z)"), "categorical"))
    yield "a key in capitals", _with(Edit(("families", "p(c|z)")), Edit(("families", "p(C|Z)"), "categorical"))
    yield "a prior of samples", _with(Edit(("families", "p(z)"), "empirical"))
    yield "a family of the data", _with(Edit(("families", "data(x,c,s)"), "diagonal-normal"))
    yield "not observed", _with(Edit(("joints", "q"), "data(x,s) q(z|x)"))
    yield "twice", _with(Edit(("joints", "p"), "p(c|z)", more=True))
    yield "a source and a factor", _with(Edit(("joints", "p"), "data(c) p(z) p(c|z)"))
    yield "a conditional source", _with(Edit(("joints", "q"), "data(c,s|x) q(z|x)"))
    codes = Edit(("variables", "z"), "categorical[N]"), Edit(("families", "p(z)"), "categorical")
    ratio = Edit(("estimators", "KL(q(z)||p(z))"), "density-ratio")
    yield "no gradient", _with(*codes, Edit(("families", "q(z|x)"), "categorical"), ratio)
    summed = Edit(("families", "q(z|x)"), {"family": "categorical", "marginal": "enumerate"})
    yield "summed over", _with(*codes, summed, ratio)
    outside = Edit(("families", "q(z|x)"), {"family": "external", "sampled": False})
    yield "no draws", _with(outside)
    yield (
        "an expansion of what is no constant",
        _with(
            Edit(("derivation", "expand"), ["H_q(S) with p(s)"]),
            Edit(("joints", "p"), "p(s)", more=True),
            Edit(("families", "p(s)"), "categorical"),
        ),
    )
    yield "an expansion without an estimator", _with(Edit(("derivation", "expand"), ["H_q(C) with p(c)"]))
    yield "two entries", _with(Edit(("estimators", "I_q(X;Z)"), "club"), Edit(("estimators", "KL(q(x,z)||q(x)q(z))"), "dv"))
    for k, estimator in enumerate(ESTIMATORS):
        for term in (TERMS[k % len(TERMS)], TERMS[(k + k // len(TERMS) + 1) % len(TERMS)]):
            yield f"estimator: {estimator} of {term}", _with(Edit(("estimators", term), estimator))
    for sense in ("minimize", "maximize"):
        for estimator in ("infonce", "club", "leave-one-out", "nwj", "adversary", "density-ratio"):
            objective = Edit(("objective",), f"{sense} I_q(Z;S) + I_q(Z;C)")
            yield f"estimator: {estimator}, {sense}", _with(objective, Edit(("estimators", "I_q(Z;S)"), estimator))
