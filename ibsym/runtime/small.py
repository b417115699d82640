"""Means over small tensors, tables of classes and one number a row: by PyTorch's own operations, each with its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .weighed import Inside

Law = tuple[str, bool] | None
"""Shares of classes: by an input's name, and whether it is a class index; or equal ones."""
Placed = tuple[str, Sequence[str]]
"""A table's name and its axes, its own class last."""


class Small:
    """The part of a pass that needs no kernels of its own."""

    given: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    rows: float
    plain: bool
    upstream: Tensor
    means: list[tuple[Tensor, int, float]]
    add: Callable[[str, Tensor], None]
    parts: Callable[..., Tensor]
    drawn: Callable[..., int]
    cells: Callable[..., None]

    def mean(self, value: Tensor) -> None:
        """One more mean, which is known; the launches before and after it are not all that there is to repeat."""
        self.plain = False
        self.means.append((value.double().reshape(1), 1, 1.0))

    def learned(self, name: str) -> bool:
        """Whether an input wants a gradient."""
        return self.gradients.get(name) is not None

    def by_logits(self, name: str, log_p: Tensor, slopes: Tensor) -> None:
        """Adds a gradient by logits, of that by the logarithms of their softmax."""
        self.add(name, slopes - log_p.exp() * slopes.sum(-1, keepdim=True))

    def law(self, law: Law, classes: int, like: Tensor) -> tuple[Tensor | None, Tensor]:
        """The log-probabilities of every row, where there are any, and the logarithms of the shares."""
        if law is None:
            return None, like.new_full((classes,), -math.log(classes), dtype=torch.float64)
        name, counted = law
        if counted:
            index = self.given[name].view(-1, 1)
            share = (index == torch.arange(classes, device=index.device)).double().mean(0)
            return None, torch.where(share.sum() > 1 - 0.5 / len(index), share, math.nan).log()  # a class that is none
        log_p = self.given[name].view(-1, classes).double().log_softmax(-1)
        return log_p, log_p.logsumexp(0) - math.log(len(log_p))

    def shares(self, classes: int, own: Law, others: Sequence[Law], weights: Sequence[float]) -> None:
        """The means of logarithms of shares under those of one law: sum_c r_c log m_c, 0 log 0 = 0."""
        scale = self.upstream.double() * self.rows
        slope: Any = 0.0
        log_p, log_share = self.law(own, classes, self.upstream)
        share = log_share.exp()
        for law, weight in zip(others, weights, strict=True):
            log_q, log_other = (log_p, log_share) if law == own else self.law(law, classes, self.upstream)
            values = torch.where((share != 0) | (log_other != -math.inf), log_other, 0.0)
            self.mean((share * values).sum())
            slope = slope + weight * values
            if law is not None and law != own and log_q is not None and self.learned(law[0]):
                relative = torch.where(share != 0, share * (log_q - log_other).exp(), 0.0)
                self.by_logits(law[0], log_q, relative * (weight * scale / len(log_q)))
        if own is not None and log_p is not None and self.learned(own[0]):
            self.by_logits(own[0], log_p, log_p.exp() * slope * (scale / len(log_p)))

    def bessel(self, name: str, dimensions: float, log_weight: float, moment_weight: float) -> None:
        """The means of log I_v(t) - v log t and of t I_{v+1}(t) / I_v(t), v = dimensions / 2 - 1.

        Both by the integral of `_bessel` over a grid; the slope of the ratio by the variance under it.
        """
        t, a = self.given[name].double().flatten(), (dimensions + 1) / 2
        t = torch.where(t >= 0, t, math.nan)
        u = torch.linspace(-3.7, 3.7, 96, dtype=torch.float64, device=t.device)
        y = torch.asinh(t / a).unsqueeze(-1) + 2 / math.sqrt(a) * torch.sinh(u)
        far = torch.sigmoid(-y)  # (1 - c) / 2
        exponents = a * (2 * torch.nn.functional.logsigmoid(y) - y) + torch.log(torch.cosh(u)) - 2 * far * t.unsqueeze(-1)
        share = exponents.softmax(-1)
        first = (share * far).sum(-1)
        variance = (share * (far - first.unsqueeze(-1)) ** 2).sum(-1)
        below = dimensions + t * (1 - 2 * first)
        constant = math.log(7.4 / 95 * 2 / math.sqrt(a * math.pi)) + dimensions / 2 * math.log(2) - math.lgamma(a)
        self.mean((t + exponents.logsumexp(-1) + torch.log(below) + constant).mean())
        self.mean((t * t / below).mean())
        if self.learned(name):
            slope = t / below * ((dimensions - 4 * t * t * variance) / below)
            d = (log_weight + moment_weight) * t / below + moment_weight * slope
            self.add(name, d * (self.rows / len(t)) * self.upstream)

    def class_sums(
        self,
        sizes: Mapping[str, int],
        weights: Sequence[Placed],
        logarithms: Sequence[tuple[float, str, Sequence[str]]],
        weight: float | None,
        loops: Sequence[tuple[Any, ...]] = (),
        own: str = "",
    ) -> None:
        """The mean over draws and rows of sum_k1 p(k1) sum_k2 p(k2|k1) ... w.

        ``sizes`` are those of classes, the outermost first, and of rows. w is sum_m f_m log p_m, or what ``loops`` find at draws, rows and
        the class ``own``.
        """
        order = ("draw", *sizes)
        tables: dict[Placed, Tensor] = {}
        for name, axes in (*weights, *((name, axes) for _, name, axes in logarithms)):
            lengths = [sizes.get(axis, -1) for axis in axes]  # of draws, as many as there are
            tables[name, tuple(axes)] = self.given[name].double().reshape(lengths).log_softmax(-1)

        def placed(name: str, axes: Sequence[str]) -> Tensor:
            inner = tables[name, tuple(axes)].permute([axes.index(axis) for axis in order if axis in axes])
            shape = iter(inner.shape)
            return inner.reshape([next(shape) if axis in axes else 1 for axis in order])

        inside = [k for k, axis in enumerate(order) if axis not in ("draw", "row")]
        log_share: Any = sum(placed(*table) for table in weights)
        if loops:
            values = self.at_cells(log_share.exp(), order, sizes, [Inside(*loop) for loop in loops], own, weight)
        else:
            values = sum(factor * placed(name, axes) for factor, name, axes in logarithms)
        share, values = torch.broadcast_tensors(log_share.exp(), values)
        values = torch.where(share > 0, values, 0.0)
        self.mean((share * values).sum(inside).mean())
        if weight is None:
            return
        share = share * (weight * self.rows / (share.shape[0] * share.shape[-1]) * self.upstream.double())
        slopes: dict[Placed, Any] = {}
        for factor, name, axes in (*((None, *table) for table in weights), *logarithms):
            key = name, tuple(axes)
            slopes[key] = slopes.get(key, 0.0) + (share * values if factor is None else factor * share)
        for (name, axes), slope in slopes.items():
            if self.learned(name):
                log_p = tables[name, axes]
                kept = [axis for axis in order if axis in axes]
                inner = slope.sum_to_size(placed(name, axes).shape).reshape([log_p.shape[axes.index(axis)] for axis in kept])
                self.by_logits(name, log_p, inner.permute([kept.index(axis) for axis in axes]))

    def at_cells(
        self,
        share: Tensor,
        order: Sequence[str],
        sizes: Mapping[str, int],
        loops: Sequence[Inside],
        own: str,
        weight: float | None,
    ) -> Any:
        """What loops find at every draw, class and row, by kernels, and their gradients by the share of each."""
        rows, classes, place = sizes["row"], sizes[own], order.index(own)
        draws = max(share.shape[0], self.drawn(loops, {"class": classes, "row": rows}))
        lengths = {"draw": draws, "class": classes, "row": rows}
        others = [k for k in range(1, len(order) - 1) if k != place]
        cell = (share.sum(others) if others else share).expand(-1, classes, rows).contiguous()
        values = self.parts(math.prod(lengths.values()), torch.float64)
        scale = None if weight is None else weight / (draws * rows) * self.rows
        self.cells(loops, lengths, values, cell, 0.0, scale, values_too=True)
        return values.view([{0: draws, place: classes, len(order) - 1: rows}.get(k, 1) for k in range(len(order))])
