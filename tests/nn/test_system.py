"""A system is its emitted loss at its networks' outputs: any network, any form of output; gradients only where they belong."""

from __future__ import annotations

import copy
import functools
import logging
import pickle

import pytest
import torch
from torch import distributions as td
from torch import nn
from torch.utils.checkpoint import checkpoint

import ibsym
from ibsym.nn import NetworkError, System
from ibsym.nn.callables import held
from tests.nn.helpers import around, batch, certificate, emitted
from tests.training.helpers import ZOO

D, L, K = 6, 3, 4


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.setenv("IBSYM_NATIVE", "0")
    torch.manual_seed(0)


def bits(rows=7):
    return (torch.rand(rows, D) < 0.5).float()


class Flat(nn.Sequential):
    """A critic: one number a row."""

    def __init__(self, inputs):
        super().__init__(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))


def test_the_evidence_bound_is_the_loss_wired_by_hand():
    encoder, decoder, x = nn.Linear(D, 2 * L), nn.Linear(L, D), bits()
    system = System(certificate("beta-vae"), {"q(z|x)": encoder, "p(x|z)": decoder}, beta=3.0)
    system.prepare({"x": x})
    torch.manual_seed(5)
    out = system({"x": x})
    found = torch.autograd.grad(out.loss, list(system.parameters()))
    torch.manual_seed(5)
    mean, logvar = encoder(x).chunk(2, -1)
    z = mean + (0.5 * logvar).exp() * torch.randn(7, L)
    loss, terms = emitted("beta-vae")(beta=3.0)(z_mean=mean, z_logvar=logvar, x=x, x_logits=decoder(z))
    assert torch.allclose(out.loss, loss, rtol=1e-6)
    assert {k: float(v) for k, v in out.terms.items()} == pytest.approx({k: float(v) for k, v in terms.items()}, rel=1e-6)
    wanted = torch.autograd.grad(loss, [*encoder.parameters(), *decoder.parameters()])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(found, wanted, strict=True))


def test_critics_by_hand():
    parts = {"q(z|x)": nn.Linear(D, 2 * L), "p(x|z)": nn.Linear(L, D)}
    parts |= {"KL(q(z)||p(z))": Flat(L), "KL(q(x)||p(x))": Flat(D)}
    x, loss = bits(), emitted("bib-ae")()
    system = System(certificate("bib-ae"), parts)
    system.prepare({"x": x})
    torch.manual_seed(3)
    out = system({"x": x})
    torch.manual_seed(3)
    losses = system.critic_losses({"x": x})
    torch.manual_seed(3)
    mean, logvar = parts["q(z|x)"](x).chunk(2, -1)
    z = mean + (0.5 * logvar).exp() * torch.randn(7, L)
    prior = torch.randn(7, L)
    fake = parts["p(x|z)"](prior).sigmoid()
    cz, cx = parts["KL(q(z)||p(z))"], parts["KL(q(x)||p(x))"]
    by_hand = loss(
        z_mean=mean,
        z_logvar=logvar,
        z_critic=cz(z),
        x=x,
        x_logits=parts["p(x|z)"](z),
        x_critic=cx(x),
        x_critic_reference=cx(fake),
    )
    assert torch.allclose(out.loss, by_hand.loss)
    assert torch.allclose(losses["KL(q(z)||p(z))"], loss.critic_loss("KL(q(z)||p(z))", cz(z), cz(prior)))
    assert torch.allclose(losses["KL(q(x)||p(x))"], loss.critic_loss("KL(q(x)||p(x))", cx(x), cx(fake)))


def test_gradients_flow_where_they_belong():
    parts = {"q(z|x)": nn.Linear(D, 2 * L), "p(x|z)": nn.Linear(L, D)}
    parts |= {"KL(q(z)||p(z))": Flat(L), "KL(q(x)||p(x))": Flat(D)}
    system, x = System(certificate("bib-ae"), parts), bits()
    players = system.players
    assert set(players) == {"model", "KL(q(z)||p(z))", "KL(q(x)||p(x))"}
    assert sum(map(len, players.values())) == len(list(system.parameters()))

    def moved():
        found = {name for name, own in players.items() if any(p.grad is not None for p in own)}
        system.zero_grad()
        return found

    system({"x": x}).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in players["model"])
    assert moved() == {"model"}
    for name, loss in system.critic_losses({"x": x}).items():
        loss.backward()
        assert all(p.grad is not None for p in players[name])
        assert moved() == {name}
    assert all(p.requires_grad for p in system.parameters())


