"""The emitted losses of the zoo, by the names of their classes: ``from ibsym.losses import <Name>Loss``.

They are the files of ``generated``; each needs PyTorch.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

_INSIDE = Path(__file__).resolve().parents[1] / "generated"
_FOLDER = _INSIDE if _INSIDE.is_dir() else _INSIDE.parents[1] / "generated"
__path__.append(str(_FOLDER))  # the emitted files are this package's modules: in a wheel inside ibsym, in a checkout beside it


def _named() -> dict[str, str]:
    """Class -> module."""
    stems = sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))
    return {"".join(word[:1].upper() + word[1:] for word in stem.split("_")) + "Loss": stem for stem in stems}


def __getattr__(name: str) -> Any:
    try:
        stem = _named()[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{stem}"), name)


def __dir__() -> list[str]:
    return sorted(_named())
