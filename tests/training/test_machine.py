"""Where a run computes and what it reads: options of the machine, datasets, archives, folders of images, several processes."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

import ibsym
from ibsym.training import DataError
from ibsym.training.data import load
from ibsym.training.engine import Engine
from tests.training.compiled import difference
from tests.training.helpers import ROOT, trainer

SMALL = {"hidden": 8, "batch": 200}


def go(name="vae", **options):
    return ibsym.train(name, **{"epochs": 1, "settings": SMALL} | options)


class Rows(Dataset):
    """Items as tuples, a label beyond what the spec observes."""

    def __init__(self):
        self.x = (torch.rand(60, 5, generator=torch.Generator().manual_seed(0)) < 0.5).float()

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return self.x[index], index


def test_a_dataset_and_networks_of_ones_own():
    encoder, decoder = nn.Linear(5, 4), nn.Linear(2, 5)
    before = encoder.weight.detach().clone()
    result = go(data=Rows(), networks={"q(z|x)": encoder, "p(x|z)": decoder}, settings={"batch": 10}, epochs=2)
    assert result.sizes == {"D": 5, "L": 2}
    assert not torch.equal(encoder.weight, before)
    assert len(result.history) == 2
    again = go(data=Rows(), settings={"batch": 10, "hidden": 8})
    assert again.history == go(data=Rows(), settings={"batch": 10, "hidden": 8}).history


def test_networks_that_a_dataset_gave_sizes_are_where_the_run_computes(monkeypatch):
    seen = []
    monkeypatch.setattr(Engine, "placed", lambda self, module: seen.append(len(list(module.bank.parameters()))))
    result = go(data=Rows(), settings={"batch": 10, "hidden": 8})
    assert seen[-1] == len(list(result.players.system.parameters()))


def test_batches_of_a_step_and_clipped_gradients():
    plain, several = go(), go(machine={"accumulate": 4})
    assert plain.history != several.history
    still = go(machine={"clip": 1e-12}, settings=SMALL | {"lr": 1e-12})
    assert abs(still.history[0]["train"]["loss"]["loss"] - plain.history[0]["train"]["loss"]["loss"]) < 5
    low = go(machine={"precision": "bf16-mixed"})
    assert low.history != plain.history
    assert abs(low.history[0]["held_out"]["loss"]["loss"] - plain.history[0]["held_out"]["loss"]["loss"]) < 1
    assert go(machine={"precision": "64-true"}).players.system.bank.like.dtype is torch.float64


@pytest.mark.parametrize("name", ["aae", "factor-vae", "dann", "vdb"])
def test_a_step_of_several_batches_is_that_of_the_whole(name, monkeypatch):
    """Every player moves as on all rows at once, and so does a multiplier; without noise, and in one order of rows."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda s, dtype, device: torch.zeros(s, dtype=dtype))
    monkeypatch.setattr("torch.randperm", lambda n, **_: torch.arange(n).flip(0))
    settings, found = {"hidden": 8, "batch": 12, "critic_steps": 2, "dual_step": 0.1}, []
    for edges in ([0, 12], [0, 5, 6, 12]):
        run = trainer(name, dtype="float64", settings=settings)
        batch = next(iter(run.batches))
        for c in run.spec.critics:
            setattr(run.players.loss, c.multiplier, 0.5)  # away from its floor
        parts = [{s: {v: x.take(slice(*e)) for v, x in rows.items()} for s, rows in batch.items()} for e in pairwise(edges)]
        told = run.step(parts)
        numbers = [*told["loss"].values(), *told["critics"].values(), *(getattr(run.players.loss, m) for m in run.multipliers)]
        found.append([torch.tensor(numbers, dtype=torch.float64), *(p.detach() for p in run.system.parameters())])
    assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-10) for a, b in zip(*found, strict=True))