@pytest.mark.parametrize("name", ZOO)
def test_every_entry_with_default_networks(name):
    system = around(name)
    rows = batch(system.spec)
    out = system(rows)
    assert torch.isfinite(out.loss)
    players = system.players
    assert set(players) == {"model", *system.loss.CRITICS}
    assert all(players.values())
    out.loss.backward()
    assert any(p.grad is not None for p in players["model"])
    assert all(p.grad is None for critic in system.loss.CRITICS for p in players[critic])
    system.zero_grad()
    for critic, loss in system.critic_losses(rows).items():
        own = {id(p) for p in players[critic]}
        loss.backward()
        assert any(p.grad is not None for p in players[critic])
        assert all(p.grad is None for p in system.parameters() if id(p) not in own)
        system.zero_grad()
    values = []
    for one in (system, copy.deepcopy(system), pickle.loads(pickle.dumps(system))):
        torch.manual_seed(3)
        values.append(one(rows).loss.detach())
        assert list(one.players) == list(players)
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[0], values[2])
    found = system.draw(rows)
    for joint, values in found.items():
        assert all(v in values for v in system.spec.joints[joint].variables if v in values)
    for joint in system.spec.joints.values():
        if joint.rooted and all(not f.learned or f.text in system.bank.factors for f in joint.factors):
            empirical = any(f.empirical for f in joint.factors) or any(f.components for f in joint.factors)
            drawn = system.sample(joint.name, 3, rows if empirical else None)
            assert {len(t) for t in drawn.values()} == {3}


FORMS = {
    "one tensor": lambda out: out,
    "a tuple": lambda out: tuple(out.chunk(2, -1)),
    "a list": lambda out: list(out.chunk(2, -1)),
    "a mapping": lambda out: {"logvar": out.chunk(2, -1)[1], "mean": out.chunk(2, -1)[0]},
    "a distribution": lambda out: td.Normal(out.chunk(2, -1)[0], (0.5 * out.chunk(2, -1)[1]).exp()),
    "independent": lambda out: td.Independent(td.Normal(out.chunk(2, -1)[0], (0.5 * out.chunk(2, -1)[1]).exp()), 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_output(form):
    encoder, decoder, x = nn.Linear(D, 2 * L), nn.Linear(L, D), bits()
    read = FORMS[form]
    found = []
    for network in (encoder, lambda x: read(encoder(x))):
        system = around("vae", {"q(z|x)": network, "p(x|z)": decoder})
        system.prepare({"x": x})
        torch.manual_seed(1)
        out = system({"x": x})
        found.append((out.loss, *torch.autograd.grad(out.loss, system.players["model"])))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*found, strict=True))


DISTRIBUTIONS = {
    ("full-normal", "real[L]"): lambda h: td.MultivariateNormal(h, scale_tril=torch.eye(L).expand(len(h), L, L)),
    ("laplace", "real[L]"): lambda h: td.Laplace(h, 1.0),
    ("relaxed-categorical", "unit[L]"): lambda h: td.RelaxedOneHotCategorical(torch.tensor(0.5), logits=h),
}


@pytest.mark.parametrize(("family", "space"), DISTRIBUTIONS)
def test_distributions_of_other_families(family, space):
    prior = "standard-normal" if space.startswith("real") else "uniform"
    spec = ibsym.Spec(
        name="s",
        objective="minimize I_q(X;Z) - I_q(Z;X)",
        variables={"x": "binary[D]", "z": space},
        joints={"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
        families={"q(z|x)": family, "p(z)": prior, "p(x|z)": "bernoulli"},
    )
    body, make = nn.Linear(D, L), DISTRIBUTIONS[family, space]
    system = System(ibsym.audit(ibsym.derive(spec), worlds=1), {"q(z|x)": lambda x: make(body(x)), "p(x|z)": nn.Linear(L, D)})
    assert torch.isfinite(system({"x": bits()}).loss)
    assert len(system.players["model"]) == 4


def test_an_image_is_an_image_for_networks():
    encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 2 * 3, 2 * L))
    decoder = nn.Sequential(nn.Linear(L, 20), nn.Unflatten(1, (1, 4, 5)), nn.Conv2d(1, 1, 1))
    critic = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(6, 1), nn.Flatten(0))
    networks = {"q(z|x)": encoder, "p(x|z)": decoder, "KL(q(x)||p(x))": critic, "KL(q(z)||p(z))": Flat(L)}
    system = around("bib-ae", networks, draws=2)
    x = (torch.rand(7, 1, 4, 5) < 0.5).float()
    assert torch.isfinite(system({"x": x}).loss)
    assert system.sizes.known == {"D": 20, "L": L}
    assert system.sample("p", 2)["x"].shape == (2, 1, 4, 5)
    assert system.draw({"x": x})["q"]["z"].shape == (2, 7, L)


