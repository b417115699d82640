"""A sweep does every point once, goes on after a kill, and lies on the known optimum where there is one."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from torch import Tensor, nn

from ibsym.cli import main
from ibsym.errors import SpecError
from ibsym.files import write
from ibsym.lowering import lower
from ibsym.sources import certificate_of, class_of
from ibsym.spec.loading import loads
from ibsym.sweeping.points import grid, values
from ibsym.sweeping.sweep import sweep
from ibsym.training.checkpoint import locked
from ibsym.training.failures import DataError
from tests.killing import killed_at

ROOT = Path(__file__).resolve().parents[2]
SCALE = 0.1
VAE = f"""
name = "linear-vae"
objective = "minimize beta*I_q(X;Z) - I_q(Z;X)"
variables = {{ x = "real[D]", z = "real[2]" }}
joints = {{ q = "data(x) q(z|x)", p = "p(z) p(x|z)" }}
parameters = {{ beta = {{ default = 1.0, min = 0 }} }}
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(x|z)" = {{ family = "isotropic-normal", scale = {SCALE} }}
"""
BOTTLENECK = """
name = "gaussian-bottleneck"
objective = "minimize I_q(X;Z) - beta*I_q(Z;Y)"
variables = { x = "real[N]", y = "real[M]", z = "real[2]" }
joints = { q = "data(x,y) q(z|x)", p = "p(z) p(y|z)" }
parameters = { beta = { default = 10.0, min = 0 } }
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(y|z)" = "diagonal-normal"
"""


@pytest.fixture(autouse=True)
def _uncompiled(monkeypatch):
    """These systems are nobody else's: compiling their passes takes longer than they do. Networks begin as they did before."""
    monkeypatch.setenv("IBSYM_NATIVE", "0")
    torch.manual_seed(0)


@pytest.fixture
def undrawn(monkeypatch):
    """Drawing takes longer than all the rest: a few bytes stand for every picture, where no test is about them."""

    def picture(folder: Path, *about) -> Path:
        write(folder / "gaps.png", b"a picture")
        return folder / "gaps.png"

    monkeypatch.setattr("ibsym.training.train.save_terms", picture)
    monkeypatch.setattr("ibsym.training.train.save_samples", picture)
    monkeypatch.setattr("ibsym.sweeping.plots.save", lambda *about: {"gaps": picture(*about)})


class Affine(nn.Module):
    """A mean that is affine in what is seen, at first near ``gain`` times it, and one log-variance a coordinate unless it is known."""

    def __init__(self, gain: float, logvar: float | None = None):
        super().__init__()
        self.mean = nn.Linear(2, 2)
        self.mean.weight.data = gain * (torch.eye(2) + 0.3 * torch.randn(2, 2))
        self.logvar = nn.Parameter(torch.full((2,), logvar)) if logvar is not None else None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.mean(x) if self.logvar is None else (self.mean(x), self.logvar.expand(len(x), -1))


def data(path: Path, columns: np.ndarray) -> Path:
    """Rows of numbers as images one pixel high, which train scales back to the numbers themselves."""
    images = 0.5 + columns[:, None, :] / 2
    assert 0 <= images.min() <= images.max() <= 1
    np.savez(path, images=images, labels=np.zeros(len(images), np.int64))
    return path


def swept(text: str, over: str, folder: Path, file: Path, networks):
    settings = {"batch": 100, "lr": 0.03, "draws": 4}
    options = {"data": str(file), "epochs": 16, "settings": settings}
    return sweep(loads(text), [over], out=folder, options=options, networks=networks)


@pytest.mark.usefixtures("undrawn")
def test_a_linear_vae_lies_on_probabilistic_pca(tmp_path: Path) -> None:
    """Of a direction with variance l > beta s^2, rate 1/2 log(l / beta s^2) and squared error beta s^2 (Tipping & Bishop 1999; reverse
    water-filling): within 0.1 nats, with 3000 rows of which a fifth is held out."""
    rng = np.random.default_rng(0)
    variances = np.array([0.09, 0.04])
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    x = (rng.normal(size=(3000, 2)) * np.sqrt(variances)).clip(-1, 1) @ turn.T * 0.7
    variances = np.linalg.eigvalsh(np.cov(x.T))
    result = swept(VAE, "beta=0.4,1.5", tmp_path / "out", data(tmp_path / "x.npz", x),
        lambda: {"q(z|x)": Affine(1 / 0.17, -2.0), "p(x|z)": Affine(0.17)})  # fmt: skip
    for point, found in result.found.items():
        level = dict(point.values)["beta"] * SCALE**2
        rate = sum(0.5 * math.log(max(1, v / level)) for v in variances)
        distortion = sum(min(v, level) for v in variances) / (2 * SCALE**2) + math.log(2 * math.pi * SCALE**2)
        metrics = found["history"][-1]["held_out"]["metrics"]
        assert metrics["rate"] == pytest.approx(rate, abs=0.1), point
        assert metrics["distortion"] == pytest.approx(distortion, abs=0.15), point
        evidence, information = found["gaps"]
        assert evidence["gap"] > -0.02
        assert information["low"] <= information["high"]
        assert information["low"] == pytest.approx(rate, abs=0.15), point


