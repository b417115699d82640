"""min over the model's parameters of the emitted loss, min over each critic's of its own: any spec, on real data.

Torch is imported by the modules of this package, not here, so that the rest works without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibsym.training.failures import DataError, TrainingError, need

if TYPE_CHECKING:
    from ibsym.spec.model import Spec
    from ibsym.training.run import Result

__all__ = ["DataError", "TrainingError", "need", "train"]


def train(spec: Spec, loss_class: Any, **options: Any) -> Result:
    """Train small default networks with the emitted loss; the options are those of :func:`ibsym.training.run.run`."""
    need("torch")
    from ibsym.training.run import run

    return run(spec, loss_class, **options)