def test_classes_as_codes_and_as_indices():
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(K, 2), nn.Linear(D + 2, 2 * L)

        def forward(self, x, c):
            return self.head(torch.cat([x, self.table(c)], -1))

    def coded(x, c):
        assert c.shape == (len(x), K)
        return head(torch.cat([x, c], -1))

    head = nn.Linear(D + K, 2 * L)
    for network in (Embedded(), coded):
        decoder = nn.Linear(L + K, D)
        system = around("cvae", {"q(z|x,c)": network, "p(x|z,c)": lambda z, c: decoder(torch.cat([z, c], -1))}, sizes={"K": K})
        out = system({"x": bits(), "c": torch.arange(7) % K})
        assert torch.isfinite(out.loss)


def test_shared_trunks_frozen_parts_and_closures():
    trunk, heads = nn.Linear(D, 5), nn.ModuleList([nn.Linear(5, 2 * L), nn.Linear(L, D)])
    trunk.bias.requires_grad_(False)
    system = around("vae", {"q(z|x)": lambda x: heads[0](trunk(x)), "p(x|z)": lambda z: heads[1](z)})
    names = {id(p) for p in system.players["model"]}
    assert names == {id(p) for p in [trunk.weight, *heads.parameters()]}
    assert len(system.players["model"]) == len(names)
    system({"x": bits()}).loss.backward()
    assert trunk.bias.grad is None
    assert trunk.weight.grad is not None
    assert any(p is trunk.weight for p in system.parameters())


def test_a_trunk_shared_with_a_critic_is_the_models():
    trunk, head = nn.Linear(D, 5), nn.Linear(5, 2 * L)
    top = nn.Linear(5, 1)
    networks = {"q(z|x)": lambda x: head(trunk(x)), "p(x|z)": nn.Linear(L, D), "KL(q(z)||p(z))": Flat(L)}
    system = around("bib-ae", networks | {"KL(q(x)||p(x))": lambda x: top(trunk(x)).squeeze(-1)})
    assert {id(p) for p in system.players["KL(q(x)||p(x))"]} == {id(p) for p in top.parameters()}
    system.critic_losses({"x": bits()})["KL(q(x)||p(x))"].backward()
    assert trunk.weight.grad is None
    assert top.weight.grad is not None


def scaled(x, network):
    return network(x)


def test_what_a_callable_holds():
    a, b = nn.Linear(1, 1), nn.Parameter(torch.zeros(1))

    class Box:
        def __init__(self):
            self.inner = [a, {"b": b}]

        def run(self, x):
            return a(x) + b

    assert held(functools.partial(scaled, network=a)) == [a]
    assert {id(p) for p in held(Box().run)} == {id(a), id(b)}
    assert held(lambda x: scaled(a(x), a)) == [a]
    assert held(torch.tanh) == []


def test_the_first_batch_leaves_no_trace():
    encoder = nn.Sequential(nn.BatchNorm1d(D), nn.Dropout(0.5), nn.Linear(D, 2 * L))
    before = copy.deepcopy(encoder.state_dict())
    system = around("vae", {"q(z|x)": encoder, "p(x|z)": nn.Linear(L, D)})
    state = torch.get_rng_state()
    system.prepare({"x": bits().detach()})
    torch.manual_seed(0)
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())
    assert len(state)


def test_what_is_drawn_and_what_is_evaluated_have_one_law():
    """A network with noise of its own is called once: the draw is from the law that the loss sees."""
    calls = []

    def encoder(x):
        calls.append(len(x))
        return torch.randn(len(x), L), torch.full((len(x), L), -60.0)

    system = around("vae", {"q(z|x)": encoder, "p(x|z)": nn.Linear(L, D)})
    system.prepare({"x": bits()})
    calls.clear()
    draws = system.drawn({"x": bits()})
    tensors = system.wiring.tensors(draws)
    assert torch.allclose(tensors["z_mean"], draws.value("q", "z").code, atol=1e-6)
    assert calls == [7]


def test_default_networks_are_told_of(caplog):
    with caplog.at_level(logging.WARNING, "ibsym"):
        system = System(certificate("beta-vae"), {"q(z|x)": nn.Linear(D, 2 * L)})
        with pytest.raises(ibsym.IbsymError, match=r"p\(x\|z\): default networks are made when sizes are known"):
            _ = system.players
        system({"x": bits()})
    assert ["p(x|z)" in r.message for r in caplog.records] == [True]
    assert system.sizes.known == {"D": D, "L": L}


