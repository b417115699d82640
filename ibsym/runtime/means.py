"""Means over rows and draws, and rows set against one another: of this process, or of all ranks of a group."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .beside import _runtime


def _mean(values: Tensor, group: Any, kind: str = "mean") -> Any:
    """The mean, or the sum, over all rows and draws; with a group, over those of all its ranks."""
    return getattr(values, kind)() if group is None else _runtime()["mean"](values, group, kind)


def _all_rows(group: Any, dim: int, *values: Tensor) -> Any:
    """The values; with a group, their rows on all its ranks, along `dim`."""
    return values if group is None else _runtime()["rows"](group, dim, *values)


def _pairs(group: Any, dim: int, value: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """The value of each row i and the parameters of every row j, of all ranks, to be set against one another on axes i, j."""
    value, *others = (value, *parameters) if group is None else _runtime()["rows"](group, dim, value, *parameters)
    return value.unsqueeze(dim), *(t.unsqueeze(dim - 1) for t in others)


def _matched(pairs: Tensor, group: Any) -> Any:
    """The scores of what belongs together; with a group, of this rank's rows among the columns of all."""
    return pairs.diagonal(dim1=-2, dim2=-1) if group is None else _runtime()["matched"](pairs, group)


def _pair_cross_entropy(pairs: Tensor, group: Any) -> Any:
    """The mean over rows of -log softmax of a row's scores at what belongs to it; with a group, over the rows of all its ranks."""
    if group is None and pairs.dim() == 2:
        return F.cross_entropy(pairs, torch.arange(len(pairs), device=pairs.device))
    return -_mean(_matched(pairs.log_softmax(-1), group), group)
