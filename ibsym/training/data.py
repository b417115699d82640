"""Images in [0, 1] with class labels: scikit-learn's bundled digits, or a folder of IDX files."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ibsym.training.failures import DataError, need

HELD_OUT = 0.2
SPLIT_SEED = 0
_UNSIGNED_BYTES = 0x08


@dataclass(frozen=True)
class Split:
    """Images (N, H, W) in [0, 1] and their class indices (N,)."""

    images: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Images:
    """A data set: what is trained on, what is held out, the number of classes."""

    name: str
    train: Split
    held_out: Split
    classes: int

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.train.images.shape[1])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.train.images.shape[2])


def load(source: str | Path) -> Images:
    """``digits``, or the IDX files of a folder; the split does not depend on a run's seed, so that runs can be compared."""
    if str(source) == "digits":
        return _digits()
    folder = Path(source)
    if folder.suffix == ".npz" and folder.is_file():
        return _npz(folder)
    if not folder.is_dir():
        raise DataError(f"{source}: neither 'digits' nor a folder of IDX files or of images nor an .npz file")
    if not any("idx" in p.name for p in folder.iterdir() if p.is_file()) and any(_pictures(folder)):
        return _image_folder(folder)
    return _idx_folder(folder)


PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm")
NAMES = (("images", "labels"), ("x_train", "y_train"), ("x", "y"))
MOST_CLASSES = 1_000_000
TESTS = (("test_images", "test_labels"), ("x_test", "y_test"))


def _npz(path: Path) -> Images:
    """Arrays images (N, H, W) and labels (N,), or x_train, y_train, x_test, y_test."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except MemoryError:
        raise
    except Exception as error:  # bytes at random reach every corner of an archive's reader
        raise DataError(f"{path}: cannot be read: {error}") from None

    def pair(names: Sequence[tuple[str, str]]) -> Split | None:
        found = next((n for n in names if n[0] in arrays), None)
        if found is None:
            return None
        images = arrays[found[0]]
        if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
            images = images.squeeze(1 if images.shape[1] == 1 else 3)
        labels = arrays.get(found[1], np.zeros(len(images), dtype=np.int64))
        if (
            images.ndim != 3
            or 0 in images.shape[1:]
            or labels.shape != images.shape[:1]
            or not np.issubdtype(labels.dtype, np.integer)
        ):
            what = f"{found[0]} has shape {images.shape}, {found[1]} {labels.shape} of {labels.dtype}"
            raise DataError(f"{path}: {what}; expected (N, H, W) and N whole numbers")
        if len(labels) and not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
            raise DataError(f"{path}: {found[1]} goes from {labels.min()} to {labels.max()}; expected classes 0, 1, 2, ...")
        pixels = images / 255.0 if images.dtype == np.uint8 else images.astype(np.float64)
        if len(pixels) and not (pixels.min() >= 0 and pixels.max() <= 1):
            raise DataError(f"{path}: {found[0]} goes from {pixels.min():g} to {pixels.max():g}; expected [0, 1], or bytes")
        return Split(pixels, labels.astype(np.int64))

    first, test = pair(NAMES), pair(TESTS)
    if first is None:
        raise DataError(f"{path}: has {', '.join(arrays) or 'nothing'}; expected images (N, H, W) and labels (N,)")
    return _named(path.stem, first, test)


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())


def _image_folder(folder: Path) -> Images:
    """Images of one size, grey; a class is a folder's name."""
    from PIL import Image, UnidentifiedImageError

    paths = _pictures(folder)
    classes = sorted({p.parent for p in paths})
    arrays = []
    for path in paths:
        try:
            with Image.open(path) as image:
                arrays.append(np.asarray(image.convert("L"), dtype=np.float64) / 255.0)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
        if arrays[-1].shape != arrays[0].shape:
            raise DataError(
                f"{path}: has {arrays[-1].shape} pixels, and {paths[0].name} has {arrays[0].shape}: one size for all"
            )
    labels = np.array([classes.index(p.parent) for p in paths], dtype=np.int64)
    return _named(folder.name or str(folder), Split(np.stack(arrays), labels), None)


