"""SMILE, the worked example of CONTRIBUTING: its value, its players, what is claimed of it; and that one file of the package knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
EXACT = {"rtol": 1e-10, "atol": 1e-12}
CHANNEL: dict[str, Any] = {
    "name": "clipped",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "implicit"},
}


MUTANTS = (
    ("exact=False", "exact=True"),
    ("m.abs(m.f + t) - m.abs(m.f - t)", "m.abs(m.f + t) + m.abs(m.f - t)"),
)
"""Mistakes in the estimator's file that the tests notice (tests/mutants)."""


def derived(objective: str, term: str, **options: object) -> ibsym.Derivation:
    return ibsym.derive(ibsym.Spec(**CHANNEL, objective=objective, estimators={term: {"estimator": "smile", **options}}))


def logits() -> Any:
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(n, dtype=torch.float64, generator=generator) for n in (40, 40)]


def smile(f: Any, g: Any, clip: float) -> Any:
    return f.mean() - g.clamp(-clip, clip).exp().mean().log()


@pytest.mark.parametrize("clip", [None, 0.5, 2, 7.25])
@pytest.mark.parametrize("sense", ["minimize", "maximize"])
def test_the_value_and_the_gradients_of_both_players(clip: float | None, sense: str) -> None:
    """An information: the loss is the value whatever the weight's sign; the critic learns to tell pairs from shuffled ones."""
    options = {} if clip is None else {"clip": clip}
    Loss = ibsym.compile(derived(f"{sense} I_q(X;Z)", "I_q(X;Z)", **options))
    ours, theirs = ([t.clone().requires_grad_() for t in logits()] for _ in range(2))
    output = Loss()(x_z_critic=ours[0], x_z_critic_reference=ours[1])
    value = smile(theirs[0], theirs[1], clip or 5.0)
    expected = value if sense == "minimize" else -value
    torch.testing.assert_close(output.terms["I_q(X;Z)"], value.detach(), **EXACT)
    torch.testing.assert_close(output.loss, expected, **EXACT)
    for a, b in zip(torch.autograd.grad(output.loss, ours), torch.autograd.grad(expected, theirs), strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    f, g = logits()
    told = torch.nn.functional.softplus(-f).mean() + torch.nn.functional.softplus(g).mean()
    torch.testing.assert_close(Loss.critic_loss("I_q(X;Z)", f, g), told, **EXACT)


@pytest.mark.parametrize("objective", ["minimize {}", "maximize {}"])
@pytest.mark.parametrize("term", ["I_q(X;Z)", "KL(q(z)||p(z))", "KL(data(x)||p(x))"])
def test_it_claims_nothing(objective: str, term: str) -> None:
    derivation = derived(objective.format(term), term)
    assert str(derivation.relation) == "~"
    side = derivation.bound[0].model_side
    assert side is not None
    assert (side.exact, side.bounds) == (False, False)
    assert "Song & Ermon 2020" in derivation.steps[-1].cite
    assert ibsym.audit(derivation).worlds


def test_it_is_another_number_than_without_clipping() -> None:
    f, g = logits()
    clipped = ibsym.compile(derived("minimize I_q(X;Z)", "I_q(X;Z)", clip=1.0))()(x_z_critic=f, x_z_critic_reference=g).loss
    assert abs(float(clipped) - float(f.mean() - g.exp().mean().log())) > 0.1


def test_its_option_is_checked() -> None:
    for wrong in (0, -1.0, "much", True):
        with pytest.raises(ibsym.SpecError, match="clip"):
            derived("minimize I_q(X;Z)", "I_q(X;Z)", clip=wrong)


def test_one_file_knows_it() -> None:
    """The package's files that have its name: what adding an estimator touches, beside this test."""
    found = [
        p.relative_to(ROOT).as_posix() for p in ROOT.glob("ibsym/**/*.py") if "smile" in p.read_text(encoding="utf-8").lower()
    ]
    assert found == ["ibsym/estimators/smile.py"]
