"""A variable's values as networks see them: numbers, one-hot or relaxed codes; the class index beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ibsym.runtime import ranks
from ibsym.runtime.tensors import _permuted


@dataclass(eq=False)  # not frozen: torch.compile makes no frozen ones
class Value:
    """``code`` has leading axes (B or S, B) and the event's; a categorical code has K numbers a symbol, and ``index`` its class."""

    code: Tensor
    event: int
    index: Tensor | None = None

    @staticmethod
    def of_class(index: Tensor, classes: int, dtype: torch.dtype, symbols: int = 0) -> Value:
        """Class indices, and their one-hot codes; of an array of symbols with so many axes."""
        return Value(torch.nn.functional.one_hot(index, classes).to(dtype), 1 + symbols, index)

    @property
    def lead(self) -> tuple[int, ...]:
        """The axes in front of the event's."""
        return tuple(self.code.shape[: self.code.dim() - self.event])

    @property
    def flat(self) -> Tensor:
        """The code with one event axis."""
        return self.code.flatten(-self.event) if self.event > 1 else self.code

    def detach(self) -> Value:
        """The same value, cut from what computed it."""
        return Value(self.code.detach(), self.event, self.index)

    def to(self, device: torch.device) -> Value:
        """The same value on a device."""
        if self.code.device == device:
            return self
        return Value(self.code.to(device), self.event, None if self.index is None else self.index.to(device))

    def take(self, rows: Tensor | slice) -> Value:
        """The same rows of every draw."""
        before = (slice(None),) * (len(self.lead) - 1)
        index = None if self.index is None else self.index[*before, rows]
        return Value(self.code[*before, rows], self.event, index)

    def across(self, group: Any) -> Value:
        """Every coordinate from another row, of those on all ranks of a group, so that they are independent of one another."""
        axis = -1 - self.event
        if group is None:
            return Value(_permuted(self.code, None, axis), self.event)
        return Value(ranks.permuted(_permuted, self.code, None, axis, group), self.event)

    def of_all(self, group: Any) -> Value:
        """The rows of all ranks of a group; gradients return to the rank whose rows they are."""
        axis = len(self.lead) - 1
        index = None if self.index is None else ranks.gathered(self.index, group, axis)
        return Value(ranks.gathered(self.code, group, axis), self.event, index)

    def expanded(self, lead: tuple[int, ...]) -> Value:
        """The same value with more leading axes."""
        index = None if self.index is None else self.index.expand(*lead, *self.index.shape[len(self.lead) :])
        return Value(self.code.expand(*lead, *self.code.shape[len(self.lead) :]), self.event, index)

    def repeated(self, draws: int) -> Value:
        """The same rows along a leading axis S."""
        index = None if self.index is None else self.index.expand(draws, *self.index.shape)
        return Value(self.code.expand(draws, *self.code.shape), self.event, index)

    def pooled(self) -> Value:
        """Draws along S become rows."""
        if len(self.lead) < 2:
            return self
        index = None if self.index is None else self.index.flatten(0, len(self.lead) - 1)
        return Value(self.code.flatten(0, len(self.lead) - 1), self.event, index)


def stacked(values: Sequence[Value]) -> Value:
    """The rows of several batches below one another, draw by draw."""
    first = values[0]
    axis = len(first.lead) - 1
    index = None if first.index is None else torch.cat([v.index for v in values if v.index is not None], axis)
    return Value(torch.cat([v.code for v in values], axis), first.event, index)


def beside(values: list[Value]) -> Tensor:
    """The flat codes of several variables, concatenated; a Monte-Carlo axis of one is shared by all."""
    lead = torch.broadcast_shapes(*(v.lead for v in values))
    return torch.cat([v.flat.expand(*lead, v.flat.shape[-1]) for v in values], -1)


Rows = dict[str, Value]
