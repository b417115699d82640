"""ibsym compress and decompress: whole files or none, whatever goes wrong, and errors that say what."""

from __future__ import annotations

import json
import os
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ibsym.cli import main
from ibsym.coding.codec import Codec
from ibsym.coding.container import CodeError
from ibsym.coding.layout import layout
from ibsym.coding.pictures import load as load_pictures
from ibsym.coding.pictures import save
from ibsym.coding.run import codec_of
from ibsym.nn.bank import Bank
from ibsym.nn.sizes import Sizes
from ibsym.spec.loading import load, loads
from ibsym.training.checkpoint import save_checkpoint
from ibsym.training.failures import DataError
from tests.killing import killed_at
from tests.training.helpers import trainer

SIZES = {"D": 24, "L": 6, "M": 5}


def run_folder(folder: Path, name: str, seed: int = 0) -> None:
    """What ``ibsym train`` leaves of a model, with random networks."""
    torch.manual_seed(seed)
    spec = load(name)
    found = layout(spec)
    bank = Bank(spec, Sizes(spec, dict(SIZES), {}), 8, torch.zeros(()))
    for factor in (*found.encoders, *found.priors, found.decoder):
        bank.add_factor(factor)
    about = {"spec": json.dumps(dict(spec.keys)), "sizes": SIZES, "views": {"x": [4, 6]}, "hidden": 8}
    numbers = {f"bank.{k}": v for k, v in bank.state_dict().items()}
    folder.mkdir()
    save_checkpoint(folder, {"fingerprint": {}, "model": about, "system": numbers})


@pytest.fixture
def ibsym_(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IBSYM_CACHE_DIR", str(tmp_path / "cache"))
    run_folder(tmp_path / "model", "hyperprior-compression")
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 4, 6), dtype=np.uint8)
    for place, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "images" / f"{place:02}.png")

    def call(*arguments):
        with pytest.raises(SystemExit) as leave:
            main([str(a) for a in arguments])
        return leave.value.code, *capsys.readouterr()

    return call


def test_there_and_back(ibsym_, tmp_path: Path) -> None:
    status, out, err = ibsym_("compress", "model", "images", "-o", "new/a.ibz")
    assert (status, err) == (0, "")
    assert "12 images" in out
    assert "the model's rate" in out
    assert os.listdir("new") == ["a.ibz"]
    assert ibsym_("decompress", "new/a.ibz", "-o", "back")[0] == 0
    codec = codec_of(Path("model"))
    pixels = load_pictures([Path("images")], 4, 6)
    assert sorted(os.listdir("back")) == [f"{k:02}.png" for k in range(12)]
    assert (load_pictures([Path("back")], 4, 6) == codec.images(codec.codes(pixels))).all()
    # one image at a time, in another order; quiet
    assert ibsym_("compress", "model", "images/03.png", "images/00.png", "-o", "b.ibz", "-q")[1] == ""
    assert ibsym_("decompress", "b.ibz", "-o", "two", "-q")[1] == ""
    told = json.loads(ibsym_("compress", "model", "images", "-o", "c.ibz", "--json")[1])
    assert (told["file"], told["bits"]) == ("c.ibz", 8 * Path("c.ibz").stat().st_size)
    assert json.loads(ibsym_("decompress", "c.ibz", "-o", "third", "--json")[1])["images"] == told["images"]
    assert (load_pictures([Path("two")], 4, 6) == codec.images(codec.codes(pixels[[3, 0]]))).all()


def test_the_model_is_found_or_named(ibsym_, tmp_path: Path) -> None:
    ibsym_("compress", "model", "images", "-o", "a.ibz")
    (tmp_path / "model").rename(tmp_path / "moved")  # what was noted is out of date, and the model is near by
    assert ibsym_("decompress", "a.ibz", "-o", "near")[0] == 0
    far = tmp_path / "some" / "where" / "else"
    far.mkdir(parents=True)
    (tmp_path / "moved").rename(far / "model")
    status, _, err = ibsym_("decompress", "a.ibz", "-o", "none")
    assert status == 2
    assert "which is not near by" in err
    assert not Path("none").exists()
    assert ibsym_("decompress", "a.ibz", "--model", far / "model", "-o", "named")[0] == 0
    run_folder(tmp_path / "other", "hyperprior-compression", seed=1)
    status, _, err = ibsym_("decompress", "a.ibz", "--model", "other", "-o", "none")
    assert (status, "written by another model" in err) == (2, True)
    assert not Path("none").exists()


