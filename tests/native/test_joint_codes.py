"""TC_q(Z1;Z2) in one pass: the slopes of a joint and of its marginals, each as large as 1/deviation, cancel before others come to them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from tests.native import worlds  # noqa: E402

CODES = {
    "name": "joint-codes",
    "objective": "minimize KL(q(z1|x)||p(z1)) + KL(q(z2|x)||p(z2)) + beta*TC_q(Z1;Z2)",
    "variables": {"x": "real[D]", "z1": "real[L1]", "z2": "real[L2]"},
    "joints": {"q": "data(x) q(z1|x) q(z2|x)", "p": "p(z1) p(z2)"},
    "families": {
        "q(z1|x)": "diagonal-normal",
        "q(z2|x)": "diagonal-normal",
        "p(z1)": "standard-normal",
        "p(z2)": "standard-normal",
    },
    "parameters": {"beta": {"default": 6.0, "min": 0}},
    "estimators": {"TC_q(Z1;Z2)": "minibatch-weighted"},
}


@pytest.mark.parametrize("logvar", [-4.0, -8.0, -14.0, -20.0])
def test_narrow_posteriors_keep_the_digits_of_what_is_beside(logvar):
    """Every row's draw is far from all other rows' posteriors: the total correlation has next to no slope, the rate has all of it."""
    loss = ibsym.compile(ibsym.Spec(**CODES))()
    torch.manual_seed(0)
    given = {}
    for z in ("z1", "z2"):
        given[f"{z}_mean"], given[f"{z}_logvar"] = torch.randn(64, 8), torch.full((64, 8), logvar) + torch.randn(64, 8) / 10
        given[z] = given[f"{z}_mean"] + (given[f"{z}_logvar"] / 2).exp() * torch.randn(64, 8)
    given = {i.name: given[i.name] for i in loss.INPUTS}
    leaves, wide = worlds.learning(given), worlds.learning({n: t.double() for n, t in given.items()})
    mine = worlds.gradients(loss(**leaves).loss, leaves)
    exact = worlds.gradients(loss.expression(*wide.values()).loss, wide)
    for name in ("z1_mean", "z2_mean", "z1_logvar", "z2_logvar"):
        error = (mine[name].double() - exact[name]).norm() / exact[name].norm()
        assert error < 1e-7, (name, float(error))
