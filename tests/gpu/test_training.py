"""Systems and runs on the GPU: the parameters of the CPU from the same draws, every option of the machine, checkpoints, groups."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.distributed.device_mesh import init_device_mesh  # noqa: E402
from torch.distributed.fsdp import fully_shard  # noqa: E402
from torch.nn.parallel import DistributedDataParallel as DDP  # noqa: E402

import ibsym  # noqa: E402
from ibsym.nn import System  # noqa: E402
from ibsym.sweeping.gaps import gaps  # noqa: E402
from ibsym.training.engine import Engine, Machine  # noqa: E402
from ibsym.training.trainer import batched  # noqa: E402
from tests.gpu.noise import FromTheCpu  # noqa: E402
from tests.nn.helpers import around, batch  # noqa: E402
from tests.training.helpers import ROOT, ZOO, trainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's and the compiler's own
SMALL = {"hidden": 8, "batch": 256}


def moved(name, machine, steps, **settings):
    """Every parameter after so many steps of every player, in float64, from draws that are the same on all devices."""
    with FromTheCpu():
        run = trainer(
            name, dtype="float64", settings={"hidden": 8, "batch": 16, **settings}, engine=Engine.launched(machine, None)
        )
        batches = itertools.islice(itertools.chain.from_iterable(itertools.repeat(run.batches)), steps * machine.accumulate)
        for several in batched(batches, machine.accumulate):
            run.step([run.part(b) for b in several])
    return {n: p.detach().cpu() for n, p in run.system.named_parameters()}


def apart(one, other):
    """The largest difference of a parameter, in units of its size."""
    assert one.keys() == other.keys()
    return max(float((one[n] - p).abs().max() / (1 + p.abs().max())) for n, p in other.items())


@pytest.mark.parametrize("name", ZOO)
def test_steps_there_are_steps_here(name, device):
    here, start = moved(name, Machine(device="cpu"), 2), moved(name, Machine(device="cpu"), 0)
    there = moved(name, Machine(device=device), 2)
    assert apart(there, here) < 1e-7
    assert any(not torch.equal(start[n], p) for n, p in there.items())


@pytest.mark.parametrize("name", ["beta-tcvae", "factor-vae", "bib-ae", "clip", "wae-mmd"])
def test_several_batches_there_are_as_here(name, device):
    one, other = (moved(name, Machine(device=d, accumulate=3, clip=0.5), 2) for d in (device, "cpu"))
    assert apart(one, other) < 1e-7


@pytest.mark.parametrize("name", ["clip", "factor-vae", "mine"])
def test_pieces_are_the_batch(name, device, monkeypatch):
    """Accumulated there, the gradient of every player is that of the whole batch."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", torch.zeros)
    torch.manual_seed(0)
    system = around(name, sizes={"L": 4}, hidden=4)
    rows = {s: {v: t.to(device) for v, t in part.items()} for s, part in batch(system.spec, 11, torch.float64).items()}
    system.prepare(rows)
    system.to(device)
    pieces = [{s: {v: t[a:b] for v, t in part.items()} for s, part in rows.items()} for a, b in ((0, 4), (4, 5), (5, None))]
    for player in system.players:
        found = []
        for several in ([rows], pieces):
            torch.manual_seed(5)
            if device == "cuda":
                torch.cuda.manual_seed(5)
            with FromTheCpu():
                value = system.accumulate(several, player=player).loss
            found.append([value, *(p.grad.clone() for p in system.players[player] if p.grad is not None)])
            system.zero_grad()
        assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(*found, strict=True)), player


@pytest.mark.parametrize("name", ["vae", "vib", "aae", "infonce", "vq-vae", "beta-tcvae"])
def test_low_precision_trains(name, device):
    plain, low = (
        ibsym.train(name, epochs=2, settings=SMALL, machine={"device": device, "precision": p})
        for p in ("32-true", "bf16-mixed")
    )
    one, other = (run.history[-1]["held_out"]["loss"]["loss"] for run in (low, plain))
    assert low.history != plain.history
    assert abs(one - other) < 0.05 * (1 + abs(other))
    assert all(p.dtype is torch.float32 and p.device.type == device for p in low.players.system.parameters())


