"""The gradient of a batch by pieces is the gradient of the batch, whatever compares its rows."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
import torch
from torch import nn

import ibsym
from ibsym.nn import NetworkError, System
from ibsym.spec.loading import loads
from tests.nn.helpers import around, batch, certificate


def pieces_of(rows, cuts):
    """A batch in pieces, by source."""
    edges = [0, *cuts, None]
    return [{s: {v: t[a:b] for v, t in part.items()} for s, part in rows.items()} for a, b in pairwise(edges)]


def gradients(system):
    found = [p.grad.clone() for p in system.players["model"]]
    system.zero_grad()
    return found


def still(networks):
    """Encoders whose draws are their means."""
    return {text: (lambda *a, f=f: (f(torch.cat(a, -1)), torch.full((len(a[0]), 4), -70.0))) for text, f in networks.items()}


CASES = {
    "no rows compared": ("vae", lambda: still({"q(z|x)": nn.Linear(6, 4).double()})),
    "pairs": ("clip", dict),
    "kernels": ("wae-mmd", dict),
    "a critic": ("aae", lambda: still({"q(z|x)": nn.Linear(6, 4).double()})),
}


@pytest.mark.parametrize("case", CASES)
def test_pieces_are_the_batch(case, monkeypatch):
    name, make = CASES[case]
    torch.manual_seed(0)
    system = around(name, make(), sizes={"L": 4})
    rows = batch(system.spec, rows=11, dtype=torch.float64)
    table = torch.randn(11, 4, dtype=torch.float64)
    position = [0]

    def normal(shape, dtype, device):
        """Every row of a prior has its own noise, whatever batch it is drawn with."""
        position[0] += shape[-2]
        return table[(position[0] - shape[-2]) % 11 :][: shape[-2]]

    system.prepare(rows)
    monkeypatch.setattr("torch.distributions.normal._standard_normal", normal)
    whole = system(rows)
    whole.loss.backward()
    wanted = gradients(system)
    position[0] = 0
    out = system.accumulate(pieces_of(rows, (4, 7)))
    assert torch.allclose(out.loss, whole.loss.detach())
    assert {k: float(v) for k, v in out.terms.items()} == pytest.approx({k: float(v) for k, v in whole.terms.items()})
    assert not out.loss.requires_grad
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(gradients(system), wanted, strict=True))
    assert all(p.grad is None for n in system.loss.CRITICS for p in system.players[n])


TWO_PARTS = """
name = "two-parts"
objective = "minimize KL(q(z,w)||q(z)q(w)) - I_q(Y;Z|C)"
[variables]
x = "real[D]"
c = "categorical[K]"
y = "real[M]"
z = "real[L]"
w = "real[L]"
[joints]
q = "data(x,c,y) q(z|x) q(w|x)"
[families]
"q(z|x)" = "deterministic"
"q(w|x)" = "deterministic"
[estimators]
"KL(q(z,w)||q(z)q(w))" = "ESTIMATOR"
"I_q(Y;Z|C)" = "dv"
"""
"""A product whose parts and a conditional product whose rows are shuffled."""
MIXED = """
name = "mixed"
objective = "minimize JS(data(x)||m(x)) + KL(n(t,u)||r(t,u)) + KL(q(z|x)||p(z))"
[variables]
x = "real[D]"
z = "real[L]"
t = "real[L]"
u = "real[L]"
[joints]
q = "data(x) q(z|x)"
p = "p(z) p(x|z)"
m = "(0.3*data(x) + 0.7*p(x))"
n = "(0.3*data(x) + 0.3*q(x) + 0.4*m(x)) n(u) e(t|x)"
r = "r(t) r(u)"
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(x|z)" = "deterministic"
"e(t|x)" = "diagonal-normal"
"r(t)" = "standard-normal"
"r(u)" = "standard-normal"
"n(u)" = "diagonal-normal"
[estimators]
"JS(data(x)||m(x))" = "logistic"
"KL(n(t,u)||r(t,u))" = "density-ratio"
"""
"""Mixtures, one of them of the other, and networks at their draws."""
SHUFFLED = ("mine", "factor-vae", "infomax-vae", "density-ratio", "mmd", "dann", "vdb", "mixed")
"""Systems with critics, among them an adversary that is a density and a critic that looks through a factor."""


def shuffling(name):
    """A system whose only randomness is the order of rows."""
    torch.manual_seed(0)
    if name in ("density-ratio", "mmd"):
        return System(loads(TWO_PARTS.replace("ESTIMATOR", name)), sizes={"L": 3}, hidden=4)
    if name == "mixed":
        return System(loads(MIXED), sizes={"L": 3}, hidden=4)
    if name in ("factor-vae", "infomax-vae"):
        return around(name, still({"q(z|x)": nn.Linear(6, 4).double()}), sizes={"L": 4}, hidden=4)
    return around(name, sizes={"L": 3}, hidden=4)


@pytest.mark.parametrize("name", SHUFFLED)
@pytest.mark.parametrize("cuts", [(4, 7), (1, 2, 9)])
def test_what_is_shuffled_is_shuffled_over_all_pieces(name, cuts, monkeypatch):
    """The model's and every critic's gradient are those of the whole batch in the same order of rows."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda s, dtype, device: torch.zeros(s, dtype=dtype))
    system = shuffling(name)
    rows = batch(system.spec, rows=11, dtype=torch.float64)
    system.prepare(rows)
    torch.manual_seed(5)
    whole = system(rows)
    whole.loss.backward()
    wanted = gradients(system)
    torch.manual_seed(5)
    out = system.accumulate(pieces_of(rows, cuts))
    assert float(out.loss) == pytest.approx(float(whole.loss.detach()), rel=1e-12)
    assert any(bool(g.any()) for g in wanted)
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-13) for a, b in zip(gradients(system), wanted, strict=True))
    for critic in system.wiring.critics:
        own = system.players[critic]
        torch.manual_seed(5)
        draws = system.drawn(rows, still=True)
        loss = system.wiring.critic_loss(critic, draws)
        slopes = torch.autograd.grad(loss, own)
        torch.manual_seed(5)
        found = system.accumulate(pieces_of(rows, cuts), player=critic).loss
        assert float(found) == pytest.approx(float(loss.detach()), rel=1e-12)
        assert all(torch.allclose(p.grad, g, rtol=1e-10, atol=1e-13) for p, g in zip(own, slopes, strict=True))
        assert all(p.grad is None for p in system.players["model"])
        system.zero_grad()


