"""Images as bytes (N, H, W) from files of one size, and back; a folder of them is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ibsym.coding.codec import Bytes
from ibsym.coding.container import MOST_IMAGES, MOST_PIXELS
from ibsym.training.checkpoint import locked
from ibsym.training.data import PICTURES
from ibsym.training.failures import DataError, need


def gather(places: Sequence[Path]) -> list[Path]:
    """The image files that are named, and those of each folder that is, sorted by name."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(p for p in place.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
            if not inside:
                raise DataError(f"{place}: holds no images\n  write: a folder of {', '.join(PICTURES)} files")
            found += inside
        elif place.exists():
            found.append(place)
        else:
            raise DataError(f"{place}: no such file or folder\n  write: a folder of images, or image files")
    return found


def load(places: Sequence[Path], height: int, width: int) -> Bytes:
    """The images, grey; one of another size is refused before it is decoded."""
    need("PIL", purpose="compression", extra="compression")
    from PIL import Image, UnidentifiedImageError

    paths = gather(places)
    if len(paths) > MOST_IMAGES or len(paths) * height * width > MOST_PIXELS:
        raise DataError(f"{len(paths)} images, and a file may hold {min(MOST_IMAGES, MOST_PIXELS // (height * width))}")
    found = np.empty((len(paths), height, width), np.uint8)
    for row, path in zip(found, paths, strict=True):
        try:
            with Image.open(path) as image:
                if image.size != (width, height):
                    raise DataError(
                        f"{path}: has {image.size[1]} x {image.size[0]} pixels, and the model's images have {height} x {width}\n"
                        "  write: images of that size"
                    )
                row[:] = np.asarray(image.convert("L"))
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataError(f"{path}: cannot be read as an image: {str(error)[:200]}\n  write: image files") from None
    return found


def save(folder: Path, parts: Iterable[Bytes], number: int) -> None:
    """Images as 0.png, 1.png, ... in a folder beside, which then takes the name: what goes wrong on the way leaves nothing.

    What a killed call left is removed by the next one of the same name; a folder that another one is writing is locked.
    """
    need("PIL", purpose="compression", extra="compression")
    from PIL import Image

    check(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}-*.part"):
        abandon(left)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=folder.parent))
    try:
        with locked(made):
            place, digits = 0, len(str(max(0, number - 1)))
            for part in parts:
                for image in part:
                    Image.fromarray(image).save(made / f"{place:0{digits}}.png")
                    place += 1
            mask = os.umask(0)
            os.umask(mask)
            made.chmod(0o777 & ~mask)
            os.replace(made, folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def check(folder: Path) -> None:
    """A folder that holds something is not written into."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder}: is there, and is not a folder\n  write: -o with another name")
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder}: is not empty\n  write: -o with a folder that is, or a new one")


def abandon(left: Path) -> None:
    """Removes a folder that a killed call left; one that is being written is locked, and stays."""
    try:
        with locked(left):
            shutil.rmtree(left, ignore_errors=True)
    except (DataError, OSError):
        return
