"""log softmax(h W' + b) at one class a row, and its gradients, by blocks of rows: the products are never stored.

A block's products, and after them their exponentials, are all that there is of the table of rows by classes. Where every row counts
alike, as in a mean, the gradients are known with the values; where rows are weighted, those that all rows share are computed again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ._ibsym_runtime import _transformed

LEAST = 64
"""Rows of a block: fewer would leave the products waiting for memory."""


@functools.cache
def cache() -> int:
    """Bytes of the cache that belongs to one core; a usual number where the machine does not tell."""
    try:
        told = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text(encoding="ascii").strip()
        return int(told.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 1 << 20


def block(hidden: Tensor, weight: Tensor) -> int:
    """How many rows are taken together: what the cache holds, on other devices what is little beside their memory."""
    room = cache() if hidden.is_cpu else 1 << 28
    return min(len(hidden), max(LEAST, room // (weight.element_size() * max(1, len(weight)))))


def log_share(
    plain: Callable[..., Tensor], hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor
) -> Tensor | None:
    """log softmax(h W' + b)_v, hidden (..., N), weight (K, N), bias (K,), index (...).

    None where ``plain`` is to run, the same through the table of rows by classes.
    """
    given = [t for t in (hidden, weight, bias) if t is not None]
    if torch._C._get_tracing_state() is not None or _transformed() or not (weight.numel() and index.numel()):
        return None
    for name, tensor in zip(("hidden", "weight", "bias"), given, strict=False):
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise TypeError(f"{name}: {tensor.dtype} has too few digits for a sum over classes\n  write: {name}.float()")
        if tensor.dtype is not hidden.dtype:
            raise TypeError(f"{name}: {tensor.dtype}, and hidden is {hidden.dtype}\n  write: one precision")
    lead = torch.broadcast_shapes(hidden.shape[:-1], index.shape)
    rows = hidden.expand(*lead, -1).reshape(-1, hidden.shape[-1])
    picked: Tensor = _LogShare.apply(plain, rows, weight, bias, index.expand(lead).reshape(-1).long())
    return picked.reshape(lead)


class _LogShare(torch.autograd.Function):
    """A second derivative goes through the plain formula, so that it is never a constant."""

    @staticmethod
    def forward(ctx, plain, hidden, weight, bias, index):  # type: ignore[no-untyped-def]
        wanted = ctx.needs_input_grad[1:4]
        with torch.autocast(hidden.device.type, enabled=False):
            value, gradients = _blocks(hidden, weight, bias, index, None, wanted)
        ctx.plain, ctx.gradients, ctx.has_bias = plain, gradients, bias is not None
        ctx.save_for_backward(hidden, weight, *([] if bias is None else [bias]), index)
        return value

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        *given, index = ctx.saved_tensors
        needed = ctx.needs_input_grad[1 : 1 + len(given)]
        result: list[Tensor | None] = [None, None, None]
        alike = None if torch.is_grad_enabled() or _transformed() else _alike(upstream)
        if alike is None:
            graph = torch.is_grad_enabled()
            with torch.enable_grad():
                own = [t.view_as(t) if graph else t.detach().requires_grad_() for t in given]  # of this node alone
                value = ctx.plain(*own, *([] if ctx.has_bias else [None]), index)
            wanted = [k for k, is_needed in enumerate(needed) if is_needed]
            slopes = torch.autograd.grad(value, [own[k] for k in wanted], upstream, create_graph=graph)
            for k, gradient in zip(wanted, slopes, strict=True):
                result[k] = gradient
            return (None, *result, None)
        found, ctx.gradients = ctx.gradients, None  # given away; whoever comes again computes again
        if found is None or not alike:
            again = (ctx.needs_input_grad[1] and found is None, *ctx.needs_input_grad[2:4])
            with torch.autocast(upstream.device.type, enabled=False):
                bias = given[2] if ctx.has_bias else None
                fresh = _blocks(given[0], given[1], bias, index, None if alike else upstream, again)[1]
            found = fresh if found is None else [found[0], *fresh[1:]]
        rows, shared = found[0], found[1:]
        if rows is not None:
            rows.mul_(upstream.unsqueeze(-1))
        if alike:
            shared = [None if g is None else g.mul_(upstream[0]) for g in shared]
        return (None, rows, *shared, None)


def _alike(upstream: Tensor) -> bool | None:
    """Whether all rows are weighted alike; None of a batch of upstream gradients, where there is no telling."""
    try:
        return bool((upstream == upstream[0]).all())
    except RuntimeError:
        return None


def _blocks(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor, weights: Tensor | None, wanted: Any
) -> tuple[Tensor, list[Tensor | None]]:
    """The values, and their sum's gradients: in what all rows share, each row's value times its weight."""
    rows, classes = len(hidden), len(weight)
    size = block(hidden, weight)
    value, room = hidden.new_empty(rows), hidden.new_empty(size * classes)
    to_hidden = torch.empty_like(hidden) if wanted[0] else None
    to_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format) if wanted[1] else None
    to_bias = torch.zeros_like(bias) if bias is not None and wanted[2] else None
    for start in range(0, rows, size):
        part = slice(start, start + size)
        x, own = hidden[part], index[part].unsqueeze(0)
        table = room[: classes * len(x)].view(classes, len(x))  # classes first: the products are faster so
        if bias is None:
            torch.mm(weight, x.T, out=table)
        else:
            torch.addmm(bias.unsqueeze(-1), weight, x.T, out=table)
        top, picked = table.amax(0), table.gather(0, own).squeeze(0)
        table.sub_(top).exp_().scatter_(0, own, 0.0)
        others, less = table.sum(0), picked - top  # apart, as a class that is sure would swallow them
        value[part] = less - torch.log1p(others + torch.expm1(less))
        if to_hidden is None and to_weight is None and to_bias is None:
            continue
        table.scatter_(0, own, -others.unsqueeze(0))
        scale = -1 / (others + less.exp())
        if to_hidden is not None:
            torch.mm(table.T, weight, out=to_hidden[part]).mul_(scale.unsqueeze(-1))
        if weights is not None:
            scale = scale * weights[part]
        if to_weight is not None:
            to_weight.addmm_(table, x * scale.unsqueeze(-1))
        if to_bias is not None:
            to_bias.addmv_(table, scale)
    return value, [to_hidden, to_weight, to_bias]
