"""What a report says of small losses: exact weights, the constant, the sign, gradients; errors that say what to write."""

from __future__ import annotations

import tomllib

import pytest
import torch
import torch.nn.functional as F

import ibsym
from ibsym.errors import IbsymError
from ibsym.spec.loading import zoo_text
from ibsym.testing import assert_loss_is

KL, LOG = "KL(q(z|x)||p(z))", "E_q[log p(x|z)]"


def rate(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp())


def distortion(x, logits):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def right(x, logits, mu, logvar):
    return (distortion(x, logits).sum(-1) + rate(mu, logvar).sum(-1)).mean()


def test_a_right_loss_is_equal():
    report = ibsym.diagnose(right, "vae")
    assert report.equal, str(report)
    assert report.coefficients == {KL: 1, LOG: -1}
    assert_loss_is(right, "vae", inputs={"mu": "z_mean"})


def test_a_mean_over_latents_is_told_from_a_constant():
    def loss(x, logits, mu, logvar):
        return distortion(x, logits).sum(-1).mean() + rate(mu, logvar).mean()

    report = ibsym.diagnose(loss, "vae")
    assert not report.equal
    assert report.coefficients[KL] == "1/L"
    assert report.coefficients[LOG] == "-1"
    assert "1/L" in str(report)
    assert any(f.kind == "mean" and f.where == KL for f in report.findings)


def test_weights_take_their_sizes():
    def loss(x, logits, std, mu):
        log_var = 2 * std.log()
        return distortion(x, logits).sum() / 60000 - rate(mu, log_var).sum() / 32

    report = ibsym.diagnose(loss, "vae", inputs={"std": "exp(z_logvar/2)"})
    assert report.coefficients == {KL: "-B/32", LOG: "-B/60000"}


def test_a_detached_term_is_named():
    def loss(x, logits, mu, logvar):
        return (distortion(x, logits).sum(-1) + rate(mu, logvar.detach()).sum(-1)).mean()

    report = ibsym.diagnose(loss, "vae")
    assert report.coefficients == {KL: 1, LOG: -1}
    assert [(f.kind, f.where) for f in report.findings] == [("gradient missing", "z_logvar")]
    assert not report.equal


def test_of_two_terms_that_an_input_has_the_detached_one_is_named():
    spec = ibsym.Spec(
        name="two-rates",
        objective="minimize KL(q(z|x)||p(z)) + gamma*KL(q(z|x)||r(z))",
        variables={"x": "real[D]", "z": "real[L]"},
        joints={"q": "data(x) q(z|x)", "p": "p(z)", "r": "r(z)"},
        families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "r(z)": "diagonal-normal"},
        parameters={"gamma": {"default": 2.0, "min": 0}},
    )

    def loss(z_mean, z_logvar, r_mean, r_logvar, gamma):
        apart = z_mean.detach() - r_mean
        other = 0.5 * (r_logvar - z_logvar - 1 + (z_logvar - r_logvar).exp() + apart**2 * (-r_logvar).exp())
        return (rate(z_mean, z_logvar) + gamma * other).sum(-1).mean()

    arguments = {
        "z_mean": "q_z_mean",
        "z_logvar": "q_z_logvar",
        "r_mean": "r_z_mean",
        "r_logvar": "r_z_logvar",
        "gamma": "gamma",
    }
    report = ibsym.diagnose(loss, spec, inputs=arguments)
    assert [(f.kind, f.where) for f in report.findings] == [("gradient missing", "q_z_mean")]
    assert "KL(q(z|x)||r(z)) does not reach" in str(report)


def test_what_is_maximised_is_minimised_with_its_sign_turned():
    spec = ibsym.Spec(**tomllib.loads(zoo_text("vae")) | {"objective": "maximize I_q(Z;X) - I_q(X;Z)"})
    assert_loss_is(right, spec)


def test_a_gradient_of_the_wrong_sign_is_named():
    def loss(x, logits, mu, logvar):
        turned = 2 * mu.detach() - mu
        return (distortion(x, logits).sum(-1) + rate(turned, logvar).sum(-1)).mean()

    report = ibsym.diagnose(loss, "vae")
    assert {f.kind for f in report.findings} == {"gradient sign"}


def test_what_is_no_sum_of_terms_is_unexplained():
    def loss(x, logits, mu, logvar):
        return (distortion(x, logits).sum(-1) * torch.sin(3 * mu).sum(-1)).mean()

    report = ibsym.diagnose(loss, "vae")
    assert not report.equal
    assert not report.explained
    assert "seed" in str(report)


def test_closures_keep_their_weight():
    def make(weight):
        return lambda x, logits, mu, logvar: (distortion(x, logits).sum(-1) + weight * rate(mu, logvar).sum(-1)).mean()

    assert ibsym.diagnose(make(3.5), "beta-vae").equal
    assert not ibsym.diagnose(make(3.5), "beta-vae", parameters={"beta": 4.0}).equal
    assert not ibsym.diagnose(make(0.0), "beta-vae").equal


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"mu": "nothing"}, "nothing"),
        ({"nobody": "z_mean"}, "nobody"),
        ({"mu": "__import__('os')"}, "unknown input"),
        ({"mu": "z_mean +"}, "is not arithmetic"),
        ({"mu": "z_mean.mean()"}, "not understood"),
        ({"mu": "const"}, "no default"),
    ],
)
def test_a_wrong_mapping_names_the_argument_and_what_to_write(inputs, words):
    with pytest.raises(IbsymError, match=words) as failed:
        ibsym.diagnose(right, "vae", inputs=inputs)
    assert "write:" in str(failed.value)
    assert next(iter(inputs)) in str(failed.value)


def test_an_unknown_argument_is_asked_for():
    with pytest.raises(IbsymError, match="foo") as failed:
        ibsym.diagnose(lambda x, logits, foo, bar: foo, "vae")
    assert '"foo"' in str(failed.value)


def test_the_assertion_says_what_is_wrong():
    def loss(x, logits, mu, logvar):
        return (distortion(x, logits).sum(-1) - rate(mu, logvar).sum(-1)).mean()

    with pytest.raises(AssertionError, match="sign"):
        assert_loss_is(loss, "vae")


def test_findings_are_the_players() -> None:
    """What moves a critic alone is the critic's, what moves the samples is the model's; the record says who is right."""

    def loss(mu, logvar, f_z, f_x, g_x, x, logits):
        rate = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(1).mean()
        distortion = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1).mean()
        leak = f_x.mean() - f_x.mean().detach()
        return rate - f_z.mean().detach() + distortion + F.softplus(-g_x).mean() + leak

    names = {"f_z": "z_critic", "f_x": "x_critic", "g_x": "x_critic_reference", "logits": "x_logits"}
    report = ibsym.diagnose(loss, "bib-ae", inputs=names)
    assert report.players == ("model", "critic of KL(q(z)||p(z))", "critic of KL(q(x)||p(x))")
    assert [f.kind for f in report.by_player["model"]] == ["gradient missing"]
    assert [(f.kind, f.where) for f in report.by_player["critic of KL(q(x)||p(x))"]] == [("gradient leaks", "x_critic")]
    assert report.record()["players"] == {
        "model": False,
        "critic of KL(q(z)||p(z))": True,
        "critic of KL(q(x)||p(x))": False,
    }
    assert "gradient leaks (critic of KL(q(x)||p(x)))" in str(report)
