"""Logarithms over draws and exact sums over a class, by kernels: what weighs a cell, then the gradients by its share.

A cell is a draw and a row, or a draw, a class and a row. Of small tables, of numbers for each cell, and in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .launches import Declined, blocks_of, power_above

MOST_CLASSES = 4096
"""The most classes of a row of logits that one program holds."""
TILE = (1024, 128, 4)
"""Elements that one program takes at a time, at most how many of them of one cell, and its warps."""


class Inside(NamedTuple):
    """A loop over the elements of cells: its kernel, its operands by their axes before the event, and those that learn."""

    kernel: Any
    operands: Mapping[str, Sequence[str]]
    learned: Sequence[str]
    event: int
    factors: Sequence[float]


class Weighed:
    """The part of a pass that weighs."""

    given: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    rows: float
    plain: bool
    upstream: Tensor
    means: list[tuple[Tensor, int, float]]
    run: Callable[..., None]
    parts: Callable[..., Tensor]
    again: Callable[[str], bool]
    add: Callable[[str, Tensor], None]

    def draws(self, kernel: Any, loops: Sequence[tuple[Any, ...]], constant: float, rows: int, weight: float | None) -> None:
        """The mean over rows of log 1/S sum_s e^w; `weight`: of that mean in the loss."""
        inner = [Inside(*loop) for loop in loops]
        lengths = {"draw": self.drawn(inner, {"row": rows}), "row": rows}
        values, shares = (self.parts(math.prod(lengths.values()), torch.float64) for _ in range(2))
        self.cells(inner, lengths, values, shares, constant, None, values_too=True)
        block = 128
        blocks = blocks_of(rows, block)
        sums, draws = self.parts(blocks), lengths["draw"]
        self.run(
            kernel, (blocks, 1), 4, values=values, shares=shares, sums=sums, rows=rows, draws=draws,
            log_draws=math.log(draws), BLOCK=block,
        )  # fmt: skip
        if weight is not None:
            self.cells(inner, lengths, values, shares, constant, weight / rows * self.rows, values_too=False)
        self.means.append((sums, blocks, rows))

    def mixed(
        self,
        softmax: Any,
        kernel: Any,
        logits: str,
        loops: Sequence[tuple[Any, ...]],
        constant: float,
        classes: int,
        rows: int,
        weight: float | None,
    ) -> None:
        """The mean over draws and rows of sum_k softmax(logits)_k w_k; `weight`: of that mean in the loss."""
        if classes > MOST_CLASSES:
            raise Declined("rows that no program holds")
        inner, table = [Inside(*loop) for loop in loops], self.given[logits]
        count = table.numel() // classes
        draws = max(count // rows, self.drawn(inner, {"class": classes, "row": rows}))
        lengths = {"draw": draws, "class": classes, "row": rows}
        values, shares = (self.parts(n, torch.float64) for n in (draws * rows * classes, table.numel()))
        width = power_above(classes)
        block = max(1, min(32, TILE[0] // width))
        blocks = blocks_of(count, block)
        shape: dict[str, Any] = {"count": count, "rows": rows, "classes": classes, "ROWS": block, "WIDTH": width}
        self.run(softmax, (blocks, 1), 4, logits=table, shares=shares, **shape)
        scale = None if weight is None else weight / (draws * rows) * self.rows
        self.cells(inner, lengths, values, shares, constant, scale, values_too=True)
        d = None if weight is None else self.gradients[logits]
        sums = self.parts(blocks)
        self.run(
            kernel, (blocks, 1), 4, shares=shares, values=values, d=table if d is None else d, sums=sums, up=self.upstream,
            draws=draws * rows // count, scale=scale or 0.0, WANTS=d is not None,
            ADDS=d is not None and self.again(logits), **shape,
        )  # fmt: skip
        self.means.append((sums, blocks, draws * rows))

    def drawn(self, loops: Sequence[Inside], others: Mapping[str, int]) -> int:
        """How many draws there are: an operand may lack their axis."""
        return (
            max(
                self.given[name].numel() // (loop.event * math.prod(others[a] for a in axes if a != "draw"))
                for loop in loops
                for name, axes in loop.operands.items()
                if "draw" in axes
            )
            if any("draw" in axes for loop in loops for axes in loop.operands.values())
            else 1
        )

    def cells(
        self,
        loops: Sequence[Inside],
        lengths: Mapping[str, int],
        values: Tensor,
        shares: Tensor,
        constant: float,
        scale: float | None,
        *,
        values_too: bool,
    ) -> None:
        """What weighs every cell, and, where there is a scale, the gradients by its share."""
        number = math.prod(lengths.values())
        sizes = {{"class": "classes", "row": "rows"}[a]: n for a, n in lengths.items() if a != "draw"}
        for first, loop in enumerate(loops):
            block = min(power_above(loop.event), TILE[1])
            each = TILE[0] // block
            arguments: dict[str, Any] = {f"factor_{m}": float(factor) for m, factor in enumerate(loop.factors)}
            repeated: list[tuple[str, Tensor]] = []
            for name, axes in loop.operands.items():
                tensor = self.given[name]
                own = tensor.numel()
                if "draw" in axes:
                    arguments[f"DRAWN_{name}"] = int(own > loop.event * math.prod(lengths[a] for a in axes if a != "draw"))
                arguments |= {f"in_{name}": tensor, f"n_{name}": own}
                if name in loop.learned:
                    d = self.gradients[name] if scale is not None else None
                    wants, repeats = d is not None, own < number * loop.event
                    if d is not None and repeats:
                        d = self.parts(number * loop.event)
                        repeated.append((name, d))
                        self.plain = False
                    arguments |= {f"d_{name}": tensor if d is None else d, f"WANTS_{name}": wants}
                    arguments[f"ADDS_{name}"] = wants and not repeats and self.again(name)
            arguments |= sizes | {"values": values, "shares": shares, "n_shares": shares.numel(), "up": self.upstream}
            arguments |= {"cells": number, "event": loop.event, "constant": 0.0 if first else float(constant)}
            arguments |= {"scale": scale or 0.0, "VALUES": values_too, "ADDS": first > 0, "CELLS": each, "BLOCK": block}
            used = {name: arguments[name] for name in loop.kernel.arg_names}
            self.run(loop.kernel, (blocks_of(number, each), 1), TILE[2], **used)
            for name, d in repeated:
                self.add(name, self.folded(d, name, loop, lengths))

    def folded(self, d: Tensor, name: str, loop: Inside, lengths: Mapping[str, int]) -> Tensor:
        """A gradient by cells, added up over the axes that an operand does not have."""
        axes, own = loop.operands[name], self.given[name].numel()
        without = [k for k, axis in enumerate(lengths) if axis not in axes]
        if "draw" in axes and own == loop.event * math.prod(lengths[a] for a in axes if a != "draw"):
            without = sorted({0, *without})
        d = d.view(*lengths.values(), loop.event)
        return (d.sum(without) if without else d).reshape(-1, own).sum(0)