@pytest.mark.usefixtures("undrawn")
def test_a_gaussian_bottleneck_lies_on_its_curve(tmp_path: Path) -> None:
    """I(X;Z) = 1/2 sum log((beta - 1) r^2 / (1 - r^2)), I(Z;Y) = I(X;Z) - 1/2 sum log(beta r^2) over canonical correlations with
    beta r^2 > 1 (Chechik et al. 2005): within 0.15 and 0.07 nats; near the optimum a rate is worth little. Of the 2400 rows that it
    learned from: the mean of a log-density over the 600 others is known to 0.04."""
    rng = np.random.default_rng(1)
    r = np.array([0.9, 0.7])
    x = rng.normal(size=(3000, 2))
    y = r * x + np.sqrt(1 - r**2) * rng.normal(size=x.shape)
    result = swept(BOTTLENECK, "beta=3,6", tmp_path / "out", data(tmp_path / "xy.npz", np.concatenate([x, y], 1) * 0.22),
        lambda: {"q(z|x)": Affine(1 / 0.22, -1.0), "p(y|z)": Affine(0.22, -4.0)})  # fmt: skip
    entropy = math.log(2 * math.pi * math.e * 0.22**2)  # of Y
    for point, found in result.found.items():
        beta = dict(point.values)["beta"]
        kept = r[beta * r**2 > 1]
        rate = 0.5 * sum(np.log((beta - 1) * kept**2 / (1 - kept**2)))
        relevance = rate - 0.5 * sum(np.log(beta * kept**2))
        terms = found["history"][-1]["train"]["terms"]
        assert terms["KL(q(z|x)||p(z))"] == pytest.approx(rate, abs=0.15), point
        assert entropy + terms["E_q[log p(y|z)]"] == pytest.approx(relevance, abs=0.07), point


def test_points_and_what_are_none() -> None:
    points = grid(["beta=1:100:log3", "L=2,4"], 2, 5, {})
    assert len({p.name for p in points}) == 12
    assert points[1].name == "beta=1,L=2,seed=6"
    assert values("beta=0:3:4")[1] == (0, 1, 2, 3)
    none = ("beta", "beta=", "=1", "beta=1:2", "beta=0:1:log3", "beta=1,1", "beta=a", "beta=1:inf:3", "beta=1:2:log0")
    for bad in (*none, "beta=1:2:log3:4", "beta=1e400:1:3"):
        with pytest.raises(SpecError, match="--over"):
            values(bad)
    for over, fixed in (
        (["beta=1", "beta=2"], {}),
        (["beta=1"], {"beta": "2"}),
        ([], {}),
        (["a=1:9:lin200", "b=1:9:lin200"], {}),
    ):
        with pytest.raises(SpecError, match="--over"):
            grid(over, 1, 0, fixed)


