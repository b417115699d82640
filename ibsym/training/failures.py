"""What can go wrong in training, and the packages that it needs."""

from __future__ import annotations

from importlib.util import find_spec

from ibsym.errors import IbsymError, MissingDependencyError, Place, SpecError

PACKAGES = {"torch": "torch", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


class DataError(IbsymError):
    """A data set or a checkpoint cannot be used: says which file and what is wrong with it."""


class TrainingError(IbsymError):
    """A run cannot go on: a loss that is no number."""


def need(module: str, purpose: str = "training") -> None:
    """Raise :class:`~ibsym.errors.MissingDependencyError` with the command that installs the package, if it is not there."""
    if find_spec(module) is None:
        raise MissingDependencyError(f"{purpose} needs {PACKAGES[module]}: pip install {PACKAGES[module]}")


def refused(message: str, *, option: str, remedy: str) -> SpecError:
    """An error about an option of a run, which stands in no file.

    >>> print(refused("Q is no dimension", option="--set", remedy="L=8"))
    --set: Q is no dimension
      write: L=8
    """
    return SpecError(message, key=option, remedy=remedy, place=Place(file=option))
