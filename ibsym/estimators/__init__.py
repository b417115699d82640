"""Estimators of terms that cannot be evaluated: one file each, which are found by being here and hold one ``ESTIMATOR``."""

from __future__ import annotations

import importlib
import pkgutil

from ibsym.estimators.base import Estimator


def _found() -> dict[str, Estimator]:
    found: dict[str, Estimator] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name != "base"):
        estimator: Estimator = importlib.import_module(f"{__name__}.{module}").ESTIMATOR
        if estimator.name.replace("-", "_") != module:
            raise ValueError(f"the file of the estimator {estimator.name!r} is called {module}.py")
        found[estimator.name] = estimator
    return found


ESTIMATORS = _found()
ONE_SIDED = {e.name: e.one_sided for e in ESTIMATORS.values() if e.one_sided is not None}
"""Estimators that bound what they estimate, whatever is learned, and from which side."""
