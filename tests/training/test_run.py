"""Runs: the same from a seed, resumed as if never interrupted, honest about what they leave and what they cannot do."""

import contextlib
import json
import os
import re
import stat

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ibsym
from ibsym.files import write
from ibsym.training import DataError, TrainingError, train
from ibsym.training.checkpoint import load_checkpoint, taken_up
from ibsym.training.progress import Lines, Silent, summary
from ibsym.training.settings import Choices, sized, sort_out
from ibsym.training.train import run
from tests.training.helpers import ROOT, compiled, trainer

SMALL = {"hidden": 16, "batch": 200}


def go(name="vib", **options):
    spec, _, loss = compiled(name)
    return run(spec, loss, **{"settings": SMALL, "epochs": 2} | options)


def test_one_seed_one_result():
    first, second, other = go(), go(), go(seed=1)
    assert first.history == second.history
    assert first.history != other.history


def test_the_callers_random_state_and_threads_are_left_alone():
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    go(epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["vib", "vdb", "semi-supervised-ib"])
def test_resumed_is_as_if_never_interrupted(tmp_path, name):
    straight = go(name, epochs=3)
    go(name, epochs=1, out=tmp_path)
    resumed = go(name, epochs=3, out=tmp_path, resume=True)
    assert resumed.history == straight.history
    for a, b in zip(straight.players.system.parameters(), resumed.players.system.parameters()):
        assert torch.equal(a, b)


def test_what_a_run_leaves(tmp_path, pictures):
    result = go(out=tmp_path / "deep" / "run")
    assert sorted(p.name for p in (tmp_path / "deep" / "run").iterdir()) == ["checkpoint.pt", "metrics.json", "terms.png"]
    content = json.loads(result.files["metrics"].read_text())
    assert content["spec"] == "vib"
    assert content["seed"] == 0
    assert content["sizes"] == {"D": 64, "K": 10, "L": 8}
    assert content["history"] == result.history
    assert content["held_out"]["metrics"] == result.metrics
    with Image.open(result.files["plot"]) as picture:
        assert picture.size[0] > 100
    lines = list(summary(result))
    assert any("accuracy" in line and "%" in line for line in lines)


def test_a_picture_is_drawn_no_more_often_than_it_changes(tmp_path, monkeypatch):
    drawn = []

    def draw(*_):
        drawn.append(1)
        return tmp_path / "terms.png"

    monkeypatch.setattr(train, "save_terms", draw)
    go(out=tmp_path, epochs=1)
    assert len(drawn) == 1
    assert set(go(out=tmp_path, epochs=1, resume=True).files) >= {"metrics", "plot"}  # nothing was left to do
    assert len(drawn) == 2


def test_generators_leave_pictures(tmp_path, pictures):
    result = go("gan", out=tmp_path, epochs=1)
    assert result.files["samples"].read_bytes()[:4] == b"\x89PNG"


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder is named"):
        go(resume=True)
    go(out=tmp_path, epochs=1)
    with pytest.raises(DataError, match="another run: seed was 0, now 4"):
        go(out=tmp_path, resume=True, seed=4)
    with pytest.raises(DataError, match="another run: sizes"):
        go(out=tmp_path, resume=True, settings=SMALL | {"L": 3})
    with pytest.raises(DataError, match="another run: spec"):
        go("vae", out=tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="not a checkpoint of ours"):
        go(out=tmp_path, resume=True)


def test_parts_of_a_checkpoint_that_do_not_fit_are_named(tmp_path):
    """Bytes at random, parts that are missing or of another kind, networks of another size: never a fault of ibsym's own."""
    go(out=tmp_path, epochs=1)
    path, random = tmp_path / "checkpoint.pt", np.random.default_rng(0)
    whole, state = path.read_bytes(), torch.load(path, weights_only=True)
    run_ = trainer("vib", settings=SMALL)
    for number in range(40):
        damaged = bytearray(whole[: random.integers(len(whole))] if number % 3 == 0 else whole)
        for place in random.integers(max(1, len(damaged)), size=number % 20 if damaged else 0):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            load_checkpoint(tmp_path, state["fingerprint"])
    changes = [{key: value} for key in ("system", "optimisers", "random", "loader", "history") for value in (3, [{}])]
    for change in [*changes, {"fingerprint": 3}, {"parameters": {"beta": "x"}}]:
        torch.save(state | change, path)
        with pytest.raises(DataError, match=r"checkpoint\.pt: .*\n  write: "), taken_up(tmp_path):
            run_.restore(load_checkpoint(tmp_path, state["fingerprint"]))
    path.write_bytes(whole)
    wider = {"p(c|z)": nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 10))}
    with pytest.raises(
        DataError, match=r"cannot be gone on with: .*p_c_given_z.*\n  write: the networks that it was written with"
    ):
        go(out=tmp_path, epochs=2, resume=True, networks=wider)