def told(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leave:
        main(list(arguments))
    return leave.value.code, *capsys.readouterr()


COMMAND = (
    "sweep",
    "vae.toml",
    "--over",
    "beta=1,2",
    "--data",
    "x.npz",
    "--set",
    "batch=20",
    "-o",
    "out",
    "--jobs",
    "1",
    "--epochs",
)


def test_a_killed_sweep_goes_on(tmp_path: Path, monkeypatch, capsys) -> None:
    """SIGKILL in the middle: the worker ends with it and no lock stays; the same command goes on, and leaves with 0 when all is done."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("vae.toml").write_text(VAE, encoding="utf-8")
    data(Path("x.npz"), np.random.default_rng(0).normal(0, 0.1, (200, 2)))
    process = subprocess.Popen([sys.executable, "-m", "ibsym", *COMMAND, "30"])
    first, second = (Path("out") / "runs" / f"beta={b},seed=0" for b in (1, 2))
    while not (first / "metrics.json").is_file():
        assert process.poll() is None
        time.sleep(0.02)
    with pytest.raises(DataError, match="another run is at work"), locked(Path("out")):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while True:  # until the worker notices that nobody listens
        try:
            with locked(first), locked(Path("out")):
                break
        except DataError:
            assert time.monotonic() < deadline, "the worker outlives its parent"
            time.sleep(0.05)
    assert 0 < json.loads((first / "metrics.json").read_text())["epochs"] < 30
    assert not second.exists()
    assert not Path("out/results.parquet").exists()
    assert "another sweep: epochs was '30', now '31'" in told(capsys, *COMMAND, "31")[2]
    status, out, err = told(capsys, *COMMAND, "30")
    assert (status, err) == (0, "")
    assert "2 runs, 0 of them done before" in out
    table = pyarrow.parquet.read_table("out/results.parquet").to_pylist()
    assert [(r["beta"], r["seed"], r["epochs"], r["error"]) for r in table] == [(1.0, 0, 30, None), (2.0, 0, 30, None)]
    assert all("minimize" in r["spec"] and r["version of torch"] == torch.__version__ and r["log p(x) gap"] > -1 for r in table)
    assert len(pyarrow.parquet.read_table("out/epochs.parquet")) == 60
    names = (
        "epochs.parquet",
        "gaps.png",
        "information-plane.png",
        "rate-distortion.png",
        "results.parquet",
        "runs",
        "study.db",
    )
    assert sorted(os.listdir("out")) == list(names)
    before = Path("out/results.parquet").read_bytes()
    status, out, _ = told(capsys, *COMMAND, "30")
    assert (status, "2 of them done before" in out) == (0, True)
    assert Path("out/results.parquet").read_bytes() == before
    found = json.loads(told(capsys, *COMMAND, "30", "--json")[1])
    assert (found["runs"], found["before"], found["failed"]) == (2, 2, {})
    assert all(Path(file).is_file() for file in found["files"].values())


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_kills_and_a_sweep_that_was_never_killed_are_one(tmp_path: Path, monkeypatch) -> None:
    """Between things that are done to the files of runs, tables and pictures: the same call goes on, and ends with the same numbers."""
    known = certificate_of(loads(VAE))
    loss = class_of(lower(known))  # no child derives it anew
    monkeypatch.setattr("ibsym.sources.certificate_of", lambda source: known)
    monkeypatch.setattr("ibsym.sources.class_of", lambda program: loss)
    file = data(tmp_path / "x.npz", np.random.default_rng(0).normal(0, 0.1, (60, 2)))

    def networks():
        torch.manual_seed(0)
        return {"q(z|x)": Affine(1.0, -1.0), "p(x|z)": Affine(1.0)}

    def go(folder: str):
        options = {"data": str(file), "epochs": 2, "settings": {"batch": 20}}
        return sweep(loads(VAE), ["beta=1,2"], out=tmp_path / folder, options=options, networks=networks)

    straight, kills, number = go("straight"), 0, 0
    stems = ("results", "epochs", "gaps", "checkpoint", "metrics")
    while killed_at(number, stems, lambda: go("out")):
        kills += 1
        number = 4 * number + 5
    assert kills >= 3
    assert {p: r["history"] for p, r in go("out").found.items()} == {p: r["history"] for p, r in straight.found.items()}
    tables = [pyarrow.parquet.read_table(tmp_path / f / "results.parquet").to_pylist() for f in ("straight", "out")]
    assert [[{k: v for k, v in row.items() if k != "seconds"} for row in t] for t in tables][1:] == [
        [{k: v for k, v in row.items() if k != "seconds"} for row in tables[0]]
    ]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in (tmp_path / "straight").iterdir())


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_cannot_go_on_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    """An error of one point is its result; a foreign folder, a foreign file and a value outside of its interval are refused before."""
    torch.manual_seed(0)
    file = data(tmp_path / "x.npz", np.random.default_rng(0).normal(0, 0.1, (60, 2)))

    def networks():
        decoder = nn.Linear(2, 2)
        made.append(decoder)
        if len(made) == 1:
            nn.init.constant_(decoder.bias, torch.nan)
        return {"q(z|x)": Affine(1.0, -1.0), "p(x|z)": decoder}

    made: list[nn.Module] = []
    options = {"data": str(file), "epochs": 1}
    result = sweep(loads(VAE), ["beta=1,2"], out=tmp_path / "out", options=options, networks=networks)
    assert [p.name for p in result.failed] == ["beta=1,seed=0"]
    assert "the loss is nan" in result.failed[next(iter(result.failed))]
    table = pyarrow.parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert table[1]["error"] is None
    assert table[1]["rate"] > -1
    with pytest.raises(SpecError, match="outside of"):
        sweep(loads(VAE), ["beta=-1,1"], out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(DataError, match="holds a run, and not a sweep"):
        sweep(loads(VAE), ["beta=1"], out=tmp_path / "out" / "runs" / "beta=2,seed=0")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "study.db").write_text("not a database, and long enough to be looked at as one" * 20)
    with pytest.raises(DataError, match="not a sweep of ours"):
        sweep(loads(VAE), ["beta=1"], out=tmp_path / "foreign")
