"""log softmax(h W' + b) at one class a row, and its gradients, by blocks of rows: the products are never stored.

A block's products, and after them their exponentials, are all that there is of the table of rows by classes. Where every row counts
alike, as in a mean, the gradients are known with the values; where rows are weighted, those that all rows share are computed again.
On a GPU a kernel visits each row of a block once; halves are multiplied as they are, into sums in float32.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ._ibsym_runtime import HALVES, _transformed, defined

LEAST = 64
"""Rows of a block: fewer would leave the products waiting for memory."""

ROOM = 1 << 26
"""Bytes of a block's products on a GPU: little beside the gradients, and rows enough to fill it."""

KERNELS = ""
"""The text of `stream_kernels.py`, where that is not beside this."""


@functools.cache
def cache() -> int:
    """Bytes of the cache that belongs to one core; a usual number where the machine does not tell."""
    try:
        told = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text(encoding="ascii").strip()
        return int(told.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 1 << 20


def block(hidden: Tensor, weight: Tensor, tables: int = 1) -> int:
    """How many rows are taken together: what the cache holds; on a GPU, whole tiles of a product."""
    if hidden.is_cpu:
        fit = max(LEAST, cache() // (tables * weight.element_size() * max(1, len(weight))))
    else:
        fit = max(128, ROOM // (4 * max(1, len(weight))) // 128 * 128)
    return max(1, min(len(hidden), fit))


def kernels_of(tensor: Tensor) -> dict[str, Any] | None:
    """Triton's kernels, for a tensor on a GPU."""
    return compiled_kernels() if tensor.is_cuda else None


@functools.cache
def compiled_kernels() -> dict[str, Any] | None:
    """The kernels by name, compiled at first use; None, and one notice, without Triton."""
    try:
        triton = importlib.import_module("triton")
    except ImportError:
        logging.getLogger("ibsym").warning(
            "rows of products are visited several times: triton is missing\n  write: pip install triton"
        )
        return None
    text = KERNELS or Path(__file__).with_name("stream_kernels.py").read_text("utf-8")
    space = defined(text, "stream_kernels.py")
    space["tl"] = triton.language
    return {n: triton.jit(space[f"_{n}"]) for n in ("row_shares", "column_sums", "pair_slopes")}


def log_share(
    plain: Callable[..., Tensor], hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor
) -> Tensor | None:
    """log softmax(h W' + b)_v, hidden (..., N), weight (K, N), bias (K,), index (...).

    None where ``plain`` is to run, the same through the table of rows by classes.
    """
    given = [t for t in (hidden, weight, bias) if t is not None]
    if torch._C._get_tracing_state() is not None or _transformed() or not (weight.numel() and index.numel()):
        return None
    if hidden.is_cuda and any(t.dtype in HALVES for t in given):
        hidden, weight = (t.to(torch.promote_types(hidden.dtype, weight.dtype)) for t in (hidden, weight))
    else:
        _alone(hidden=hidden, weight=weight, bias=bias)
    if index.is_cuda:  # as an index out of bounds does elsewhere; nobody waits for it
        torch._assert_async(((index >= 0) & (index < len(weight))).all(), "a class out of bounds")
    elif index.is_cpu and not torch.compiler.is_compiling():
        least, most = int(index.min()), int(index.max())
        if least < 0 or most >= len(weight):
            raise IndexError(f"classes from {least} to {most} are out of bounds: weight has {len(weight)} rows, from 0 on")
    lead = torch.broadcast_shapes(hidden.shape[:-1], index.shape)
    rows = hidden.expand(*lead, -1).reshape(-1, hidden.shape[-1])
    picked: Tensor = _LogShare.apply(plain, rows, weight, bias, index.expand(lead).reshape(-1).long())
    return picked.reshape(lead)


def _alone(**given: Tensor | None) -> None:
    """Refuses halves, and precisions that differ, by name."""
    first, *_ = given
    for name, tensor in given.items():
        if tensor is not None and tensor.dtype in HALVES:
            raise TypeError(f"{name}: {tensor.dtype} has too few digits for a sum over classes\n  write: {name}.float()")
        if tensor is not None and tensor.dtype is not (leader := given[first]).dtype:  # type: ignore[union-attr]
            raise TypeError(f"{name}: {tensor.dtype}, and {first} is {leader.dtype}\n  write: one precision")  # type: ignore[union-attr]


def _by_formula(
    plain: Callable[..., Any], given: Sequence[Tensor | None], rest: Sequence[Any], upstream: Any, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients through the plain formula: what second derivatives and batches of upstream gradients need."""
    graph = torch.is_grad_enabled()
    result: list[Tensor | None] = [None] * len(given)
    with torch.enable_grad():
        own = [t if t is None else t.view_as(t) if graph else t.detach().requires_grad_() for t in given]  # of this node alone
        value = plain(*own, *rest)
    wanted = [k for k, is_needed in enumerate(needed) if is_needed]
    slopes = torch.autograd.grad(value, [own[k] for k in wanted], upstream, create_graph=graph)  # type: ignore[arg-type]
    for k, gradient in zip(wanted, slopes, strict=True):
        result[k] = gradient
    return result


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
        hidden, weight, *rest, index = ctx.saved_tensors
        bias, needed = rest[0] if rest else None, ctx.needs_input_grad[1:4]
        alike = None if torch.is_grad_enabled() or _transformed() else _alike(upstream)
        if alike is None:
            return (None, *_by_formula(ctx.plain, (hidden, weight, bias), (index,), upstream, needed), None)
        found, ctx.gradients = ctx.gradients, None  # given away; whoever comes again computes again
        weighted = found is None and not alike  # the rows' own too
        if found is None or not alike:
            again = (needed[0] and found is None, *needed[1:])
            with torch.autocast(upstream.device.type, enabled=False):
                fresh = _blocks(hidden, weight, bias, index, None if alike else upstream, again)[1]
            found = fresh if found is None else [found[0], *fresh[1:]]
        rows, shared = found[0], found[1:]
        if rows is not None and not weighted:
            rows.mul_(upstream.unsqueeze(-1))
        if alike:
            shared = [None if g is None else g.mul_(upstream[0]) for g in shared]
        shared = [None if g is None else g.to(t.dtype) for g, t in zip(shared, (weight, bias), strict=True)]
        return (None, rows, *shared, None)


def _alike(upstream: Tensor) -> bool | None:
    """Whether all rows are weighted alike; None of a batch of upstream gradients, where there is no telling.

    Of an expanded number its strides tell; else a GPU is waited for, but while its work is being recorded: nothing is known then.
    """
    try:
        if not any(upstream.stride()):
            return True
        if upstream.is_cuda and torch.cuda.is_current_stream_capturing():
            return False
        return bool((upstream == upstream[0]).all())
    except RuntimeError:
        return None


def _blocks(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor, weights: Tensor | None, wanted: Any
) -> tuple[Tensor, list[Tensor | None]]:
    """The values, and the gradients of their sum, or of the sum of each times its weight."""
    kernels = kernels_of(hidden)
    if kernels is not None or hidden.dtype in HALVES:
        with torch.cuda.device_of(hidden):
            return _rows_first(kernels, hidden, weight, bias, index, weights, wanted)
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
        if weights is not None:
            scale = scale * weights[part]
        if to_hidden is not None:
            torch.mm(table.T, weight, out=to_hidden[part]).mul_(scale.unsqueeze(-1))
        if to_weight is not None:
            to_weight.addmm_(table, x * scale.unsqueeze(-1))
        if to_bias is not None:
            to_bias.addmv_(table, scale)
    return value, [to_hidden, to_weight, to_bias]


def _rows_first(
    kernels: dict[str, Any] | None,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    index: Tensor,
    weights: Tensor | None,
    wanted: Any,
) -> tuple[Tensor, list[Tensor | None]]:
    """The same on a GPU: a block has the classes of a row side by side, and is visited once; sums of halves are in float32."""
    rows, classes, dtype = len(hidden), len(weight), torch.promote_types(hidden.dtype, torch.float32)
    size, learning = block(hidden, weight), any(wanted)
    bias, weights = (t if t is None else t.contiguous() for t in (bias, weights))
    index = index.contiguous()  # kernels take all of these to be dense
    value, room = hidden.new_empty(rows, dtype=dtype), hidden.new_empty(size, classes, dtype=dtype)
    slopes = room if dtype is hidden.dtype or not learning else torch.empty_like(room, dtype=hidden.dtype)
    to_hidden = torch.empty_like(hidden) if wanted[0] else None
    to_weight = torch.zeros(weight.shape, dtype=dtype, device=weight.device) if wanted[1] else None
    to_bias = hidden.new_zeros(classes, dtype=dtype) if bias is not None and wanted[2] else None
    for start in range(0, rows, size):
        part = slice(start, start + size)
        x = hidden[part]
        table, slope = room[: len(x)], slopes[: len(x)]
        product(x, weight.T, table)
        _visited(kernels, table, bias, index[part], weights if weights is None else weights[part], value[part], slope, learning)
        if to_hidden is not None:
            torch.mm(slope, weight, out=to_hidden[part])
        if to_weight is not None:
            product(slope.T, x, to_weight, 1)
        if to_bias is not None:
            to_bias += slope.sum(0, dtype=dtype)
    return value, [to_hidden, to_weight, to_bias]


def product(first: Tensor, second: Tensor, out: Tensor, beta: int = 0) -> None:
    """A B, or beta C + A B, into what may have more digits."""
    if first.dtype is out.dtype:
        torch.addmm(out, first, second, beta=beta, out=out)
    elif first.is_cuda and torch.cuda.get_device_capability(first.device) >= (8, 0):
        if beta:
            torch.addmm(out, first, second, out_dtype=out.dtype, out=out)
        else:
            torch.mm(first, second, out_dtype=out.dtype, out=out)
    else:
        torch.addmm(out, first.to(out.dtype), second.to(out.dtype), beta=beta, out=out)


def _visited(
    kernels: dict[str, Any] | None,
    table: Tensor,
    bias: Tensor | None,
    own: Tensor,
    weights: Tensor | None,
    value: Tensor,
    slopes: Tensor,
    learning: bool,
) -> None:
    """The values of rows of products and, over the products, the gradients of each times its weight."""
    rows, classes = table.shape
    if kernels is not None:
        options = {"HAS_BIAS": bias is not None, "SCALED": False, "WEIGHTED": weights is not None, "PICKS": False}
        size = min(8192, 1 << (classes - 1).bit_length())
        given = (
            table,
            table if bias is None else bias,
            own,
            table,
            value if weights is None else weights,
            value,
            value,
            slopes,
        )
        kernels["row_shares"][(rows,)](
            *given, classes, **options, WANTED=learning, BLOCK=size, num_warps=max(1, min(16, size // 256))
        )
        return
    if bias is not None:
        table.add_(bias)
    own = own.unsqueeze(1)
    top, picked = table.amax(1, keepdim=True), table.gather(1, own)
    others, less = table.sub_(top).exp_().scatter_(1, own, 0.0).sum(1, keepdim=True), picked - top
    torch.sub(less, torch.log1p(others + torch.expm1(less)), out=value.unsqueeze(1))
    if learning:
        scale = (-1 if weights is None else -weights.unsqueeze(1)) / (others + less.exp())
        torch.mul(table.scatter_(1, own, -others), scale, out=slopes)
