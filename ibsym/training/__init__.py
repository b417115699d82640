"""min over the model's parameters of the emitted loss, min over each critic's of its own: any spec, on real data.

Torch is imported by the modules of this package, never here, so that everything else works without it.
"""

from __future__ import annotations

from ibsym.training.failures import DataError, TrainingError

__all__ = ["DataError", "TrainingError"]