def _named(name: str, first: Split, test: Split | None) -> Images:
    """A data set of what is trained on and what is held out; without the latter, a part of the former."""
    train, held_out = (first, test) if test is not None else _split(first)
    if train.images.shape[1:] != held_out.images.shape[1:]:
        raise DataError(f"{name}: images of {train.images.shape[1:]} to train on, of {held_out.images.shape[1:]} held out")
    if not len(train) or not len(held_out):
        raise DataError(f"{name}: too few images to train on some and hold out others")
    return Images(name, train, held_out, int(max(train.labels.max(), held_out.labels.max())) + 1)


def _digits() -> Images:
    need("sklearn", purpose="the bundled digits")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    whole = Split(bunch.images / 16.0, bunch.target.astype(np.int64))
    return Images("digits", *_split(whole), 10)


def _split(whole: Split) -> tuple[Split, Split]:
    """A fifth of each class is held out, always the same rows."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(whole))
    held = np.zeros(len(whole), dtype=bool)
    for label in np.unique(whole.labels):
        rows = order[whole.labels[order] == label]
        held[rows[: round(HELD_OUT * len(rows))]] = True
    return Split(whole.images[~held], whole.labels[~held]), Split(whole.images[held], whole.labels[held])


def _idx_folder(folder: Path) -> Images:
    """One pair of files is split; of several, the pair named ``t10k`` or ``test`` is held out."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and "idx" in p.name)
    pairs: list[tuple[Path, Path]] = []
    for images in (p for p in files if "images" in p.name):
        stem = images.name.split("images")[0]
        labels = [p for p in files if p.name.startswith(stem + "labels")]
        if len(labels) != 1:
            raise DataError(f"{images}: needs one file {stem}labels* beside it, found {len(labels)}")
        pairs.append((images, labels[0]))
    if not pairs:
        raise DataError(f"{folder}: no IDX files, such as train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz")
    tests = [pair for pair in pairs if pair[0].name.startswith(("t10k", "test"))]
    trains = [pair for pair in pairs if pair not in tests] or tests
    if len(trains) != 1 or len(tests) > 1:
        raise DataError(
            f"{folder}: at most one pair of files to train on and one (t10k-*, test-*) to hold out, found {len(pairs)}"
        )
    first = _pair(*trains[0])
    train, held_out = (first, _pair(*tests[0])) if tests and tests != trains else _split(first)
    if train.images.shape[1:] != held_out.images.shape[1:]:
        raise DataError(f"{folder}: images of {train.images.shape[1:]} to train on, of {held_out.images.shape[1:]} held out")
    if not len(train) or not len(held_out):
        raise DataError(f"{folder}: too few images to train on some and hold out others")
    return Images(folder.name or str(folder), train, held_out, int(max(train.labels.max(), held_out.labels.max())) + 1)


def _pair(images: Path, labels: Path) -> Split:
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise DataError(f"{images}: {len(pixels)} images, and {len(classes)} labels in {labels.name}")
    return Split(pixels / 255.0, classes.astype(np.int64))


def read_idx(path: Path, rank: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, gzipped or not, of the given number of axes."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            header = stream.read(4 + 4 * rank)
            if len(header) < 4 + 4 * rank or header[:3] != bytes([0, 0, _UNSIGNED_BYTES]) or header[3] != rank:
                raise DataError(f"{path}: no IDX file of unsigned bytes with {rank} axes")
            shape = struct.unpack(f">{rank}I", header[4:])
            size = 1
            for length in shape:
                size *= length
            if size > 2**31:
                raise DataError(f"{path}: announces {size} bytes, more than 2 GiB")
            body = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if len(body) != size:
        raise DataError(f"{path}: announces {size} bytes, and has {'more' if len(body) > size else len(body)}")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)
