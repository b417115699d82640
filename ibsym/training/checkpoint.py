"""The folder of a run: held by one run at a time, never overwritten unasked, and at every moment something to go on from."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ibsym.files import sweep, write
from ibsym.training.failures import DataError

CHECKPOINT, METRICS, TERMS, SAMPLES = "checkpoint.pt", "metrics.json", "terms.png", "samples.png"
FILES = (CHECKPOINT, METRICS, TERMS, SAMPLES)
FORMAT = 1
SHARE = 20  # a picture that takes a second is drawn anew after twenty


def check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """A folder that holds a run is gone on with or begun anew, as the user says; neither is done without a word."""
    if resume and overwrite:
        raise DataError(f"{folder}: --resume goes on with a run, and --overwrite begins it anew\n  write: one of them")
    if resume and not (folder / CHECKPOINT).is_file():
        raise DataError(f"{folder / CHECKPOINT}: nothing to resume\n  write: the same command without --resume")
    found = [name for name in FILES if os.path.lexists(folder / name)]
    if found and not (resume or overwrite):
        raise DataError(
            f"{folder}: holds a run already ({', '.join(found)})\n"
            "  write: --resume to go on with it, --overwrite to begin anew, or -o with another folder"
        )


@contextmanager
def held(folder: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """The folder, this run's alone until it ends; an earlier run's files are gone if it is to be overwritten.

    The lock is the system's, on the folder itself: it ends with the process, however that ends, and leaves no file.
    """
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        check_folder(folder, resume=resume, overwrite=overwrite)
        with written(folder):
            sweep(folder, FILES)
            for name in FILES if overwrite else ():
                (folder / name).unlink(missing_ok=True)
        yield


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """An exclusive lock on a folder; none where the system or the file system has no locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                what = f"{folder}: another run is at work in this folder"
                raise DataError(f"{what}\n  write: -o with another folder, or the same command when it has ended") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """What the system says of a file that cannot be written, with the file's name and what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise DataError(f"{where}: cannot be written: {error.strerror or error}\n  write: -o with a folder that can") from None


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> Path:
    """The state of a run, in one file of tensors and plain values."""
    path, buffer = folder / CHECKPOINT, io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    write(path, buffer.getvalue())
    return path


def load_checkpoint(folder: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The state that was saved there, of the same run; tensors and plain values only, nothing is executed."""
    path = folder / CHECKPOINT
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # bytes at random reach every corner of an unpickler
        told = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise DataError(f"{path}: not a checkpoint of ours: {told}\n  write: --overwrite to begin anew") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT or not isinstance(state.get("fingerprint"), dict):
        raise DataError(f"{path}: not a checkpoint of this version\n  write: --overwrite to begin anew")
    for key, value in fingerprint.items():
        if state["fingerprint"].get(key) != value:
            was = state["fingerprint"].get(key)
            raise DataError(
                f"{path}: another run: {key} was {was!r:.60}, now {value!r:.60}\n  write: -o with another folder, or --overwrite"
            )
    return state


@contextmanager
def taken_up(folder: Path) -> Iterator[None]:
    """What of a state does not fit what is trained: networks of another size, parts that are missing or of another kind."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = (lines[1] if len(lines) > 1 else f"{type(error).__name__}: {error}")[:200]
        what = f"{folder / CHECKPOINT}: cannot be gone on with: {told}"
        raise DataError(f"{what}\n  write: the networks that it was written with, or --overwrite to begin anew") from error


def save_metrics(folder: Path, content: Mapping[str, Any]) -> Path:
    """The numbers of a run as JSON."""
    path = folder / METRICS
    write(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=True) + "\n")
    return path


class Sparing:
    """Writes that take a share of the time at most, at the first call and at the end whatever they take."""

    def __init__(self, save: Callable[[], object]):
        self.save, self.again, self.stale = save, 0.0, False

    def now(self) -> None:
        """Write, and think of what it took."""
        began = time.monotonic()
        self.save()
        self.again, self.stale = time.monotonic() + SHARE * (time.monotonic() - began), False

    def soon(self) -> None:
        """Write if the last time is long enough ago."""
        self.stale = True
        if time.monotonic() >= self.again:
            self.now()

    def last(self) -> None:
        """Write if anything has changed since."""
        if self.stale:
            self.now()
