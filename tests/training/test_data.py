"""Data sets, and which variable is what of them."""

import gzip
import struct

import numpy as np
import pytest
import torch

import ibsym
from ibsym.training import DataError
from ibsym.training.binding import Batches, bind
from ibsym.training.data import load
from tests.training.helpers import digits


def idx(path, array, compress=False):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if compress else data)


def pair(folder, stem, number, rng, side=6, suffix=""):
    idx(folder / f"{stem}-images-idx3-ubyte{suffix}", rng.integers(0, 256, (number, side, side)), bool(suffix))
    idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", np.arange(number) % 4, bool(suffix))


def spec(variables, joints, families, objective="minimize I_q(X;Z)", **more):
    joints = {"p": "p(z)"} | joints
    return ibsym.Spec(
        name="s",
        objective=objective,
        variables=variables,
        joints=joints,
        families={"p(z)": "standard-normal"} | families,
        **more,
    )


def bound(found, **options):
    return bind(found, digits(), **{"sizes": {}, "labelled": None, "seed": 0, "dtype": torch.float32} | options)


def one(space, **options):
    found = spec({"x": space, "z": "real[L]"}, {"q": "data(x) q(z|x)"}, {"q(z|x)": "diagonal-normal"})
    return bound(found, **options)


def test_the_split_is_fixed_and_even():
    images = digits()
    assert (len(images.train), len(images.held_out), images.classes) == (1438, 359, 10)
    assert np.bincount(images.held_out.labels).min() >= 34
    assert images.train.images.min() >= 0
    assert images.train.images.max() <= 1


def test_a_folder_of_one_pair_is_split(tmp_path):
    pair(tmp_path, "t10k", 40, np.random.default_rng(0), suffix=".gz")
    images = load(tmp_path)
    assert (len(images.train), len(images.held_out), images.classes, images.height, images.width) == (32, 8, 4, 6, 6)


def test_a_folder_of_two_pairs_is_not(tmp_path):
    rng = np.random.default_rng(0)
    pair(tmp_path, "train", 40, rng)
    pair(tmp_path, "t10k", 12, rng, suffix=".gz")
    images = load(str(tmp_path))
    assert (len(images.train), len(images.held_out)) == (40, 12)


