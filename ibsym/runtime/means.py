# ruff: noqa: B006  what has been told is kept from call to call
"""Means over rows and draws, and rows set against one another: of this process, or of all ranks of a group."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from .beside import _runtime


def _mean(values: Tensor, group: Any, kind: str = "mean") -> Any:
    """The mean, or the sum, over all rows and draws; with a group, over those of all its ranks."""
    return getattr(values, kind)() if group is None else _runtime()["mean"](values, group, kind)


def _all_rows(group: Any, dim: int, *values: Tensor) -> Any:
    """The values; with a group, their rows on all its ranks, along `dim`."""
    return values if group is None else _runtime()["rows"](group, dim, *values)


def _matched(pairs: Tensor, group: Any) -> Any:
    """The scores of what belongs together; with a group, of this rank's rows among the columns of all."""
    return pairs.diagonal(dim1=-2, dim2=-1) if group is None else _runtime()["matched"](pairs, group)


def _alone(loss: Any, told: list[int] = []) -> None:
    """One warning, where each of several ranks takes its own rows for the whole batch."""
    ranks = torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_world_size()
    if ranks > 1 and loss.group is None and not told:
        told.append(ranks)
        why = f"{', '.join(loss.BATCH_COUPLED)} compares the rows of one of {ranks} ranks alone"
        warnings.warn(f"{why}\n  write: {type(loss).__name__}(group=torch.distributed.group.WORLD)", stacklevel=5)
