"""log softmax(<a_i, .> / t)_i over all b, log softmax(<b_j, .> / u)_j over all a, and their gradients: of one table, by blocks.

The products of a block serve both directions. They are computed once for the values, and once more for the gradients, when it is known
what each value weighs: four products, where each direction by itself takes three.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._ibsym_runtime import HALVES, _transformed
from .streams import _alone, _by_formula, block, kernels_of, product


def log_pair_shares(
    plain: Callable[..., tuple[Tensor, Tensor]], first: Tensor, second: Tensor, heat: Tensor, back: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Values of rows (B) and of columns (B), of embeddings (B, L) and temperatures (); None where each direction is to go alone."""
    if torch._C._get_tracing_state() is not None or _transformed() or not first.numel():
        return None
    kernels = kernels_of(first)
    if kernels is None:
        if first.is_cuda and first.dtype in HALVES:
            return None
        _alone(hidden=first, weight=second)
    elif first.dtype is not second.dtype:
        wide = torch.promote_types(first.dtype, second.dtype)
        first, second = first.to(wide), second.to(wide)
    values: tuple[Tensor, Tensor] = _LogPairShares.apply(plain, first, second, heat, back)
    return values


class _LogPairShares(torch.autograd.Function):
    """A second derivative goes through the plain formula, so that it is never a constant."""

    @staticmethod
    def forward(ctx, plain, first, second, heat, back):  # type: ignore[no-untyped-def]
        with torch.autocast(first.device.type, enabled=False), torch.cuda.device_of(first):
            rows, columns, by_row, by_column = _sums(first, second, heat, back)
        ctx.plain = plain
        ctx.save_for_backward(first, second, heat, back, rows, columns, by_row, by_column)
        return rows, columns

    @staticmethod
    def backward(ctx, to_rows, to_columns):  # type: ignore[no-untyped-def]
        *given, rows, columns, by_row, by_column = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or _transformed() or _batched(to_rows) or _batched(to_columns):
            return (None, *_by_formula(ctx.plain, given, (), (to_rows, to_columns), needed))
        first, _, heat, back = given
        with torch.autocast(first.device.type, enabled=False), torch.cuda.device_of(first):
            slopes = _slopes(given, (rows, columns), (by_row, by_column), (to_rows, to_columns), any(needed[2:]))
        to_first, to_second, ahead, behind = slopes
        if ahead is not None and behind is not None:
            ahead, behind = (-ahead / heat**2).to(heat.dtype), (-behind / back**2).to(back.dtype)
        return None, to_first, to_second, ahead, behind


def _batched(upstream: Tensor) -> bool:
    """Whether it is a batch of upstream gradients, which has no place in memory that anybody may ask for."""
    try:
        upstream.data_ptr()
    except RuntimeError:
        return True
    return False


def _own(values: Tensor, weights: Tensor) -> Tensor:
    """The weight of each row's own product: 1 - p, with all the digits of log p."""
    return weights * -torch.expm1(values)


def _log_shares(picked: Tensor, top: Tensor, others: Tensor) -> Tensor:
    """Picked less the log-sum-exp of all, where the others' sum is ``others`` e^``top``."""
    most = torch.maximum(picked, top)
    others, less = others * torch.exp(top - most), picked - most
    return less - torch.log1p(others + torch.expm1(less))