def damaged(folder, what):
    rng = np.random.default_rng(0)
    pair(folder, "train", 20, rng)
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    match what:
        case "short":
            images.write_bytes(images.read_bytes()[:-1])
        case "long":
            images.write_bytes(images.read_bytes() + b"x")
        case "magic":
            images.write_bytes(b"\0\0\x0d" + images.read_bytes()[3:])
        case "huge":
            images.write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12)
        case "empty":
            images.write_bytes(b"")
        case "gzip":
            images.rename(folder / "train-images-idx3-ubyte.gz")
        case "labels":
            labels.unlink()
        case "number":
            idx(labels, np.arange(7))
        case "nothing":
            images.unlink(), labels.unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("short", "announces 720 bytes, and has 719"),
        ("long", "announces 720 bytes, and has more"),
        ("magic", "no IDX file of unsigned bytes with 3 axes"),
        ("huge", "more than 2 GiB"),
        ("empty", "no IDX file"),
        ("gzip", "cannot be read"),
        ("labels", "needs one file train-labels"),
        ("number", "20 images, and 7 labels"),
        ("nothing", "no IDX files, such as"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong(tmp_path, what, message):
    damaged(tmp_path, what)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_neither_digits_nor_a_folder():
    with pytest.raises(DataError, match="neither 'digits' nor a folder"):
        load("nowhere")


@pytest.mark.parametrize(
    ("space", "low", "high", "shape"),
    [
        ("real[D]", -1, 1, (64,)),
        ("unit[D]", 0, 1, (64,)),
        ("binary[D]", 0, 1, (64,)),
        ("real[H,W]", -1, 1, (8, 8)),
        ("real[C,H,W]", -1, 1, (1, 8, 8)),
        ("unit[4,E]", 0, 1, (4, 16)),
    ],
)
def test_an_image_is_scaled_and_shaped(space, low, high, shape):
    found = one(space).train["data"]["x"].code
    assert found.shape == (1438, *shape)
    assert (found.min(), found.max()) == (low, high)
    assert len(found.unique()) == (2 if space.startswith("binary") else 17)


@pytest.mark.parametrize(
    ("space", "message"),
    [("real[7]", "has 8 x 8 pixels"), ("sphere[D]", "lives on a sphere"), ("categorical[4]", "4 classes, and digits has 10")],
)
def test_what_cannot_be_bound_is_refused(space, message):
    with pytest.raises(ibsym.SpecError, match=message):
        one(space)


def test_sizes_that_are_set():
    assert one("real[D]", sizes={"L": 3}).sizes == {"D": 64, "L": 3}
    with pytest.raises(ibsym.SpecError, match="unknown dimension"):
        one("real[D]", sizes={"M": 3})
    with pytest.raises(ibsym.SpecError, match="63 numbers"):
        one("real[D]", sizes={"D": 63})


def test_views_are_strips_of_one_image():
    variables = {"x": "binary[D]", "y": "unit[E]", "z": "real[L]"}
    found = bound(spec(variables, {"q": "data(x,y) q(z|x)"}, {"q(z|x)": "diagonal-normal"}))
    whole = digits().train.images
    assert torch.equal(found.train["data"]["y"].code, torch.from_numpy(whole[:, :, 4:].reshape(-1, 32)).float())
    assert torch.equal(found.train["data"]["x"].code, torch.from_numpy(whole[:, :, :4].reshape(-1, 32) >= 0.5).float())
    assert found.views == {"x": (8, 4), "y": (8, 4)}
    assert found.notes[0] == "x <- columns 0 to 3 of the image, thresholded at 1/2"


SEMI = {
    "variables": {"x": "unit[D]", "c": "categorical[K]", "z": "real[L]"},
    "joints": {"q": "data(x,c) q(z|x)", "u": "other(x) q(z|x)"},
    "families": {"q(z|x)": "diagonal-normal", "other(x)": "empirical"},
}


def test_hidden_labels():
    found = bound(spec(**SEMI), labelled=40)
    seen, hidden = found.train["data"], found.train["other"]
    assert len(seen["x"].code) == 40
    assert len(hidden["x"].code) == 1438 - 40
    assert torch.bincount(seen["c"].index).tolist() == [4] * 10
    rows = torch.cat([seen["x"].code, hidden["x"].code]).sum(-1).sort().values  # together they are all images, each once
    assert torch.allclose(rows, torch.from_numpy(digits().train.images).float().flatten(1).sum(-1).sort().values)
    again = bound(spec(**SEMI), labelled=40)
    assert torch.equal(again.train["data"]["x"].code, seen["x"].code)
    assert not torch.equal(bound(spec(**SEMI), labelled=40, seed=1).train["data"]["x"].code, seen["x"].code)


def test_numbers_of_labels_that_cannot_be():
    with pytest.raises(ibsym.SpecError, match="2000 labelled images of 1438"):
        bound(spec(**SEMI), labelled=2000)
    with pytest.raises(ibsym.SpecError, match="no source of the spec observes a label"):
        one("real[D]", labelled=10)


def test_two_labelled_sources_are_refused():
    joints = {"q": "data(x,c) q(z|x)", "u": "other(x,c) q(z|x)"}
    families = {"q(z|x)": "diagonal-normal", "other(x,c)": "empirical"}
    with pytest.raises(ibsym.SpecError, match="data and other both observe a label"):
        bound(spec(SEMI["variables"], joints, families))


def test_nothing_observed_is_refused():
    variables = {"x": "real[D]", "z": "real[L]"}
    found = spec(variables, {"p": "p(z) p(x|z)"}, {"p(x|z)": "diagonal-normal"}, objective="minimize I_p(X;Z)")
    with pytest.raises(ibsym.SpecError, match="nothing is observed"):
        bound(found)


def test_an_epoch_passes_over_the_longest_source_once():
    rows = bound(spec(**SEMI), labelled=40).train
    batches = Batches(rows, 100, torch.Generator().manual_seed(0))
    assert (batches.steps, batches.sizes) == (13, {"data": 40, "other": 100})
    epoch = list(batches)
    assert len(epoch) == 13
    seen = torch.cat([b["other"]["x"].code for b in epoch])
    assert len(seen.unique(dim=0)) == len(seen)
    for batch in epoch:
        assert len(batch["data"]["x"].code.unique(dim=0)) == 40
