"""A loss of the whole batch on the ranks of a process group: L = f(mean over all ranks' rows, rows of all ranks).

What is averaged over ranks must be the gradient of L. Every rank computes all of L, from sums that are added up and from rows that
are gathered, and keeps the gradient of its own rows, times the number of ranks, by which the average divides. Inputs without a
batch axis get their share of the rows' means times that number, and the whole gradient of what is gathered: either way the average
is whole. No backward talks to another rank, so that an empty one may follow its own path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

GROUPS: dict[str, Any] = {}


def grouped(group: Any) -> str:
    """A group's name, which travels with the loss where the group cannot."""
    if isinstance(group, str):
        found(group)
        return group
    if group is dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError(
            "group: this rank is not of the group\n  write: the loss on the ranks of the group alone, or group=None"
        )
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            f"group is a torch.distributed process group, not {type(group).__name__}\n  write: torch.distributed.group.WORLD"
        )
    GROUPS[group.group_name] = group
    return str(group.group_name)


def found(group: Any) -> Any:
    """The group of a name in this process."""
    if not isinstance(group, str):
        return group
    try:
        return dist.distributed_c10d._resolve_process_group(group)  # type: ignore[attr-defined, arg-type]
    except (AttributeError, RuntimeError, ValueError):
        if group not in GROUPS or not dist.is_initialized():
            raise ValueError(
                f"this process has no group {group!r}\n  write: torch.distributed.init_process_group(...) first"
            ) from None
        return GROUPS[group]


class _Total(torch.autograd.Function):
    """The sum over all ranks, of everything, or its quotient by how many there are."""

    @staticmethod
    def forward(ctx, values, group, mean):  # type: ignore[no-untyped-def]
        both = torch.stack([values.sum(), values.new_tensor(values.numel())])
        dist.all_reduce(both, group=group)
        ctx.shape, ctx.ranks, ctx.number = values.shape, dist.get_world_size(group), both[1] if mean else 1
        return both[0] / ctx.number

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        return (upstream * ctx.ranks / ctx.number).expand(ctx.shape), None, None


def mean(values: Tensor, group: Any, kind: str = "mean") -> Tensor:
    """The mean, or the sum, over everything on all ranks."""
    return _Total.apply(values, found(group), kind == "mean")


def size(number: int, like: Tensor, group: Any) -> Tensor:
    """A number of rows, summed over ranks."""
    result = torch.tensor(number, device=like.device)
    dist.all_reduce(result, group=found(group))
    return result


def shared(drawn: Tensor, group: Any) -> Tensor:
    """What the group's first rank has drawn, on all of them."""
    group = found(group)
    drawn = drawn.detach().clone(memory_format=torch.contiguous_format)
    dist.broadcast(drawn, dist.get_global_rank(group, 0), group=group)
    return drawn


def _numbers(own: int, like: Tensor, group: Any) -> list[int]:
    """A number of every rank."""
    mine = torch.tensor(own, device=like.device)
    numbers = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(numbers, mine, group=group)
    return [int(n) for n in numbers]


def _gather(tensors: Sequence[Tensor], dim: int, group: Any) -> tuple[list[Tensor], list[list[int]]]:
    """Rows of all ranks in the order of ranks, and how many each rank has of each tensor; padded to the longest while they travel."""
    own = torch.tensor([t.shape[dim] for t in tensors], device=tensors[0].device)
    sizes = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(sizes, own, group=group)
    numbers = [[int(n) for n in column] for column in zip(*(s.tolist() for s in sizes), strict=True)]
    whole = []
    for tensor, rows in zip(tensors, numbers, strict=True):
        first = tensor.detach().movedim(dim, 0)
        padded = first.new_zeros(max(rows), *first.shape[1:])
        padded[: len(first)] = first
        parts = [torch.empty_like(padded) for _ in rows]
        dist.all_gather(parts, padded, group=group)
        whole.append(torch.cat([p[:n] for p, n in zip(parts, rows, strict=True)]).movedim(0, dim).contiguous())
    return whole, numbers


