"""Relative entropies without a closed form: log q - log p at samples, against torch.distributions; mixtures of joints by their weights."""

from __future__ import annotations

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
