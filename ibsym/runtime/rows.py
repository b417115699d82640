"""The reductions of a loss that has a value for every row."""

from __future__ import annotations

from torch import Tensor


def _reduced(per_row: Tensor, reduction: str) -> Tensor:
    """The mean over rows, their sum, or every row."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"the reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    return per_row if reduction == "none" else per_row.mean() if reduction == "mean" else per_row.sum()
