"""Launches of kernels that are repeated: the same ones, with the addresses of other tensors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Declined(Exception):
    """What kernels do not take; the expression computes it, or says what is wrong."""


class Launch(NamedTuple):
    """A kernel as it was launched: what runs it, and its arguments."""

    run: Any
    values: list[Any]


class Tape(NamedTuple):
    """Launches that are repeated with other tensors of the same kinds: where each argument's address comes from."""

    launches: list[tuple[Any, list[Any], list[tuple[int, int, int]]]]
    scratch: int

    def play(self, places: list[int], room: Tensor) -> None:
        """Runs them all; `places` are the addresses of arguments, gradients, the number above and the results."""
        work = room.new_empty(self.scratch) if self.scratch else room
        stream = torch.cuda.current_stream().cuda_stream
        bases = [*places, work.data_ptr()]
        for run, values, addressed in self.launches:
            arguments = list(values)
            for at, base, offset in addressed:
                arguments[at] = bases[base] + offset
            run(*arguments, stream=stream)


def taped(launches: Sequence[Launch | None], tensors: Sequence[Tensor | None], own: int) -> Tape | None:
    """The launches by where their arguments lie: in one of the first `own` tensors, or in the scratch that follows them.

    None where tensors share memory, since then there is no telling.
    """
    spans: list[tuple[int, int, int, int]] = []  # from, to, base, offset of a byte
    offset = 0
    for k, tensor in enumerate(tensors):
        if tensor is not None and tensor.numel():
            size = tensor.numel() * tensor.element_size()
            spans.append((tensor.data_ptr(), tensor.data_ptr() + size, min(k, own), offset if k >= own else 0))
            if k >= own:
                offset += blocks_of(size, 64) * 64
    spans.sort()
    if any(first[1] > second[0] for first, second in itertools.pairwise(spans)) or any(span[0] % 16 for span in spans):
        return None
    found = []
    for launch in launches:
        if launch is None:
            return None
        addressed = []
        for at, value in enumerate(launch.values):
            if isinstance(value, Tensor):
                place = value.data_ptr()
                span = next((s for s in spans if s[0] <= place < s[1]), None)
                if span is None:
                    return None
                addressed.append((at, span[2], span[3] + place - span[0]))
        found.append((launch.run, [None if isinstance(v, Tensor) else v for v in launch.values], addressed))
    return Tape(found, offset // 4)


def side_by_side(places: Sequence[int], like: Sequence[Tensor], found: list[Tensor | None]) -> None:
    """Room for gradients, side by side for each precision, so that one launch scales them."""
    for dtype in {like[k].dtype for k in places}:
        mine = [k for k in places if like[k].dtype is dtype]
        sizes = [blocks_of(like[k].numel(), 16) * 16 for k in mine]
        room = like[mine[0]].new_empty(sum(sizes))
        for k, part in zip(mine, room.split(sizes), strict=True):
            found[k] = part[: like[k].numel()].view(like[k].shape)


def blocks_of(number: int, block: int) -> int:
    """How many blocks hold a number of things."""
    return -(-number // block)


def power_above(number: int) -> int:
    """The power of two that is not below a number."""
    return 1 << (number - 1).bit_length()