def test_scores_of_rows_average_to_the_terms():
    x = bits()
    full = System(certificate("beta-vae"), draws=3)
    full.prepare({"x": x})
    torch.manual_seed(2)
    out = full({"x": x})
    torch.manual_seed(2)
    rows = full.score({"x": x})
    assert set(rows) == set(out.terms)
    for text, value in rows.items():
        assert value.shape == (7,)
        assert torch.allclose(value.mean(), out.terms[text], atol=1e-5)


def test_terms_that_compare_rows_have_no_scores():
    x = bits()
    full = System(certificate("bib-ae"))
    full.prepare({"x": x})
    torch.manual_seed(2)
    out = full({"x": x})
    torch.manual_seed(2)
    rows = full.score({"x": x})
    assert set(rows) == {"KL(q(z|x)||p(z))", "KL(q(z)||p(z))", "E_q[log p(x|z)]"}
    assert all(torch.allclose(v.mean(), out.terms[t], atol=1e-5) for t, v in rows.items())


def test_pairs_by_a_table_and_by_a_critic_of_pairs():
    first, second = nn.Linear(5, 4), nn.Linear(5, 4)
    rows = {"x1": torch.randn(6, 5), "x2": torch.randn(6, 5)}
    networks = {"q(z1|x1)": lambda x: nn.functional.normalize(first(x), dim=-1)}
    networks["q(z2|x2)"] = lambda x: nn.functional.normalize(second(x), dim=-1)
    losses = []
    for score in (lambda a, b: 3 * a @ b.T, lambda a, b: 3 * (a * b).sum(-1)):
        system = around("clip", networks | {"I_q(Z1;Z2)": score, "I_q(Z2;Z1)": score})
        losses.append(system(rows).loss)
    assert torch.allclose(*losses)


def test_types_and_saved_states():
    system = around("vae")
    x = bits().double()
    assert system({"x": x}).loss.dtype is torch.float64
    other = around("vae").prepare({"x": x})
    other.load_state_dict(system.state_dict())
    torch.manual_seed(1)
    one = system({"x": x}).loss
    torch.manual_seed(1)
    assert torch.equal(one, other({"x": x}).loss)


def test_default_networks_are_there_before_anything_is_asked_of_them():
    """With sizes they are made; without, an optimiser or a saved state that would miss them is refused."""
    whole = around("vae", sizes={"D": D, "L": L})
    count = len(list(whole.parameters()))
    assert count == len(whole.players["model"]) > 0
    other = around("vae", sizes={"D": D, "L": L})
    other.load_state_dict(whole.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True))
    half = around("vae", {"q(z|x)": nn.Linear(D, 2 * L)})
    half.zero_grad()
    for ask in (lambda: torch.optim.Adam(half.parameters()), lambda: half.load_state_dict(whole.state_dict())):
        with pytest.raises(
            NetworkError, match=r"p\(x\|z\): default networks .*\n  write: system.prepare\(batch\) before system"
        ):
            ask()
    assert len(list(half.prepare({"x": bits()}).parameters())) > 2
    own = around("vae", {"q(z|x)": nn.Linear(D, 2 * L), "p(x|z)": nn.Linear(L, D)})
    assert len(list(own.parameters())) == 4


