"""What can go wrong in training, and the packages that it needs."""

from __future__ import annotations

from importlib.util import find_spec

from ibsym.errors import IbsymError, MissingDependencyError, Place, SpecError, TrainingError

__all__ = ["DataError", "TrainingError", "need", "need_all", "refused"]

PACKAGES = {"torch": "PyTorch", "sklearn": "scikit-learn", "matplotlib": "matplotlib", "lightning_fabric": "Lightning"}
PACKAGES |= {"PIL": "Pillow", "constriction": "constriction", "optuna": "Optuna", "pyarrow": "PyArrow"}


class DataError(IbsymError):
    """A data set or a checkpoint cannot be used: says which file and what is wrong with it."""


def need(*modules: str, purpose: str = "training", extra: str = "train") -> None:
    """Raise :class:`~ibsym.errors.MissingDependencyError` with the command that installs what is not there, all of it at once."""
    missing = [PACKAGES[module] for module in modules if find_spec(module) is None]
    if missing:
        raise MissingDependencyError(f"{purpose} needs {' and '.join(missing)}\n  write: pip install 'ibsym[{extra}]'")


def need_all(data: object, folder: object) -> None:
    """Everything that a run with these data and this folder needs."""
    need(
        "torch",
        *(["sklearn"] if str(data) == "digits" else []),
        *(["matplotlib"] if folder is not None else []),
        "lightning_fabric",
    )


def refused(message: str, *, option: str, remedy: str) -> SpecError:
    """An error about an option of a run, which stands in no file.

    >>> print(refused("unknown dimension Q", option="--set", remedy="L=8"))
    --set: unknown dimension Q
      write: L=8
    """
    return SpecError(message, key=option, remedy=remedy, place=Place(file=option))