@pytest.mark.parametrize("name", ["vae", "aae", "vq-vae", "factor-vae"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_that_went_on_is_the_run(name, precision, device, tmp_path):
    """Bit for bit: two epochs, and one and then another."""
    machine = {"device": device, "precision": precision, "logger": "csv"}
    whole = ibsym.train(name, epochs=2, settings=SMALL, machine=machine)
    ibsym.train(name, epochs=1, settings=SMALL, machine=machine, out=tmp_path)
    torch.rand(3, device=device)  # what comes in between is no matter
    again = ibsym.train(name, epochs=2, settings=SMALL, machine=machine, out=tmp_path, resume=True)
    assert again.history == whole.history
    one, other = (run.players.system.state_dict() for run in (again, whole))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[n], t) for n, t in other.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "aae"])
def test_a_compiled_step_is_the_step(name, device):
    settings = {**SMALL, "draws": 1}
    plain, quick = (
        ibsym.train(name, epochs=1, settings=settings, machine={"device": device, "compile": c}) for c in (False, True)
    )
    one, other = (run.history[-1]["held_out"]["loss"]["loss"] for run in (quick, plain))
    assert abs(one - other) < 0.05 * (1 + abs(other))
    assert all(bool(torch.isfinite(p).all()) for p in quick.players.system.parameters())


def test_a_dataset_and_a_folder(device, tmp_path):
    """Default networks of a dataset's rows, gaps and pictures there; a checkpoint from there is read here."""
    items = [{"x": torch.rand(6, generator=torch.Generator().manual_seed(k)).round()} for k in range(60)]
    machine = {"device": device}
    found = ibsym.train("vae", data=items, epochs=1, settings={"hidden": 8, "batch": 10}, machine=machine)
    assert all(p.device.type == device for p in found.players.system.parameters())
    for name in ("vae", "vib"):
        first = ibsym.train(name, epochs=1, settings=SMALL, machine=machine, out=tmp_path / name)
        assert gaps(first.meter, 0) or name == "vib"
        assert ibsym.train(name, epochs=2, settings=SMALL, machine={"device": "cpu"}, out=tmp_path / name, resume=True)


def test_what_is_measured_leaves_the_noise_alone(device):
    """Held-out numbers have their own seed on every device; else all epochs there would have the same noise."""
    generator = torch.cuda if device == "cuda" else torch
    run = trainer("vae", settings=SMALL, engine=Engine.launched(Machine(device=device), None))
    run.epoch()
    before = generator.get_rng_state()
    run.measured()
    assert torch.equal(generator.get_rng_state(), before)
    ibsym.train("vae", epochs=1, settings=SMALL, machine={"device": device})
    assert torch.equal(generator.get_rng_state(), before)


def test_the_command(device, tmp_path):
    command = [sys.executable, "-m", "ibsym", "train", "vae", "--device", device, "--precision", "bf16-mixed", "--epochs", "1"]
    command += ["--set", "hidden=8", "--strategy", "ddp", "--accumulate", "2", "--clip", "1", "--logger", "csv", "-q"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([*command, "-o", tmp_path / "run"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["finished"]


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", ["beta-tcvae", "factor-vae", "clip"])
def test_a_world_of_one(name, how, device, world):
    """Wrapped or sharded, under a group of one, the gradients are those of the system alone."""
    found = []
    for together in (False, True):
        torch.manual_seed(0)
        system = System(name, sizes={"L": 4}, hidden=8, group=world if together else None)
        rows = {s: {v: t.to(device) for v, t in part.items()} for s, part in batch(system.spec, 9).items()}
        system.prepare(rows)
        system.to(device)
        model = system
        if together and how == "ddp":
            model = DDP(system, find_unused_parameters=bool(system.loss.CRITICS))
        elif together:
            mesh = init_device_mesh(device, (1,))
            for body in [m for m in system.bank.networks.modules() if isinstance(m, nn.Sequential)]:
                fully_shard(body, mesh=mesh)
        torch.manual_seed(5)
        with FromTheCpu():
            loss = model(rows).loss
        loss.backward()
        grads = [p.grad for p in system.players["model"]]
        found.append([loss.detach(), *(g.full_tensor() if hasattr(g, "full_tensor") else g for g in grads)])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*found, strict=True))


def test_samples_scores_and_draws_are_there(device):
    system = System("vae", hidden=8)
    rows = {v: t.to(device) for part in batch(system.spec, 9).values() for v, t in part.items()}
    system.prepare(rows)
    system.to(device)
    assert all(t.device.type == device for t in system.sample("p", 4).values())
    assert all(t.device.type == device and t.shape == (9,) for t in system.score(rows).values())
    assert system.draw(rows)["q"]["z"].device.type == device
