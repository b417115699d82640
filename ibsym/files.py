"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """The content in a temporary file beside it, then renamed: a reader never sees half of a file, and an error leaves the old one.

    An error names the file that was to be written, whatever step failed.
    """
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder", str(path))
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error


def sweep(folder: Path, names: tuple[str, ...]) -> None:
    """Remove what writers of these files left behind when they were killed; nobody may be writing there."""
    for path in map(Path, names):
        for left in folder.glob(f".{path.stem}-*{path.suffix}"):
            left.unlink(missing_ok=True)
