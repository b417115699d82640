"""One file per distribution: its facts, and log-density, entropy and relative entropies as SymPy, right at the extremes."""

from __future__ import annotations

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
