"""Systems whose losses take a linear head, or embeddings: who supplies them, what is said where they do not fit."""

from __future__ import annotations

import pytest

from ibsym.errors import NetworkError

torch = pytest.importorskip("torch")
nn = torch.nn

from ibsym.nn import LinearHead, System  # noqa: E402

HEAD, PAIRS = "tests/specs/linear-head.toml", "tests/specs/inner-products.toml"
SIZES = {"L": 3, "N": 5, "K": 6}


def batch(kind, rows=9):
    torch.manual_seed(0)
    if kind is HEAD:
        return {"x": torch.randn(rows, 4), "t": torch.arange(rows) % 6}
    return {"x1": torch.randn(rows, 4), "x2": torch.randn(rows, 5)}


@pytest.fixture(scope="module", params=[HEAD, PAIRS], ids=["head", "pairs"])
def kind(request):
    return request.param


def trained(system, data, steps=25):
    found = []
    optimiser = system.prepare(data).adam("model", 0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = system(data).loss
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    return found


def test_default_networks_learn(kind):
    system = System(kind, sizes={k: n for k, n in SIZES.items() if k in ("L", *(["N", "K"] if kind is HEAD else []))})
    values = trained(system, batch(kind))
    assert sum(values[-5:]) < sum(values[:5])
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in system.players["model"])


def test_a_head_of_ones_own(caplog):
    body, encoder = nn.Sequential(nn.Linear(3, 5), nn.Tanh()), nn.Linear(4, 6)
    head = LinearHead(body, 5, 6)
    system = System(HEAD, {"q(z|x)": encoder, "p(t|z)": head})
    out = system(batch(HEAD))
    assert "default" not in caplog.text
    assert system.sizes.known["N"] == 5
    assert system.sizes.known["K"] == 6
    z = system.drawn(batch(HEAD))
    given = z.parameters(system.spec.factors["p(t|z)"], "q")
    assert {n: tuple(t.shape) for n, t in given.items()} == {"hidden": (9, 5), "weight": (6, 5), "bias": (6,)}
    assert out.loss.isfinite()
    assert system.sample("p", 7)["t"].shape == (7,)
    assert {id(p) for p in head.parameters()} <= {id(p) for p in system.players["model"]}


def test_draws_are_those_of_the_logits():
    head = LinearHead(nn.Linear(3, 5), 5, 6)
    system = System(HEAD, {"q(z|x)": nn.Linear(4, 6), "p(t|z)": head}).prepare(batch(HEAD))
    found = system.draw(batch(HEAD))["q"]
    wanted = head.head(head.body(found["z"]))
    torch.testing.assert_close(found["p(t|z)"].base_dist.logits, wanted.log_softmax(-1))


def test_a_network_that_returns_features_alone_is_told_what_to_write():
    with pytest.raises(NetworkError, match="a linear head has hidden, weight, bias") as error:
        System(HEAD, {"q(z|x)": nn.Linear(4, 6), "p(t|z)": nn.Linear(3, 5)})(batch(HEAD))
    assert "ibsym.nn.LinearHead(network, features, classes)" in str(error.value)


def test_embeddings_and_a_temperature_of_ones_own():
    first, second, shared = nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False), nn.Parameter(torch.tensor(0.5))
    system = System(
        PAIRS,
        {"z1": first, "z2": second, "I_q(Z1;Z2)": lambda: shared, "I_q(Z2;Z1)": lambda: shared},
        sizes={"L": 3},
    )
    data = batch(PAIRS)
    system.prepare(data)
    draws = system.drawn(data)
    out = system(data)
    a, b = first(draws.value("q", "z1").code), second(draws.value("q", "z2").code)
    table, own = a @ b.T / 0.5, torch.arange(9)
    wanted = (nn.functional.cross_entropy(table, own) + nn.functional.cross_entropy(table.T, own)) / 2
    torch.testing.assert_close(out.loss, wanted - torch.tensor(9.0).log())
    assert any(p is shared for p in system.players["model"])


def test_two_directions_share_the_default_temperature():
    system = System(PAIRS, sizes={"L": 3}).prepare(batch(PAIRS))
    assert system.bank.temperatures["I_q(Z1;Z2)"] is system.bank.temperatures["I_q(Z2;Z1)"]
    assert system.bank.temperatures["I_q(Z1;Z2)"]().item() == pytest.approx(0.07)


def test_pieces_add_up_to_the_whole(kind):
    torch.manual_seed(0)
    system = System(kind, sizes={"L": 3}).prepare(batch(kind))
    data = batch(kind)
    pieces = [{v: x[part] for v, x in data.items()} for part in (slice(0, 4), slice(4, 9))]
    if kind is HEAD:
        system.bank.factors["q(z|x)"].body[-1].weight.data[3:] = 0  # hardly any noise, of which pieces have another
        system.bank.factors["q(z|x)"].body[-1].bias.data[3:] = -60
    system(data).loss.backward()
    whole = [p.grad.clone() for p in system.players["model"]]
    for p in system.players["model"]:
        p.grad = None
    system.accumulate(pieces)
    for p, wanted in zip(system.players["model"], whole, strict=True):
        torch.testing.assert_close(p.grad, wanted, rtol=0.05, atol=0.05)


def test_rows_are_scored(kind):
    system = System(kind, sizes={"L": 3}).prepare(batch(kind))
    found = system.score(batch(kind))
    assert {n: t.shape for n, t in found.items()} == (
        dict.fromkeys(("KL(q(z|x)||p(z))", "E_q[log p(t|z)]"), (9,)) if kind is HEAD else {}
    )
