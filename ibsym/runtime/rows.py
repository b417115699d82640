"""The reductions of a loss that has a value for every row."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .means import _mean


def _reduced(per_row: Tensor, reduction: str, group: Any = None) -> Tensor:
    """The mean over rows, their sum, or every row."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"the reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    return per_row if reduction == "none" else _mean(per_row, group, "mean" if reduction == "mean" else "sum")
