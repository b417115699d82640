"""Relative entropies without a closed form: log q - log p at samples, against torch.distributions; mixtures of joints by their weights."""

from __future__ import annotations

from typing import Any

import pytest

import ibsym
from ibsym.spec.model import Spec

torch = pytest.importorskip("torch")
D = torch.distributions


def test_a_relative_entropy_at_samples() -> None:
    spec = Spec(
        name="sampled", objective="minimize I_q(X;Z)", variables={"x": "real[D]", "z": "real[L]"},
        joints={"q": "data(x) q(z|x)", "p": "p(z)"},
        families={"q(z|x)": "diagonal-normal", "p(z)": {"family": "laplace", "scale": "learned"}},
    )  # fmt: skip
    derivation = ibsym.derive(spec)
    assert [(b.text, b.estimator) for b in derivation.bound] == [("KL(q(z|x)||p(z))", "sampled")]
    loss = ibsym.compile(derivation)()
    g = torch.Generator().manual_seed(0)
    z, mean, logvar = (torch.randn(5, 3, generator=g, dtype=torch.float64) for _ in range(3))
    center, scale = torch.randn(3, generator=g, dtype=torch.float64), torch.rand(3, generator=g, dtype=torch.float64) + 0.5
    out = loss(z=z, q_z_mean=mean, q_z_logvar=logvar, p_z_mean=center, p_z_scale=scale)
    log_ratio = D.Normal(mean, (logvar / 2).exp()).log_prob(z).sum(-1) - D.Laplace(center, scale).log_prob(z).sum(-1)
    assert out.loss.item() == pytest.approx(log_ratio.mean().item(), abs=1e-12)


def test_an_expectation_under_a_mixture_weighs_the_means_of_its_parts() -> None:
    """1/4 of the mean over one batch and 3/4 of that over another, whatever their lengths."""
    spec = Spec(
        name="two-sources",
        objective="minimize -E_m[log r(x|z)]",
        variables={"x": "real[D]", "z": "real[L]"},
        joints={"m": "(1/4*data(x) + 3/4*u(x)) q(z|x)", "r": "r(x|z)"},
        families={"r(x|z)": "isotropic-normal", "q(z|x)": "deterministic", "u(x)": "empirical"},
    )
    torch.manual_seed(0)
    sizes = {"B": 3, "B_u": 5, "D": 2, "S": 1}
    loss = ibsym.compile(spec)
    given = {i.name: torch.randn([sizes[a] for a in i.shape], dtype=torch.float64) for i in loss.INPUTS}

    def distortion(source: str) -> Any:
        return -D.Normal(given[f"{source}_x_mean"], 1.0).log_prob(given[f"{source}_x"]).sum(-1).mean()

    expected = distortion("data") / 4 + 3 * distortion("u") / 4
    torch.testing.assert_close(loss()(**given).loss, expected, rtol=1e-12, atol=1e-12)