class _Rows(torch.autograd.Function):
    """The rows of all ranks; backward, where every rank differentiates all of the loss: its own rows', times the number of ranks."""

    @staticmethod
    def forward(ctx, group, dim, *tensors):  # type: ignore[no-untyped-def]
        whole, numbers = _gather(tensors, dim, group)
        rank = dist.get_rank(group)
        ctx.places = [(sum(rows[:rank]), rows[rank]) for rows in numbers]
        ctx.dim, ctx.ranks = dim, dist.get_world_size(group)
        ctx.mark_non_differentiable(*(w for w, needed in zip(whole, ctx.needs_input_grad[2:], strict=True) if not needed))
        ctx.set_materialize_grads(False)
        return tuple(whole)

    @staticmethod
    def backward(ctx, *upstream):  # type: ignore[no-untyped-def]
        own = [None if g is None else g.narrow(ctx.dim, *p) * ctx.ranks for g, p in zip(upstream, ctx.places, strict=True)]
        return None, None, *own


def rows(group: Any, dim: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all ranks along a dimension, for a loss that every rank computes whole."""
    return _Rows.apply(found(group), dim, *tensors)


def matched(pairs: Tensor, group: Any) -> Tensor:
    """Entry i of row i among the scores of a rank's own rows against the rows of all ranks."""
    numbers = _numbers(pairs.shape[-2], pairs, found(group))
    if pairs.shape[-1] != sum(numbers):
        raise ValueError(
            f"scores: with a group, of a rank's own rows against the rows of all ranks, ({pairs.shape[-2]}, {sum(numbers)}), "
            f"not {tuple(pairs.shape)}\n  write: the critic of the first sample and Loss.gathered(second, group)"
        )
    return pairs.diagonal(sum(numbers[: dist.get_rank(found(group))]), -2, -1)


class _Shared(torch.autograd.Function):
    """The rows of all ranks; backward, where each rank differentiates its own part of the loss: the sum of theirs for its rows."""

    @staticmethod
    def forward(ctx, rows, group, dim):  # type: ignore[no-untyped-def]
        (whole,), (numbers,) = _gather([rows], dim, group)
        ctx.group, ctx.dim, rank = group, dim, dist.get_rank(group)
        ctx.start, ctx.length = sum(numbers[:rank]), numbers[rank]
        return whole

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        everything = upstream.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(everything, group=ctx.group)
        return everything.narrow(ctx.dim, ctx.start, ctx.length), None, None


def gathered(values: Tensor, group: Any, dim: int = 0) -> Tensor:
    """The rows of all ranks, for what each computes of its own rows against all: gradients are summed back to their owners."""
    return _Shared.apply(values, found(group), dim)


def permuted(draw: Callable[..., Any], z: Any, generator: torch.Generator | None, rows: int, group: Any) -> Any:
    """This rank's rows of a draw from the rows of all ranks, in the order that the first rank's generator gives."""
    group, several = found(group), not isinstance(z, Tensor)
    parts, axis = (list(z), 0) if several else ([z], rows)
    own = generator or torch.default_generator
    common = torch.Generator(own.device)
    common.set_state(shared(own.get_state().to(parts[0].device), group).cpu())
    whole = [gathered(p, group, axis) for p in parts]
    drawn = draw(whole if several else whole[0], common, rows)
    torch.randperm(whole[0].shape[axis], generator=generator, device=own.device)  # each rank's own moves on alike
    mine = [0, *(int(n) for n in _numbers(parts[0].shape[axis], parts[0], group))]
    start = sum(mine[: dist.get_rank(group) + 1])
    kept = [d.narrow(axis, start, parts[0].shape[axis]) for d in (drawn if several else [drawn])]
    return tuple(kept) if several else kept[0]


def columns(values: Tensor, group: Any) -> tuple[Tensor, int]:
    """The rows of all ranks, for what each computes of its own rows against all, and where its own begin among them."""
    numbers = _numbers(len(values), values, found(group))
    return gathered(values, group), sum(numbers[: dist.get_rank(found(group))])