def _sums(first: Tensor, second: Tensor, heat: Tensor, back: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values of rows and columns, and their log-sum-exps."""
    kernels = kernels_of(first)
    if kernels is not None:
        return _sums_by_kernels(kernels, first, second, heat, back)
    s, t = 1 / heat.item(), 1 / back.item()
    if s == t:
        found = _sums_alike(first, second, s)
        if found is not None:
            return found
    count, size = len(first), block(first, second, 2)
    rows, diagonal = first.new_empty(count), first.new_empty(count)
    top, others = first.new_full((count,), torch.finfo(first.dtype).min), first.new_zeros(count)
    rooms = first.new_empty(2, size * count)
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part]
        table, other = (r[: count * len(x)].view(count, len(x)) for r in rooms)
        torch.mm(second, x.T, out=table)
        own = table[part].diagonal()
        diagonal[part] = own
        own.fill_(-math.inf)
        torch.mul(table, t, out=other)
        new = torch.maximum(top, other.amax(1))
        others.mul_(torch.exp(top - new)).add_(other.sub_(new.unsqueeze(1)).exp_().sum(1))
        top = new
        most = table.mul_(s).amax(0).clamp_min(torch.finfo(first.dtype).min)
        rows[part] = _log_shares(diagonal[part] * s, most, table.sub_(most).exp_().sum(0))
    columns = _log_shares(diagonal * t, top, others)
    return rows, columns, diagonal * s - rows, diagonal * t - columns


def _sums_alike(first: Tensor, second: Tensor, s: float) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """The same at one temperature: exponentials of rows, each times e^(its row's top - the largest), are those of columns.

    None where a column is so far below the largest that they have no digits left.
    """
    count, size = len(first), block(first, second)
    rows, diagonal = first.new_empty(count), first.new_empty(count)
    most, others = torch.finfo(first.dtype).min, first.new_zeros(count)
    room = first.new_empty(size * count)
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part] * s
        table = room[: count * len(x)].view(count, len(x))
        torch.mm(second, x.T, out=table)
        own = table[part].diagonal()
        diagonal[part] = own
        own.fill_(-math.inf)
        top = table.amax(0).clamp_min(torch.finfo(first.dtype).min)
        table.sub_(top).exp_()
        rows[part] = _log_shares(diagonal[part], top, table.sum(0))
        new = max(most, float(top.max()))
        others.mul_(math.exp(most - new)).addmv_(table, torch.exp(top - new))
        most = new
    if not bool((others > torch.finfo(first.dtype).tiny * 1e12).all()):
        return None
    columns = _log_shares(diagonal, most + others.log(), torch.ones_like(others))  # a sum far from 1 would lose digits there
    return rows, columns, diagonal - rows, diagonal - columns


def _slopes(
    given: Any, values: Any, sums: Any, upstream: Any, heats: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients in the embeddings and, where asked for, in the inverse temperatures."""
    first, second, heat, back = (t.detach() for t in given)
    kernels = kernels_of(first)
    if kernels is not None:
        return _slopes_by_kernels(kernels, given, values, sums, upstream, heats)
    s, t = 1 / heat.item(), 1 / back.item()
    by_row, by_column = sums
    w, u = upstream[0] * s, upstream[1] * t
    diagonal = _own(values[0], w) + _own(values[1], u)
    largest = by_row.max()
    alike = s == t and bool((largest - by_column.min()).abs() <= 40)
    if alike:  # e^(T - c_j) is e^(T - r_i) e^(r_i - r) e^(r - c_j)
        row, column = torch.exp(by_row - largest), u * torch.exp(largest - by_column)
    count, size = len(first), block(first, second, 2)
    to_first, to_second = torch.empty_like(first), torch.zeros_like(second, memory_format=torch.contiguous_format)
    ahead = first.new_zeros(())
    rooms = first.new_empty(2, size * count)
    for start in range(0, count, size):
        part = slice(start, start + size)
        x, own = first[part], slice(start, start + size)
        table, other = (r[: count * len(x)].view(count, len(x)) for r in rooms)
        if alike:
            torch.addmm(-by_row[part], second, (x * s).T, out=table)
            if heats:  # T = (log p + r) / s
                mean = torch.mul(torch.exp(table, out=other), table, out=other).sum(0)
                mean -= torch.exp(table[own].diagonal()) * table[own].diagonal()
                mean += by_row[part] * -torch.expm1(values[0][part])
                ahead -= (upstream[0][part] * mean).sum() / s
            table.exp_()
            torch.addcmul(-w[part], column.unsqueeze(1), row[part], value=-1, out=other)
            table.mul_(other)
        else:
            torch.mm(second, x.T, out=table)
            torch.mul(table, s, out=other).sub_(by_row[part]).exp_().mul_(-w[part])
            if heats:
                other[own].diagonal().zero_()
                ahead += (other * table).sum(0).sum() / s
            table.mul_(t).sub_(by_column.unsqueeze(1)).exp_().mul_(-u.unsqueeze(1)).add_(other)
        table[own].diagonal().copy_(diagonal[part])
        torch.mm(table.T, second, out=to_first[part])
        to_second.addmm_(table, x)
    if not heats:
        return to_first, to_second, None, None
    ahead += (_own(values[0], upstream[0]) * (by_row + values[0])).sum() / s
    return to_first, to_second, ahead, ((first * to_first).sum() - s * ahead) / t  # both together are <products, slopes>


def _sums_by_kernels(
    kernels: Any, first: Tensor, second: Tensor, heat: Tensor, back: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same on a GPU: rows of a block are visited once, and columns once."""
    count, size, dtype = len(first), block(first, second), torch.promote_types(first.dtype, torch.float32)
    scales = torch.stack([1 / heat.to(dtype), 1 / back.to(dtype)])
    rows, diagonal = (first.new_empty(count, dtype=dtype) for _ in range(2))
    top, others = first.new_full((count,), -math.inf, dtype=dtype), first.new_zeros(count, dtype=dtype)
    room, own = first.new_empty(size, count, dtype=dtype), torch.arange(count, device=first.device)
    width = min(8192, 1 << (count - 1).bit_length())
    options = {"HAS_BIAS": False, "SCALED": True, "WEIGHTED": False, "PICKS": True, "WANTED": False}
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part]
        table = room[: len(x)]
        product(x, second.T, table)
        visited = (table, table, own[part], scales, table, rows[part], diagonal[part], table, count)
        kernels["row_shares"][(len(x),)](*visited, **options, BLOCK=width, num_warps=max(1, min(16, width // 256)))
        grid = (-(-count // 64),)
        kernels["column_sums"][grid](table, scales[1:], top, others, start, len(x), count, ROWS=32, BLOCK=64)
    columns = _log_shares(diagonal * scales[1], top.clamp_min(torch.finfo(dtype).min), others)
    return rows, columns, diagonal * scales[0] - rows, diagonal * scales[1] - columns


def _slopes_by_kernels(
    kernels: Any, given: Any, values: Any, sums: Any, upstream: Any, heats: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The same on a GPU: products, a visit to each row, and two products more."""
    first, second, heat, back = given
    count, size, dtype = len(first), block(first, second), torch.promote_types(first.dtype, torch.float32)
    scales = torch.stack([1 / heat.to(dtype), 1 / back.to(dtype)])
    w, u = (g.contiguous() for g in upstream)
    diagonal = _own(values[0], w * scales[0]) + _own(values[1], u * scales[1])
    to_first, to_second = torch.empty_like(first), second.new_zeros(second.shape, dtype=dtype)
    room, means = first.new_empty(size, count, dtype=dtype), first.new_empty(count, 2, dtype=dtype)
    slopes = room if dtype is first.dtype else torch.empty_like(room, dtype=first.dtype)
    width = min(4096, 1 << (count - 1).bit_length())
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part]
        table, slope = room[: len(x)], slopes[: len(x)]
        product(x, second.T, table)
        visited = (table, scales, sums[0][part], sums[1], w[part], u, diagonal[part], start, means[part], slope, count)
        kernels["pair_slopes"][(len(x),)](*visited, BLOCK=width, num_warps=max(1, min(16, width // 256)))
        torch.mm(slope, second, out=to_first[part])
        product(slope.T, x, to_second, 1)
    to_second = to_second.to(second.dtype)
    if not heats:
        return to_first, to_second, None, None
    own = [
        _own(v, g) * (c + v) for v, g, c in zip(values, (w, u), sums, strict=True)
    ]  # products of what belongs together, times a scale
    ahead, behind = ((o.sum() / scales[k] - means[:, k].sum()) for k, o in enumerate(own))
    return to_first, to_second, ahead, behind
