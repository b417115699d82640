"""What the expression of a loss is built of beyond torch's own functions: averages, mixtures, picked entries, triangular roots.

Emission copies what a module uses, comments and all: these functions stand here once, typed and linted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .beside import _runtime, _streams


def _over_draws(values: Tensor) -> Tensor:
    """(S, B) or (B,) -> (B,): the mean over the Monte-Carlo axis, where there is one."""
    return values.mean(0) if values.dim() == 2 else values


def _log_mean_exp(values: Tensor) -> Tensor:
    """log of the mean exponential over everything."""
    return values.flatten().logsumexp(0) - math.log(values.numel() or math.nan)


def _log(size: float) -> float:
    """log of a size; NaN of nothing, as the mean over nothing is."""
    return math.log(size) if size > 0 else math.nan


def _log_mean_exp_over_draws(values: Tensor) -> Tensor:
    """(S, B) or (B,) -> (B,): log of the mean exponential over the Monte-Carlo axis, where there is one."""
    return values.logsumexp(0) - math.log(values.shape[0] or math.nan) if values.dim() == 2 else values


def _off_diagonal_mean(pairs: Tensor) -> Tensor:
    """The mean over pairs of different rows."""
    rows = pairs.shape[-1]
    if rows == 1:
        raise ValueError("every row is compared with the others: give at least two")
    return ((pairs.sum((-2, -1)) - pairs.diagonal(dim1=-2, dim2=-1).sum(-1)) / (rows * (rows - 1))).mean()


def _exclude_diagonal(pairs: Tensor) -> Tensor:
    """-infinity on the diagonal, so that a log-sum-exp over j leaves out j = i."""
    if pairs.shape[-1] == 1:
        raise ValueError("every row is compared with the others: give at least two")
    return pairs.masked_fill(torch.eye(pairs.shape[-1], dtype=torch.bool, device=pairs.device), -math.inf)


def _stratified_log_weights(rows: int, total: float, like: Tensor) -> Tensor:
    """log w_ij of component j for row i, M + 1 rows of N = `total`: w_ii = 1/N, a neighbour (N - M)/(N M), others 1/M."""
    others = rows - 1
    if rows == 1 or rows > total:
        raise ValueError(f"stratified weights need 2 to {total:g} rows, not {rows}")
    own = torch.eye(rows, dtype=torch.bool, device=like.device)
    weights = torch.full((rows, rows), 1 / others, dtype=like.dtype, device=like.device)
    weights = weights.masked_fill(own.roll(1, dims=1), (total - others) / (total * others))
    return weights.masked_fill(own, 1 / total).log()


def _pick(table: Tensor, index: Tensor) -> Tensor:
    """The entry of the last axis that each class index names; either may lack leading axes."""
    if index.shape != table.shape[:-1]:
        index, table = (i := index.expand(torch.broadcast_shapes(table.shape[:-1], index.shape))), table.expand(*i.shape, -1)
    return table.gather(-1, index.unsqueeze(-1).long()).squeeze(-1)


def _nearest(code: Tensor, codebook: Tensor) -> Tensor:
    """The class whose vector is nearest to each code."""
    rows = code.detach().reshape(-1, code.shape[-1])
    distances = torch.cdist(rows, codebook.detach().to(rows.dtype), compute_mode="donot_use_mm_for_euclid_dist")
    return distances.argmin(-1).reshape(code.shape[:-1])


def _log_share(hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor) -> Tensor:
    """log softmax(h W' + b)_v, by blocks of rows: the table of rows by classes is never stored, but for transforms."""
    streams = None if torch.compiler.is_compiling() else _streams()
    found = streams and streams["log_share"](_log_share_at_once, hidden, weight, bias, index)
    return _log_share_at_once(hidden, weight, bias, index) if found is None else found


def _log_share_at_once(hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor) -> Tensor:
    """The same through the whole table: what second derivatives, transforms and torch.compile run."""
    with torch.autocast(hidden.device.type, enabled=False):
        wide = torch.promote_types(hidden.dtype, torch.float32)
        return _pick(F.linear(hidden, weight, bias).log_softmax(-1, dtype=wide), index)


def _log_pair_share(first: Tensor, second: Tensor, group: Any) -> Tensor:
    """log e^f_ii / mean_j e^f_ij, f_ij = <a_i, b_j>; with a group, of this rank's rows against those of all: embeddings travel."""
    whole, start = (second, 0) if group is None else _runtime()["columns"](second, group)
    own = torch.arange(start, start + len(first), device=first.device)
    return _log_share(first, whole, None, own) + _log(len(whole))


def _log_pair_shares(first: Tensor, second: Tensor, heat: Tensor, back: Tensor, group: Any) -> tuple[Tensor, Tensor]:
    """The same of a / heat against b, and of b / back against a: one table of products is both."""
    streams = None if group is not None or torch.compiler.is_compiling() else _streams()
    found = streams and streams["log_pair_shares"](_log_pair_shares_at_once, first, second, heat, back)
    if found is None:
        return _log_pair_share(first / heat, second, group), _log_pair_share(second / back, first, group)
    return found[0] + _log(len(second)), found[1] + _log(len(first))


def _log_pair_shares_at_once(first: Tensor, second: Tensor, heat: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
    """The same through the whole table, without the size: what second derivatives run."""
    own = torch.arange(len(first), device=first.device)
    return _log_share_at_once(first / heat, second, None, own), _log_share_at_once(second / back, first, None, own)


def _points(group: Any, *values: tuple[Tensor, int]) -> Tensor:
    """One row per draw and row, of all ranks, all coordinates side by side; each value with the number of its event's axes."""
    whole = [(v if group is None else _runtime()["rows"](group, -1 - axes, v)[0], axes) for v, axes in values]
    parts = [v.reshape(v.shape[: v.dim() - axes].numel(), v.shape[v.dim() - axes :].numel()) for v, axes in whole]
    return torch.cat([p if len(p) == (rows := max(map(len, parts))) else p.repeat(rows // max(1, len(p)), 1) for p in parts], 1)


def _quantile_distance(first: Tensor, second: Tensor) -> Tensor:
    """The integral over u of (F^-1(u) - G^-1(u))^2 for sorted columns; the mean over columns.

    Quantile functions of samples are constant between the jumps of either, at multiples of 1/n and 1/m.
    """
    n, m = first.shape[0], second.shape[0]
    if not n * m:
        return (first.sum() + second.sum()) * math.nan
    jumps = torch.cat([torch.arange(n + 1) * m, torch.arange(1, m) * n]).unique().to(first.device)
    left, width = jumps[:-1], jumps.diff().to(first.dtype) / (n * m)
    return (width.unsqueeze(-1) * (first[left // m] - second[left // n]) ** 2).sum(0).mean()


def _solve(root: Tensor, vector: Tensor) -> Tensor:
    """C^-1 v, for lower triangular C."""
    return torch.linalg.solve_triangular(root, vector.unsqueeze(-1), upper=False).squeeze(-1)


def _solve_matrix(root: Tensor, matrix: Tensor) -> Tensor:
    """C^-1 M, for lower triangular C."""
    return torch.linalg.solve_triangular(root, matrix, upper=False)


def _inverse(root: Tensor) -> Tensor:
    """C^-1, for lower triangular C."""
    identity = torch.eye(root.shape[-1], dtype=root.dtype, device=root.device)
    return torch.linalg.solve_triangular(root, identity, upper=False)


def _permuted(z: Tensor | Sequence[Tensor], generator: torch.Generator | None, rows: int, group: Any = None) -> Any:
    """The rows in one random order, every part shifted by its place: parts of one row come from different rows."""
    if group is not None:
        return _runtime()["permuted"](_permuted, z, generator, rows, group)
    parts, axis = (z.flatten(rows + 1).unbind(-1), -1) if isinstance(z, Tensor) else (tuple(z), 0)
    size = parts[0].shape[axis]
    if len(parts) > size:
        raise ValueError(f"{size} rows have no product of {len(parts)} parts from different rows: give more rows")
    device = None if generator is None else generator.device
    order = torch.randperm(size, generator=generator, device=device).to(parts[0].device)
    drawn = tuple(part.index_select(axis, order.roll(-k)) for k, part in enumerate(parts))
    return torch.stack(drawn, -1).reshape(z.shape) if isinstance(z, Tensor) else drawn
