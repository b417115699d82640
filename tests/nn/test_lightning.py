"""A system as a LightningModule: every player moves, metrics have safe names, batches of a step are one batch."""

from __future__ import annotations

import json
import os
import re
import socket
import traceback
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lightning.pytorch import Trainer

    from ibsym.lightning import Module

from ibsym.nn import NetworkError
from tests.nn.helpers import around

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own, of its dependencies and of loaders without workers
D, L = 6, 3


def trained(module, rows, folder, size=8):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **quiet)
    trainer.fit(module, DataLoader(rows, size))
    return trainer.callback_metrics


def test_every_player_moves(tmp_path):
    torch.manual_seed(0)
    rows = TensorDataset((torch.rand(32, D) < 0.5).float(), torch.arange(32))  # the label is left alone
    system = around("bib-ae")
    system.prepare({"x": rows.tensors[0]})
    before = {name: [p.detach().clone() for p in own] for name, own in system.players.items()}
    found = trained(Module(system, clip=1.0), rows, tmp_path)
    for name, own in system.players.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], own)), name
    assert {"train/loss", "train/terms/E_q_log_p_x_given_z", "train/critics/KL_q_z_to_p_z"} <= set(found)
    assert all(re.fullmatch(r"[\w/]+", name, re.ASCII) for name in found)


def test_several_batches_are_one(tmp_path):
    """Without noise, four batches a step move the model as the whole of them does."""
    torch.manual_seed(0)
    rows = TensorDataset(torch.randn(32, D), torch.randn(32, D))
    states = []
    for size, pieces in ((8, 4), (32, 1)):
        torch.manual_seed(1)
        system = around("clip", sizes={"L": L, "D1": D, "D2": D})
        trained(Module(system, accumulate=pieces, optimizer=lambda own: torch.optim.SGD(own, lr=0.1)), rows, tmp_path, size)
        states.append([p.detach().clone() for p in system.players["model"]])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*states, strict=True))


def test_critics_move_as_on_the_whole(tmp_path, monkeypatch):
    """Of several batches a step, every player's is that of all their rows; without noise, and in one order of rows."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda s, dtype, device: torch.zeros(s, dtype=dtype))
    monkeypatch.setattr("torch.randperm", lambda n, **_: torch.arange(n).flip(0))
    rows, states = TensorDataset(torch.rand(24, D, generator=torch.Generator().manual_seed(2)).round()), []
    for size, pieces in ((8, 3), (24, 1)):
        torch.manual_seed(1)
        system = around("factor-vae", sizes={"L": L, "D": D}, hidden=4)
        before = [p.detach().clone() for own in system.players.values() for p in own]
        loader = Module(system, accumulate=pieces, critic_steps=2, optimizer=lambda own: torch.optim.SGD(own, lr=0.1))
        trained(loader, rows, tmp_path, size)
        states.append([p.detach() for own in system.players.values() for p in own])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*states, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before[-2:], states[0][-2:], strict=True))


def test_batches_that_do_not_fit():
    module = Module(around("semi-supervised-ib", sizes=dict.fromkeys("DKL", 4)))
    with pytest.raises(NetworkError, match=r"a tuple of 2 is not a batch of .*\n  write: a dataset whose items are mappings"):
        module.batch((torch.zeros(2, D), torch.zeros(2)))
    with pytest.raises(NetworkError, match="prepare"):
        Module(around("vae", {"q(z|x)": nn.Linear(D, 2 * L)})).configure_optimizers()


ROWS = 12
RANKED = [("clip", 1), ("clip", 3), ("factor-vae", 1), ("factor-vae", 2), ("bib-ae", 1), ("bib-ae", 2), ("vae", 2)]


def moved(name, pieces, rank, ranks, folder):
    """Parameters after an epoch of one step of all rows: of each process its half of them, in so many batches."""
    torch.manual_seed(1)
    system = around(name, sizes={"L": L}, hidden=4)
    system.prepare({n: torch.full((2, D), 0.5) for n in (("x1", "x2") if name == "clip" else ("x",))})
    draw = torch.Generator().manual_seed(2)
    rows = [torch.rand(ROWS, D, generator=draw).round() for _ in range(2 if name == "clip" else 1)]
    own = TensorDataset(*(x[rank * ROWS // ranks : (rank + 1) * ROWS // ranks] for x in rows))
    module = Module(system, accumulate=pieces, clip=0.5, optimizer=lambda own: torch.optim.SGD(own, lr=0.1))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    shared = {"strategy": "ddp", "devices": ranks, "use_distributed_sampler": False} if ranks > 1 else {"devices": 1}
    trainer = Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **quiet, **shared)
    trainer.fit(module, DataLoader(own, len(own) // pieces))
    return [p.detach().tolist() for own in system.players.values() for p in own]


def child(rank, port, folder):
    """One process of two, as torchrun starts it."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "here"}
    found = {f"{name} {pieces}": moved(name, pieces, rank, 2, folder) for name, pieces in RANKED}
    (folder / f"found{rank}").write_text(json.dumps(found))


@pytest.mark.slow
def test_two_processes_step_as_one_on_all_rows(tmp_path, monkeypatch):
    """DDP: every player moves along the gradient of all rows, in one batch or several, with critics, clipped; without noise."""
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda s, dtype, device: torch.zeros(s, dtype=dtype))
    monkeypatch.setattr("torch.randperm", lambda n, **_: torch.arange(n).flip(0))
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    pids = []
    for rank in range(2):
        if not (pid := os.fork()):
            status = 1
            try:
                child(rank, port, tmp_path)
                status = 0
            except BaseException:
                (tmp_path / f"said{rank}").write_text(traceback.format_exc())
            os._exit(status)
        pids.append(pid)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert ends == [0, 0], "\n".join(path.read_text() for path in tmp_path.glob("said*"))
    ranked = [json.loads((tmp_path / f"found{rank}").read_text()) for rank in range(2)]
    for name, pieces in RANKED:
        alone = moved(name, 1, 0, 1, tmp_path)
        for found in ranked:
            for a, b in zip(alone, found[f"{name} {pieces}"], strict=True):
                assert torch.allclose(torch.tensor(a), torch.tensor(b), atol=1e-6), (name, pieces)
