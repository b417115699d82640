"""The reductions of a loss that has no value for a single row."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .beside import _runtime

_WHY = ""


def _reduced(loss: Tensor, reduction: str, batch: int, group: Any = None) -> Tensor:
    """The loss, or the loss times the size of the first batch."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"the reduction is 'mean' or 'sum', not {reduction!r}; no row has a loss of its own: {_WHY}")
    return loss if reduction == "mean" else loss * (batch if group is None else _runtime()["size"](batch, loss, group))
