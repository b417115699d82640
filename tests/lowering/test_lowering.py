"""Programs: shared work once, inputs by the rules, refusals that help, and an interpreter that needs no emitted text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ibsym.checking.audit import audit
from ibsym.derivation.engine import derive
from ibsym.errors import EmissionError
from ibsym.lowering import interpreter, lower
from ibsym.lowering.naming import input_names
from ibsym.lowering.program import InputKey, Load, Ref, broadcast, children
from ibsym.spec.model import Spec

CODE = {
    "name": "test",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}


def program(**keys):
    return lower(audit(derive(Spec(**{**CODE, **keys})), worlds=0))


def nodes(node):
    yield node
    for child in children(node):
        yield from nodes(child)


def test_the_loss_in_numbers():
    made = program(objective="minimize I_q(X;Z) - I_q(Z;X)")
    inputs = {
        "z_mean": [[1.0], [0.0]],
        "z_logvar": [[0.0], [0.0]],
        "x": [[1.0, 0.0], [0.0, 0.0]],
        "x_mean": [[0.0, 0.0], [0.0, 0.0]],
    }
    values = interpreter.evaluate(made, inputs, reduction="none")
    assert values.terms["KL(q(z|x)||p(z))"] == 0.25
    np.testing.assert_allclose(values.loss, [0.5 + 0.5 + np.log(2 * np.pi), np.log(2 * np.pi)])


def test_shared_work_is_done_once():
    made = program(
        objective="minimize TC_q(Z) + KL(q(z)||p(z)) - I_q(Z;X)",
        estimators={"TC_q(Z)": "minibatch-weighted", "KL(q(z)||p(z))": "minibatch-weighted"},
    )
    written = [s.node for s in made.steps]
    assert len(set(written)) == len(written)
    assert len({s.name for s in made.steps}) == len(made.steps)


def test_references_look_back():
    made = program(objective="minimize I_q(X;Z) - I_q(Z;X)", estimators={"I_q(X;Z)": "club"})
    for place, step in enumerate(made.steps):
        assert all(n.index < place for n in nodes(step.node) if isinstance(n, Ref))


@pytest.mark.parametrize(
    ("factor", "keys"),
    [
        ("p(z)", {"objective": "minimize I_q(X;Z) - I_q(Z;X)", "families": {**CODE["families"], "p(z)": "isotropic-normal"}}),
    ],
)
def test_a_learned_prior_has_no_rows(factor, keys):
    made = program(**keys)
    shapes = {(i.key.of, i.key.role, i.key.joint): i.shape for i in made.inputs}
    assert shapes[factor, "mean", "q"] == ("L",)


def test_batch_axes_are_named_after_sources_and_joints():
    made = program(
        objective="minimize I_u(X;Z) - I_q(Z;Y) + KL(p(z)||r(z))",
        variables={"x": "real[D]", "y": "real[E]", "z": "real[L]"},
        joints={"q": "data(x,y) q(z|x)", "u": "more(x) q(z|x)", "p": "p(z)", "r": "r(z)", "d": "d(y|z)"},
        families={
            "more(x)": "empirical",
            "q(z|x)": "diagonal-normal",
            "p(z)": "diagonal-normal",
            "r(z)": "normal-mixture",
            "d(y|z)": "laplace",
        },
    )
    shapes = {tuple(i.key): i.shape for i in made.inputs}
    assert shapes["q(z|x)", "mean", "u"] == ("B_more", "L")
    assert shapes["d(y|z)", "mean", "q"] == ("S", "B", "E")
    assert shapes["y", "value", "q"] == ("B", "E")
    assert shapes["z", "sample", "p"] == ("B_p", "L")
    assert shapes["r(z)", "logits", "p"] == ("M",)
    assert shapes["r(z)", "mean", "p"] == ("M", "L")
    assert made.rows is None


def test_a_closed_entropy_takes_only_what_it_needs():
    made = program(objective="minimize E_q[log q(z|x)] - E_q[log p(x|z)]")
    assert [i.name for i in made.inputs] == ["z_logvar", "x", "x_mean"]


def test_a_constant_entropy_reads_its_size_off_an_input():
    families = {**CODE["families"], "q(z|x)": "isotropic-normal"}
    made = program(objective="minimize E_q[log q(z|x)] - E_q[log p(x|z)]", families=families)
    assert made.inputs[0].name == "z_mean"
    values = interpreter.evaluate(made, {"z_mean": np.zeros((2, 3)), "x": np.zeros((2, 1)), "x_mean": np.zeros((2, 1))})
    assert values.terms["E_q[log q(z|x)]"] == pytest.approx(-1.5 * (1 + np.log(2 * np.pi)))


def test_names_are_short_until_they_collide():
    keys = [InputKey("q(z|x)", "mean", "q"), InputKey("q(z|x)", "logvar", "q"), InputKey("x", "value", "q")]
    assert list(input_names(keys, ()).values()) == ["z_mean", "z_logvar", "x"]
    other = [*keys, InputKey("b(z|c)", "mean", "q"), InputKey("x", "value", "u")]
    names = input_names(other, ())
    assert [names[k] for k in other] == ["q_z_mean", "q_z_logvar", "q_x", "b_z_mean", "u_x"]
    same_head = [InputKey("q(z|x)", "mean", "q"), InputKey("q(z|x,c)", "mean", "q")]
    assert list(input_names(same_head, ()).values()) == ["q_z_given_x_mean", "q_z_given_x_c_mean"]
    critics = [InputKey("KL(q(z)||p(z))", r, "q") for r in ("critic", "critic_reference")]
    assert list(input_names(critics, ()).values()) == ["z_critic", "z_critic_reference"]
    two = [*critics, InputKey("JS(q(z)||p(z))", "critic", "q")]
    assert list(input_names(two, ()).values()) == ["kl_z_critic", "kl_z_critic_reference", "js_z_critic"]
    assert list(input_names([InputKey("torch", "value", "q")], {"torch"}).values()) == ["q_torch"]


def test_axes_meet_on_the_right():
    assert broadcast([("S", "B", "1", "L"), ("1", "B", "L")]) == ("S", "B", "B", "L")
    with pytest.raises(ValueError, match="do not broadcast"):
        broadcast([("B", "L"), ("B_p", "L")])


REFUSED = [
    (
        {
            "objective": "minimize TC_q(Z1;Z2) - I_q(Z2;X)",
            "estimators": {"TC_q(Z1;Z2)": "minibatch-weighted"},
            "joints": {"q": "data(x) q(z1|x) q(z2|z1)", "p": "p(x|z2)"},
            "variables": {"x": "real[D]", "z1": "real[L]", "z2": "real[L]"},
            "families": {"q(z1|x)": "diagonal-normal", "q(z2|z1)": "diagonal-normal", "p(x|z2)": "isotropic-normal"},
        },
        r"q\(z2\|z1\) is conditioned on z1",
    ),
    (
        {"objective": "minimize KL(q(z)||p(z)) - I_q(Z;X)", "estimators": {"KL(q(z)||p(z))": "minibatch-stratified"}},
        r"dataset_size = 60000",
    ),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED)
def test_what_cannot_be_lowered_says_why(keys, message):
    with pytest.raises(EmissionError, match=message):
        program(**keys)


def test_programs_are_values():
    one, two = (program(objective="minimize I_q(X;Z) - I_q(Z;X)") for _ in range(2))
    assert one == two
    assert hash(one.steps) == hash(two.steps)
    assert all(isinstance(n, Load) or not re.search("torch", type(n).__name__) for s in one.steps for n in nodes(s.node))