def test_a_density_of_the_callers():
    spec = ibsym.Spec(
        name="s",
        objective="minimize I_q(X;Z) - I_q(Z;X)",
        variables={"x": "binary[D]", "z": "real[L]"},
        joints={"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
        families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": {"family": "external", "sampled": False}},
    )
    encoder, decoder, x = nn.Linear(D, 2 * L), nn.Linear(L, D), bits()
    outside = System(
        ibsym.audit(ibsym.derive(spec), worlds=1),
        {"q(z|x)": encoder, "p(x|z)": lambda z: td.Bernoulli(logits=decoder(z))},
        draws=2,
    )
    inside = around("vae", {"q(z|x)": encoder, "p(x|z)": decoder}, draws=2)
    found = []
    for system in (outside, inside):
        system.prepare({"x": x})
        torch.manual_seed(4)
        found.append(system({"x": x}).loss)
    assert torch.allclose(*found)


def test_a_density_that_a_player_fits():
    """An adversary's decoder: the model learns through it, its own player fits it on draws cut from the model."""
    spec = ibsym.Spec(
        name="s",
        objective="minimize 0.5*I_q(Z;S) - I_q(Z;X)",
        variables={"x": "binary[D]", "s": "categorical[G]", "z": "real[L]"},
        joints={"q": "data(x,s) q(z|x)", "p": "p(x|z)", "a": "a(s|z)"},
        families={"q(z|x)": "diagonal-normal", "p(x|z)": "bernoulli", "a(s|z)": "categorical"},
        estimators={"I_q(Z;S)": {"estimator": "adversary", "density": "a(s|z)"}},
    )
    decoder = nn.Linear(L, K)
    system = System(ibsym.audit(ibsym.derive(spec), worlds=1), {"q(z|x)": nn.Linear(D, 2 * L), "a(s|z)": decoder})
    rows = {"x": bits(), "s": torch.arange(7) % K}
    system(rows).loss.backward()
    assert {id(p) for p in system.players["I_q(Z;S)"]} == {id(p) for p in decoder.parameters()}
    assert all(p.grad is None for p in decoder.parameters())
    system.zero_grad()
    system.critic_losses(rows)["I_q(Z;S)"].backward()
    assert all(p.grad is not None for p in decoder.parameters())
    assert all(p.grad is None for p in system.players["model"])


def steps(system, optimisers, rows, number):
    """So many steps of every player."""
    for _ in range(number):
        for name, loss in system.critic_losses(rows).items():
            optimisers[name].zero_grad()
            loss.backward()
            optimisers[name].step()
        optimisers["model"].zero_grad()
        system(rows).loss.backward()
        optimisers["model"].step()
    return [p.detach().clone() for p in system.parameters()]


def test_what_was_saved_goes_on_bit_for_bit(tmp_path):
    """Networks, optimisers and the random state, through a file; a network with running statistics among them."""

    def fresh():
        torch.manual_seed(0)
        encoder = nn.Sequential(nn.Linear(D, 5), nn.BatchNorm1d(5), nn.Dropout(0.2), nn.Linear(5, 2 * L))
        system = around("bib-ae", {"q(z|x)": encoder, "p(x|z)": nn.Linear(L, D)}).prepare({"x": bits()})
        return system, {name: torch.optim.Adam(own) for name, own in system.players.items()}

    rows = {"x": bits()}
    system, optimisers = fresh()
    straight = steps(system, optimisers, rows, 4)
    system, optimisers = fresh()
    steps(system, optimisers, rows, 2)
    state = {"system": system.state_dict(), "random": torch.get_rng_state()}
    torch.save(state | {"optimisers": {n: o.state_dict() for n, o in optimisers.items()}}, tmp_path / "state.pt")
    system, optimisers = fresh()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    system.load_state_dict(state["system"])
    for name, optimiser in optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    torch.set_rng_state(state["random"])
    assert all(torch.equal(a, b) for a, b in zip(steps(system, optimisers, rows, 2), straight, strict=True))


def test_networks_in_half_precision_and_activations_that_are_recomputed():
    body, decoder, x = nn.Sequential(nn.Linear(D, 9), nn.Tanh(), nn.Linear(9, 2 * L)), nn.Linear(L, D), bits()
    found = []
    for encoder, half in (
        (body, False),
        (lambda x: checkpoint(body, x, use_reentrant=False), False),
        (body, True),
    ):
        system = around("beta-tcvae", {"q(z|x)": encoder, "p(x|z)": decoder}).prepare({"x": x})
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = system({"x": x})
        assert out.loss.dtype is torch.float32
        found.append(
            torch.cat([out.loss[None], *(g.flatten() for g in torch.autograd.grad(out.loss, system.players["model"]))])
        )
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.allclose(found[0], found[2], atol=0.05, rtol=0.05)


def test_images_of_three_axes():
    """real[C,H,W]: convolutions see the axes of the space, also where nobody said their sizes."""
    spec = ibsym.Spec(
        name="s",
        objective="minimize I_q(X;Z) - I_q(Z;X)",
        variables={"x": "real[C,H,W]", "z": "real[L]"},
        joints={"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
        families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
    )
    encoder = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 2 * 3, 2 * L))
    decoder = nn.Sequential(nn.Linear(L, 40), nn.Unflatten(1, (2, 4, 5)), nn.Conv2d(2, 2, 1))
    system = System(ibsym.audit(ibsym.derive(spec), worlds=1), {"q(z|x)": encoder, "p(x|z)": decoder})
    x = torch.randn(7, 2, 4, 5)
    system({"x": x}).loss.backward()
    assert system.sizes.known == {"C": 2, "H": 4, "W": 5, "L": L}
    assert system.sample("p", 3)["x"].shape == (3, 2, 4, 5)
    with pytest.raises(NetworkError, match=r"data\(x\): x has shape \(7, 4, 5\): x is real\[C,H,W\] with C = 2 by the batch"):
        system({"x": x[:, 0]})
