"""digest -> the model: where a file's model may lie, since a file has no room for it and names it by its digest only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ibsym.coding.codec import Codec
from ibsym.coding.container import CodeError, Contents
from ibsym.coding.run import codec_of
from ibsym.errors import IbsymError
from ibsym.files import write
from ibsym.training.checkpoint import CHECKPOINT

MOST = 200  # folders that are looked into


def notes() -> Path:
    """Where it is noted which folder had a model: $IBSYM_CACHE_DIR, $XDG_CACHE_HOME/ibsym or ~/.cache/ibsym."""
    chosen, home = os.environ.get("IBSYM_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME")
    return (Path(chosen) if chosen else (Path(home) if home else Path.home() / ".cache") / "ibsym") / "models"


def remember(codec: Codec, folder: Path) -> None:
    """Notes a model's folder; where nothing can be noted, a reader has to name it."""
    try:
        write(notes() / f"{codec.digest.hex()}.txt", str(folder.resolve()))
    except (OSError, RuntimeError, UnicodeEncodeError):
        return


def noted(digest: bytes) -> Iterator[Path]:
    """The folder that was noted."""
    try:
        yield Path((notes() / f"{digest.hex()}.txt").read_text(encoding="utf-8"))
    except (OSError, RuntimeError, UnicodeDecodeError):
        return


def near(file: Path) -> Iterator[Path]:
    """Folders of runs around the file and around the working folder, two levels deep."""
    for start in dict.fromkeys((file.resolve().parent, Path.cwd())):
        for pattern in (CHECKPOINT, f"*/{CHECKPOINT}", f"*/*/{CHECKPOINT}"):
            yield from (p.parent for p in sorted(start.glob(pattern)))


def codec_for(found: Contents, file: Path, named: Path | None) -> Codec:
    """The model that a file names: in the folder that the user names, in the one that was noted, or near by."""
    if named is not None:
        return codec_of(named)
    for folder in islice((*noted(found.digest), *near(file)), MOST):
        try:
            codec = codec_of(folder)
        except (IbsymError, OSError):  # a run of another kind
            continue
        if codec.digest == found.digest:
            return codec
    raise CodeError(
        f"{file}: written by the model with digest {found.digest.hex()}, which is not near by\n"
        "  write: --model DIR, the folder of the run that it was compressed with"
    )