def test_logs_have_safe_names_and_survive_a_resumption(tmp_path):
    for epochs, resume in ((1, False), (2, True)):
        go(out=tmp_path, epochs=epochs, resume=resume, machine={"logger": "csv"})
    with (tmp_path / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert "held_out/terms/KL_q_z_given_x_to_p_z" in rows[0]


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ({"devise": "cpu"}, "unknown option of a machine 'devise', did you mean 'device'"),
        ({"device": "cpus"}, "unknown device 'cpus'"),
        ({"precision": "16"}, "unknown precision '16'"),
        ({"logger": "wandb"}, "unknown logger 'wandb'"),
        ({"nproc": 0}, "--nproc: 0 is too few"),
        ({"clip": -1.0}, "--clip: -1.0 is not positive"),
        ({"strategy": "fsdp", "nproc": 2}, r"fsdp shards .*\n  write: --strategy ddp, or a loop of your own: fully_shard"),
        ({"strategy": "deepspeed_stage_2"}, "deepspeed_stage_2 shards"),
        ({"strategy": "ddp_spawn", "nproc": 2}, "unknown strategy 'ddp_spawn'"),
    ],
)
def test_a_machine_that_cannot_be(machine, message):
    with pytest.raises(ibsym.SpecError, match=message):
        go(machine=machine)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_devices_that_are_not_there():
    for device in ("cuda", "gpu"):
        with pytest.raises(ibsym.SpecError, match=r"--device: PyTorch finds no GPU\n  write: --device cpu"):
            go(machine={"device": device})


def test_a_logger_is_refused_before_anything_runs_or_writes(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "tensorboard" in name else find(name))
    with pytest.raises(ibsym.IbsymError, match=r"needs tensorboard\n  write: pip install tensorboard, or --logger csv"):
        go(machine={"logger": "tensorboard"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_a_compiled_step_is_the_step():
    """Networks, draws and losses of every player, each pass one graph; the same parameters afterwards."""
    assert difference("aae", 1, "aot_eager", whole=True) < 1e-9


def test_archives_and_folders_of_images(tmp_path):
    random = np.random.default_rng(0)
    pixels, labels = random.integers(0, 256, (20, 4, 5), dtype=np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "a.npz", images=pixels, labels=labels)
    np.savez(tmp_path / "k.npz", x_train=pixels[..., None], y_train=labels, x_test=pixels[:4] / 255, y_test=labels[:4])
    for number, label in enumerate(labels):
        (tmp_path / "f" / f"class{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[number]).save(tmp_path / "f" / f"class{label}" / f"{number:02}.png")
    for name, held in (("a.npz", 4), ("k.npz", 4), ("f", 4)):
        data = load(tmp_path / name)
        assert (data.height, data.width, data.classes, len(data.held_out)) == (4, 5, 2, held)
        assert data.train.images.max() <= 1
    np.savez(tmp_path / "n.npz", images=pixels)
    with pytest.raises(ibsym.SpecError, match=r"c is a label, and n has none"):
        ibsym.train("vib", data=tmp_path / "n.npz", out=tmp_path / "n")
    np.savez(tmp_path / "b.npz", other=pixels)
    with pytest.raises(DataError, match=r"has other; expected images \(N, H, W\)"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", images=pixels.astype(float), labels=labels)
    with pytest.raises(DataError, match=r"goes from .* expected \[0, 1\]"):
        load(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"d\.npz: cannot be read"):
        load(tmp_path / "d.npz")
    for name, content, told in (
        ("e", {"images": pixels[:, :0], "labels": labels}, "expected"),
        ("g", {"images": pixels, "labels": labels - 5}, "labels goes from -5 to -4"),
        ("h", {"images": pixels, "labels": labels + 10**12}, "labels goes from 10"),
    ):
        np.savez(tmp_path / f"{name}.npz", **content)
        with pytest.raises(DataError, match=told):
            load(tmp_path / f"{name}.npz")
    Image.fromarray(pixels[0][:3]).save(tmp_path / "f" / "class0" / "99.png")
    with pytest.raises(DataError, match="one size for all"):
        load(tmp_path / "f")


@pytest.mark.slow
def test_two_processes_share_every_batch(tmp_path):
    command = [sys.executable, "-m", "ibsym", "train", "vae", "--set", "hidden=8", "--set", "batch=400", "--nproc", "2", "-q"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    arguments = [*command, "--epochs", "1", "-o", tmp_path / "run"]
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert content["machine"].startswith("2 processes")
    assert content["finished"]