def test_a_checkpoint_executes_nothing(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"format": 1, "fingerprint": Trap()}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match="not a checkpoint of ours"):
        go(out=tmp_path, resume=True)
    assert not (tmp_path / "sprung").exists()


def test_a_loss_that_is_no_number_stops_the_run():
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf|-inf)"):
        go(settings=SMALL | {"lr": 1e9}, epochs=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"Q": 1}}, "unknown dimension, parameter or setting 'Q'"),
        ({"settings": {"bta": 1}}, "write: beta$"),
        ({"settings": {"beta": -1}}, r"beta = -1 is outside of \[0, inf\]"),
        ({"settings": {"beta": "nan"}}, "outside of"),
        ({"settings": {"beta": "much"}}, "is not a number"),
        ({"settings": {"L": 0}}, "is not a size"),
        ({"settings": {"L": 2.5}}, "is not a size"),
        ({"settings": {"L": float("nan")}}, "is not a size"),
        ({"settings": {"batch": 10**9}}, "is not a size"),
        ({"settings": {"lr": -1}}, "is not positive"),
        ({"warmup": {"L": 3}}, "unknown parameter that can rise 'L'"),
        ({"warmup": {"beta": "x"}}, "--warmup: beta = 'x' is not a number"),
        ({"epochs": 0}, "--epochs: 0 epochs"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"labelled": 1}, "--labelled: 1 labelled images"),
    ],
)
def test_settings_that_cannot_be(options, message):
    with pytest.raises(ibsym.SpecError, match=message):
        go(**options)


def test_few_labels_are_learned_from():
    assert go(labelled=50, epochs=1).notes[0] == "data: 50 labelled images"


def test_a_parameter_rises_to_its_value():
    spec, _, loss = compiled("beta-vae")
    seen = []

    class Watch(Silent):
        def epoch(self, entry):
            seen.append(float(module.beta))

    module = loss(beta=4.0)
    run(spec, module, epochs=4, warmup={"beta": 2}, settings=SMALL, report=Watch())
    assert seen == [2.0, 4.0, 4.0, 4.0]


def test_a_loss_of_a_pipe_is_told_in_lines():
    said = []
    go(report=Lines(said.append))
    assert said[0].startswith("Deep variational information bottleneck: minimize I_q(X;Z)")
    assert "x <- the image, scaled to [-1, 1]" in said
    assert said[-1].startswith("epoch 2/2: loss ")
    assert "accuracy" in said[-1]
    assert "E_q[log p(c|z)]" in said[-1]


def test_several_draws_make_the_same_estimate_less_noisy():
    def spread(draws):
        run_ = trainer("vae", settings={"hidden": 16, "draws": draws})
        batch = next(iter(run_.batches))
        with torch.no_grad():
            return torch.stack([run_.players.wiring.evaluate(run_.draws(batch))[0] for _ in range(40)]).std()

    assert spread(16) < 0.6 * spread(1)


def test_the_size_of_the_data_set_is_that_of_what_is_trained_on():
    """N of a stratified minibatch: of the source that the term averages over; what is set comes first; fewer than a batch are refused."""
    keys = dict(ibsym.load("beta-tcvae").keys)
    keys |= {"parameters": {"beta": {"default": 6.0, "min": 1}, "n": {"default": 60000.0, "min": 1}}}
    keys["estimators"] = {"TC_q(Z)": {"estimator": "minibatch-stratified", "dataset_size": "n"}}
    spec, rows = ibsym.Spec(**keys), {"data": 1437}
    assert sized(spec, Choices(), rows).parameters == {"n": 1437.0}
    assert sized(spec, sort_out(spec, {"n": 70}), rows).parameters == {"n": 70.0}
    for given in ({"n": 20}, {"n": 70, "batch": 80}):
        with pytest.raises(ibsym.SpecError, match="for the whole data set, and a batch has"):
            sized(spec, sort_out(spec, given), rows)


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a" / "f.txt"
    write(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) & 0o400

    def fail(source, target):
        raise OSError(28, "No space left on device", source)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")):
        write(path, b"half")
    monkeypatch.undo()
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["f.txt"]
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "a", "x")


def test_nothing_is_named_after_a_path_in_the_repository():
    text = "".join(p.read_text() for p in (ROOT / "ibsym/training").glob("*.py"))
    assert "/work" not in text
