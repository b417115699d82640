"""A variable that a mixture's component sums out is its own: the law of reconstructions has an x, and inside its code another one."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

import ibsym
from ibsym.checking.exact import Facts
from ibsym.checking.finite import FiniteWorld
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density, Entropy, ExpectedLog, RelativeEntropy
from ibsym.terms.vectors import Coordinates
from tests.checking.random_specs import random_term

KEYS = {
    "name": "reconstructions",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {
        "q": "data(x) q(z|x)",
        "p": "p(z) p(x|z)",
        "g": "(1*q(z)) p(x|z)",
        "h": "(1*g(x)) q(z|x)",  # the code of a reconstruction: x and z once more inside
        "m": "(0.5*q(z) + 0.5*p(z)) p(x|z)",
    },
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}
JS = "JS(data(x)||g(x))"


def spec(objective: str = f"minimize {JS}", **keys: object) -> Spec:
    return Spec(**(KEYS | {"objective": objective, "estimators": {JS: "logistic"} if JS in objective else {}} | keys))


def test_equal_vectors_are_equal_terms_in_worlds() -> None:
    made, rng = spec(), random.Random(0)
    facts = Facts(made)
    worlds = [FiniteWorld.random(made, seed, style="dense") for seed in (0, 1)]
    terms = {random_term(made, rng, linear=True) for _ in range(80)}
    terms |= {
        Entropy(j, of)
        for j in made.joints
        if made.joints[j].rooted
        for of in (("x",), ("z",))
        if {*of} <= {*made.joints[j].variables}
    }
    values = {t: [w.value(t) for w in worlds] for t in terms}
    same = 0
    for a, b in combinations(sorted(terms, key=str), 2):
        if facts.vanishes({k: v for k, v in _difference(facts.coordinates, a, b).items() if v}):
            assert values[a] == pytest.approx(values[b], rel=1e-9, abs=1e-9), (a, b)
            same += 1
    assert same


def _difference(coordinates: Coordinates, a: object, b: object) -> dict:  # type: ignore[type-arg]
    left, right = coordinates.vector(a), coordinates.vector(b)  # type: ignore[arg-type]
    return {k: left.get(k, 0) - right.get(k, 0) for k in {*left, *right}}


def test_the_code_inside_is_the_encoders_and_the_reconstruction_is_not_the_data() -> None:
    coordinates = Coordinates(spec())

    def under(joint: str, variable: str) -> dict:  # type: ignore[type-arg]
        return coordinates.vector(ExpectedLog(joint, (Density("p", (variable,)),)))

    assert under("g", "z") == under("q", "z")
    laws = [under(joint, "x") for joint in ("q", "g", "h", "p", "m")]
    assert all(a != b for a, b in combinations(laws[:1] + laws[1:2] + laws[3:], 2))
    assert under("h", "x") == under("g", "x")
    assert under("h", "z") != under("q", "z")
    twice = RelativeEntropy(Density("h", ("z",)), (Density("q", ("z",)),))
    assert coordinates.vector(twice)  # the code of a reconstruction is another law than the code


DECODED = {
    "joints": KEYS["joints"] | {"u": "u(z|x)"},  # type: ignore[operator]
    "families": KEYS["families"] | {"u(z|x)": "diagonal-normal"},  # type: ignore[operator]
}


def test_what_is_emitted_draws_it_under_its_own_joint() -> None:
    torch = pytest.importorskip("torch")
    certificate = ibsym.audit(ibsym.derive(spec(f"minimize {JS} - E_g[log u(z|x)]", **DECODED)))
    loss = ibsym.compile(certificate)
    named = {(i.of, i.role, i.joint): i for i in loss.INPUTS}
    assert {(JS, "critic", "data"), (JS, "critic_reference", "g")} <= set(named)
    code, mean, logvar = (named[k] for k in (("z", "sample", "g"), ("u(z|x)", "mean", "g"), ("u(z|x)", "logvar", "g")))
    assert all("'" not in i.of and "'" not in i.name for i in loss.INPUTS)
    sizes = {"B": 5, "D": 3, "L": 2}
    given = {i.name: torch.randn([sizes[a] for a in i.shape if a != "S"], dtype=torch.float64) for i in loss.INPUTS}
    law = torch.distributions.Normal(given[mean.name], (given[logvar.name] / 2).exp())
    wanted = law.log_prob(given[code.name]).sum(-1).mean()
    torch.testing.assert_close(loss()(**given).terms["E_g[log u(z|x)]"], wanted)


def test_a_factor_inside_is_the_declared_one() -> None:
    """Rows of the code's own law under g are those of the encoder, by the encoder's name."""
    pytest.importorskip("torch")
    text = "KL(g(z)||p(z))"
    loss = ibsym.compile(spec(f"minimize {text} - I_q(Z;X)", estimators={text: "minibatch-weighted"}))
    named = {(i.of, i.role) for i in loss.INPUTS}
    assert {("z", "sample"), ("q(z|x)", "mean"), ("q(z|x)", "logvar")} <= named
    assert all("'" not in i.of and "'" not in i.name for i in loss.INPUTS)


def test_an_expectation_over_several_such_components_is_refused() -> None:
    few = {n: j for n, j in DECODED["joints"].items() if n not in ("g", "h")}
    with pytest.raises(ibsym.IbsymError, match="variables of their own under the same names") as error:
        ibsym.derive(spec("minimize KL(q(z|x)||p(z)) - E_m[log u(z|x)]", **DECODED | {"joints": few}))
    parts = ibsym.derive(spec("minimize KL(q(z|x)||p(z)) - E_m[log u(z|x)]", **DECODED)).bound  # the part from q is g's
    assert {b.text for b in parts} == {"KL(q(z|x)||p(z))", "E_p[log u(z|x)]", "E_g[log u(z|x)]"}
    assert "write:" in str(error.value)
    shift = "JS(data(x)||m(x))"
    assert (shift,) == ibsym.compile(spec(f"minimize {shift}", estimators={shift: "logistic"})).CRITICS