def test_who_is_no_player_is_named():
    system = shuffling("mine")
    rows = [batch(system.spec, rows=4, dtype=torch.float64)]
    with pytest.raises(ibsym.IbsymError, match="unknown player 'critics'"):
        system.accumulate(rows, player="critics")


def test_noise_is_replayed():
    """By differences: the gradient is that of the loss at the noise that was drawn."""
    torch.manual_seed(0)
    system = around("beta-vae", sizes={"L": 2}, hidden=4)
    rows = pieces_of(batch(system.spec, rows=8, dtype=torch.float64), (3, 6))
    system.prepare(rows[0])

    def loss():
        torch.manual_seed(9)
        return float(system.accumulate(rows).loss)

    loss()
    found = gradients(system)
    parameters = system.players["model"]
    with torch.no_grad():
        direction = [torch.randn_like(p) for p in parameters]
        for sign in (1, -1):
            for p, d in zip(parameters, direction):
                p += (sign if sign == 1 else -2) * 1e-5 * d
            if sign == 1:
                with torch.enable_grad():
                    up = loss()
            else:
                with torch.enable_grad():
                    down = loss()
    slope = sum(float((g * d).sum()) for g, d in zip(found, direction))
    assert slope == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_statistics_of_a_batch_are_refused_by_name():
    encoder = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 8))
    system = around("vae", {"q(z|x)": encoder, "p(x|z)": nn.Linear(4, 6)})
    rows = [{"x": torch.rand(5, 6)}, {"x": torch.rand(4, 6)}]
    with pytest.raises(
        NetworkError, match=r"q\(z\|x\): BatchNorm1d at '1' computes with statistics of a batch.*\n  write: GroupNorm"
    ):
        system.accumulate(rows)
    encoder.eval()
    assert torch.isfinite(system.accumulate(rows).loss)
    with pytest.raises(NetworkError, match="no batches"):
        system.accumulate([])


def test_dropout_is_replayed():
    encoder = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5))
    system = around("vae", {"q(z|x)": encoder, "p(x|z)": nn.Linear(4, 6)})
    masks = []
    encoder[1].register_forward_hook(lambda module, inputs, output: masks.append(output == 0))
    rows = [{"x": torch.rand(5, 6)}, {"x": torch.rand(4, 6)}]
    system.prepare(rows[0])
    masks.clear()
    system.accumulate(rows)
    assert len(masks) == 4
    assert torch.equal(masks[0], masks[2])
    assert torch.equal(masks[1], masks[3])


@pytest.mark.parametrize("name", ["clip", "vae"])
def test_gradients_that_are_added_up_are_noticed(name, caplog):
    system = System(certificate(name))
    coupled = tuple(getattr(system.loss, "BATCH_COUPLED", ()))
    rows = batch(system.spec)
    with caplog.at_level(logging.WARNING, "ibsym"):
        system.prepare(rows)
        caplog.clear()
        for _ in range(3):
            system(rows).loss.backward()
            system.zero_grad()
        assert not caplog.records
        for _ in range(3):
            system(rows).loss.backward()
    assert len(caplog.records) == bool(coupled)


def test_the_package_names_its_door():
    assert ibsym.nn.System is System
    with pytest.raises(AttributeError, match="no attribute 'Systems'"):
        _ = ibsym.nn.Systems
