"""The reductions of a loss that has no value for a single row."""

from __future__ import annotations

from torch import Tensor

_WHY = ""


def _reduced(loss: Tensor, reduction: str, batch: int) -> Tensor:
    """The loss, or the loss times the size of the first batch."""
    if reduction not in ("mean", "sum"):
        why = f"; 'none' needs per-row averages over one batch: {_WHY}" if reduction == "none" else ""
        raise ValueError(f"the reduction is 'mean' or 'sum', not {reduction!r}{why}")
    return loss if reduction == "mean" else loss * batch
