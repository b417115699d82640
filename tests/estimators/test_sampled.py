"""A term with a closed form, at draws because the spec asks for it: the same bound, another way to compute it."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402

EXACT = {"rtol": 1e-10, "atol": 1e-12}
N = torch.distributions.Normal
RATE = "KL(q(z|x)||p(z))"
BASE: dict[str, Any] = {
    "name": "drawn",
    "objective": "minimize I_q(X;Z) - I_q(Z;X)",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}


def given(Loss: Any, draws: int | None) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    sizes = {"S": draws, "B": 5, "D": 2, "L": 3}
    shapes = {i.name: [sizes[a] for a in i.shape if sizes[a] is not None] for i in Loss.INPUTS}
    return {n: torch.randn(s, dtype=torch.float64, generator=generator) for n, s in shapes.items()}


@pytest.mark.parametrize("draws", [None, 3])
def test_the_mean_at_draws(draws: int | None) -> None:
    """The value, its gradient in the draws and in the parameters; the derivation is the one without the entry."""
    closed, drawn = (ibsym.derive(ibsym.Spec(**BASE, **more)) for more in ({}, {"estimators": {RATE: "sampled"}}))
    assert [b.estimator for b in closed.bound] == ["closed-form", "sampled"]
    assert [b.estimator for b in drawn.bound] == ["sampled", "sampled"]
    assert (drawn.relation, drawn.final, drawn.steps, drawn.gap) == (closed.relation, closed.final, closed.steps, closed.gap)
    Loss = ibsym.compile(drawn)
    inputs = {n: t.requires_grad_() if n != "x" else t for n, t in given(Loss, draws).items()}
    output = Loss()(**inputs)
    q = N(inputs["z_mean"], (0.5 * inputs["z_logvar"]).exp())
    value = (q.log_prob(inputs["z"]) - N(0.0, 1.0).log_prob(inputs["z"])).sum(-1).mean()
    torch.testing.assert_close(output.terms[RATE], value.detach(), **EXACT)
    names = ("z", "z_mean", "z_logvar")
    rest = -N(inputs["x_mean"], 1.0).log_prob(inputs["x"]).sum(-1).mean()
    for a, b in zip(
        torch.autograd.grad(output.loss, [inputs[n] for n in names]),
        torch.autograd.grad(value + rest, [inputs[n] for n in names]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **EXACT)


def test_it_agrees_with_the_closed_form_in_expectation() -> None:
    terms = []
    generator = torch.Generator().manual_seed(1)
    mean, logvar = torch.randn(2, 4, 3, dtype=torch.float64, generator=generator)
    noise = torch.randn(20000, 4, 3, dtype=torch.float64, generator=generator)
    for more in ({}, {"estimators": {RATE: "sampled"}}):
        Loss = ibsym.compile(ibsym.Spec(**{**BASE, "objective": f"minimize {RATE}"}, **more))
        every = {"z_mean": mean, "z_logvar": logvar, "z": mean + (0.5 * logvar).exp() * noise}
        terms.append(float(Loss()(**{i.name: every[i.name] for i in Loss.INPUTS}).loss))
    assert terms[0] == pytest.approx(terms[1], rel=1e-2)


def test_what_is_not_in_the_bound_is_refused_with_what_is() -> None:
    with pytest.raises(ibsym.SpecError) as caught:
        ibsym.derive(ibsym.Spec(**BASE, estimators={"KL(q(z)||p(z))": "sampled"}))
    assert f'write: estimators."{RATE}" or estimators."E_q[log p(x|z)]", or leave it out' in str(caught.value)


def test_draws_that_carry_no_gradient_are_refused() -> None:
    keys = {
        **BASE,
        "variables": {"x": "real[D]", "z": "binary[L]"},
        "families": {"q(z|x)": "bernoulli", "p(z)": "bernoulli", "p(x|z)": "isotropic-normal"},
        "objective": f"minimize {RATE}",
    }
    assert ibsym.derive(ibsym.Spec(**keys)).bound[0].estimator == "closed-form"
    with pytest.raises(ibsym.SpecError, match="carry no gradient"):
        ibsym.derive(ibsym.Spec(**keys, estimators={RATE: "sampled"}))