def test_what_is_refused(ibsym_, tmp_path: Path) -> None:
    ibsym_("compress", "model", "images", "-o", "a.ibz")
    before = Path("a.ibz").read_bytes()
    Path("short.ibz").write_bytes(before[:-5])
    Path("text.png").write_text("no image")
    Image.fromarray(np.zeros((5, 6), np.uint8)).save("large.png")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    Path("empty").mkdir()
    run_folder(tmp_path / "other", "generative-compression")
    for arguments, said in (
        (("compress", "none", "images", "-o", "b.ibz"), "holds no trained model"),
        (("compress", "model", "none", "-o", "b.ibz"), "no such file or folder"),
        (("compress", "model", "empty", "-o", "b.ibz"), "holds no images"),
        (("compress", "model", "text.png", "-o", "b.ibz"), "cannot be read as an image"),
        (("compress", "model", "images", "large.png", "-o", "b.ibz"), "has 5 x 6 pixels"),
        (("compress", "model", "images", "-o", "full"), "is a folder"),
        (("decompress", "none.ibz", "-o", "back"), "No such file"),
        (("decompress", "short.ibz", "-o", "back"), "short.ibz: the file is damaged: it announces"),
        (("decompress", "text.png", "-o", "back"), "not a file of ibsym compress"),
        (("decompress", "a.ibz", "-o", "full"), "is not empty"),
        (("decompress", "a.ibz", "-o", "a.ibz"), "is not a folder"),
    ):
        status, out, err = ibsym_(*arguments)
        assert (status, out) == (2, "")
        assert said in err
        assert "fault of ibsym" not in err
    assert not Path("back").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".") or p.name == "b.ibz"] == []
    assert Path("a.ibz").read_bytes() == before


def test_a_run_that_is_no_codec_says_so(tmp_path: Path) -> None:
    run_folder(tmp_path / "run", "generative-compression")
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    for change, error, said in (
        ({"model": None}, DataError, "does not say which model"),
        (
            {"model": state["model"] | {"spec": json.dumps(dict(load("vae").keys))}},
            CodeError,
            "vae does not compress: q.z.x. is diagonal",
        ),
        ({"model": state["model"] | {"hidden": 9}}, DataError, "the network of .* is not a default one"),
        ({"model": state["model"] | {"views": {}}}, DataError, "was not trained on images"),
    ):
        save_checkpoint(tmp_path / "run", state | change)
        with pytest.raises(error, match=said):
            codec_of(tmp_path / "run")


def test_a_killed_call_leaves_nothing_that_stays(tmp_path: Path) -> None:
    """SIGKILL between two images: the folder is not there; the next call takes away what was begun, not what another one writes."""

    def forever():
        while True:
            yield np.zeros((1, 4, 6), np.uint8)
            time.sleep(0.01)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that forking beside threads is not for everyone
        child = os.fork()
    if not child:
        save(tmp_path / "out", forever(), 10**6)
        os._exit(1)
    for _ in range(500):
        if len(list(tmp_path.glob(".out-*.part/*.png"))) > 2:
            break
        time.sleep(0.01)
    save(tmp_path / "out", iter([np.zeros((2, 4, 6), np.uint8)]), 2)
    assert len(list(tmp_path.iterdir())) == 2, "the other one's folder stays while it writes"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (tmp_path / "out" / "0.png").unlink()
    (tmp_path / "out" / "1.png").unlink()
    save(tmp_path / "out", iter([np.zeros((1, 4, 6), np.uint8)]), 1)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]

    def broken():
        yield np.zeros((1, 4, 6), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "next", broken(), 2)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_command_killed_at_every_file_that_it_touches(ibsym_, tmp_path: Path) -> None:
    """The file that was there before, or the new one; a folder of all images, or none; the same command then does its work."""
    ibsym_("compress", "model", "images/00.png", "-o", "a.ibz")
    before, kills = Path("a.ibz").read_bytes(), 0
    ibsym_("compress", "model", "images", "-o", "b.ibz")
    after = Path("b.ibz").read_bytes()
    while killed_at(kills, ("a.ibz", ".a-"), lambda: main(["compress", "model", "images", "-o", "a.ibz", "-q"])):
        assert Path("a.ibz").read_bytes() in (before, after)
        kills += 1
    assert kills >= 3  # at its temporary file's beginning, its mode and its new name
    assert Path("a.ibz").read_bytes() == after
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    whole, kills = [f"{k:02}.png" for k in range(12)], 0
    # at every third of what is done to the folder
    while killed_at(kills, ("out", ".png"), lambda: main(["decompress", "a.ibz", "-o", "out", "-q"])):
        assert not Path("out").exists() or sorted(os.listdir("out")) in ([], whole)
        if Path("out").exists() and os.listdir("out"):
            break
        kills += 3
    assert kills >= 9
    assert sorted(os.listdir("out")) == whole
    ibsym_("decompress", "b.ibz", "-o", "out2", "-q")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".out2")] == []


def test_a_trained_run_is_a_codec(tmp_path: Path) -> None:
    """What ``ibsym train`` writes today is what compress reads."""
    lines = (
        'name = "s"',
        'objective = "minimize H_q(Z) - I_q(Z;X)"',
        "[variables]",
        'x = "unit[D]"',
        'z = "binary[4]"',
        "[joints]",
    )
    lines += (
        'q = "data(x) q(z|x)"',
        'p = "p(z) p(x|z)"',
        "[families]",
        '"p(z)" = "bernoulli"',
        '"p(x|z)" = "continuous-bernoulli"',
    )
    made = trainer(
        loads("\n".join([*lines, '"q(z|x)" = { family = "bernoulli", relax = "straight-through" }'])), settings={"hidden": 8}
    )
    save_checkpoint(tmp_path, {"fingerprint": {}, "model": made.described(), **made.state()})
    codec = codec_of(tmp_path)
    assert codec.digest == Codec.of(made.system, 8, 8).digest
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    assert np.concatenate(list(codec.decode(codec.encode(pixels).data))).shape == (40, 8, 8)
