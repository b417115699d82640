"""Every system trains: finite losses, terms named as in the derivation, every player's parameters moved, gradients routed."""

import pytest
import torch

import ibsym
from tests.training.equality import TOLERANCE, difference
from tests.training.helpers import SPECS, ZOO, compiled, numbers, trainer

SMALL = {"hidden": 32, "batch": 256}  # a few steps an epoch: there are many systems
TRAINABLE = [path for path in SPECS if path.stem != "private-ib"]


@pytest.mark.parametrize("name", [*ZOO, *map(str, TRAINABLE)], ids=lambda n: n.rpartition("/")[2].removesuffix(".toml"))
def test_two_epochs(name):
    _, derivation, loss = compiled(name)
    run_ = trainer(name, settings=SMALL)
    players = run_.players.players
    before = {name: [p.detach().clone() for p in player.parameters] for name, player in players.items()}
    epochs = [run_.epoch() for _ in range(2 if name in ZOO else 1)]
    texts = list(dict.fromkeys(b.text for b in (*derivation.bound, *derivation.surrogates)))
    for entry in epochs:
        for part in (entry["train"], entry["held_out"]):
            assert sorted(part["terms"]) == sorted(texts)
            assert list(part["critics"]) == list(loss.CRITICS)
            assert all(torch.isfinite(numbers(part[group])).all() for group in ("loss", "terms", "critics"))
        assert torch.isfinite(numbers(entry["held_out"]["metrics"])).all()
    assert set(players) == {"model", *loss.CRITICS}
    for player, kept in before.items():
        assert kept
        for was, now in zip(kept, players[player].parameters):
            assert not torch.equal(was, now), f"a parameter of {player} did not move"
    names = [n for n, _ in run_.system.named_parameters()]
    assert sum(len(kept) for kept in before.values()) == len(names)  # every number has one owner


@pytest.mark.parametrize("name", [n for n in ZOO if compiled(n)[2].CRITICS])
def test_each_player_moves_its_own_parameters_only(name):
    run_ = trainer(name, settings={"hidden": 16})
    batch = next(iter(run_.batches))

    def moved(step):
        before = {n: p.detach().clone() for n, p in run_.system.named_parameters()}
        step()
        return {n for n, p in run_.system.named_parameters() if not torch.equal(before[n], p)}

    own = {}
    for critic in run_.players.loss.CRITICS:
        own[critic] = moved(lambda: run_.players.critic_step(critic, run_.draws(batch), 0.01))
    own["model"] = moved(lambda: run_.players.model_step(run_.draws(batch)))
    ids = {n: id(p) for n, p in run_.system.named_parameters()}
    for player, names in own.items():
        assert {ids[n] for n in names} <= {id(p) for p in run_.players.players[player].parameters}
        assert names
    bank = run_.system.bank
    through = {id(p) for c in run_.spec.critics for p in bank.parameters_of_network(c.through.text)}
    assert not through & {ids[n] for n in own["model"]}


def test_a_multiplier_rises_while_the_rate_exceeds_its_budget():
    name = next(n for n in ZOO if compiled(n)[0].critics)
    run_ = trainer(name, settings={"hidden": 16, "dual_step": 0.1})
    use = run_.spec.critics[0]
    draws = run_.draws(next(iter(run_.batches)))
    with torch.no_grad():
        rate = float(run_.players.loss.constraint_value(use.key, **run_.players.wiring.constraint_inputs(use.key, draws)))
    assert rate < 0.5  # a fresh critic looks through a code that says next to nothing, so the multiplier stays at its floor
    run_.players.critic_step(use.key, draws, 0.1)
    assert getattr(run_.players.loss, use.multiplier) == 0
    for _ in range(3):
        entry = run_.epoch()
    assert entry["multipliers"][use.multiplier] > 0


@pytest.mark.parametrize("name", ZOO)
def test_the_reference_in_the_emitted_losses_place(name):
    """From one seed, both lead to the same parameters; `python -m tests.training.equality` takes thirty steps."""
    worst, moved = difference(name, steps=4)
    assert worst < TOLERANCE
    assert moved


@pytest.mark.slow
def test_the_deep_bottleneck_reads_digits():
    assert ibsym.train("vib", epochs=60).metrics["accuracy"] >= 0.95


def test_two_labels_are_refused():
    path = next(p for p in SPECS if p.stem == "private-ib")
    with pytest.raises(ibsym.SpecError, match=r"observes c and s, and the data set has one label"):
        trainer(str(path))
