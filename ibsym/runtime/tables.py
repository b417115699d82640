"""Tables of pairs by kernels: their entries by tiles, what is read off their rows, and the gradients by rows and by columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .launches import Declined, blocks_of, power_above

WIDEST = 32768
"""The most columns of a table whose rows one program holds."""

TILES = {"table": (32, 64, 4, 4), "apart": (32, 32, 2, 4), "by_row": (32, 64, 1, 4), "by_column": (16, 32, 2, 4)}
"""Rows, columns and coordinates that one program takes at a time, and its warps: the fastest of those that were timed."""


class Tiles:
    """A kernel over tiles of a table of pairs."""

    def __init__(self, run: Any, kernel: Any, shape: tuple[int, int, int, int], rows: int, columns: int, width: int):
        self.run = run
        *tile, self.warps = shape
        tile[2] = min(tile[2], power_above(width))
        even = not (rows % tile[0] or columns % tile[1] or width % tile[2])
        self.kernel, self.tile = kernel, {**dict(zip(("BI", "BJ", "BL"), tile, strict=True)), "EVEN": even}
        down, across, along = (blocks_of(n, b) for n, b in zip((rows, columns, width), tile, strict=True))
        name = kernel.__name__
        self.grid = (down, across) if name.startswith("table") else (along, across if name.startswith("by_column") else down)
        self.number = self.grid[0] * self.grid[1]

    def __call__(self, **arguments: Any) -> None:
        """Runs it."""
        self.run(self.kernel, self.grid, self.warps, **arguments, **self.tile)


class Side(NamedTuple):
    """The values of all rows, or of all columns, of a table: the inputs that they are made of, and room for their gradient."""

    parts: Sequence[tuple[str, int]]
    points: Tensor
    slopes: Tensor | None

    def learns(self, others: dict[str, Side]) -> bool:
        """Whether this side or another wants a gradient."""
        return any(side.slopes is not None for side in (self, *others.values()))


def strata(mask: str, columns: int, total: int) -> dict[str, float]:
    """log w_ij, by which column j counts in row i's mixture: its own, the one that follows, any other."""
    if mask == "exclude":
        return {"own": -math.inf, "following": 0.0, "others": 0.0}
    left = columns - 1
    return {"own": -math.log(total), "following": math.log((total - left) / (total * left)), "others": -math.log(left)}


class Tables:
    """The part of a pass that compares pairs of rows."""

    kernels: Any
    given: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    rows: float
    plain: bool
    upstream: Tensor
    room: Tensor
    means: list[tuple[Tensor, int, float]]
    run: Callable[..., None]
    parts: Callable[..., Tensor]
    again: Callable[[str], bool]
    add: Callable[[str, Tensor], None]

    def side(self, parts: Sequence[tuple[str, int]], learns: bool) -> Side:
        """Values side by side, one point a row."""
        tensors = [self.given[name].view(-1, width) for name, width in parts]
        wants = learns and any(self.gradients[name] is not None for name, _ in parts)
        if len(parts) == 1:
            return Side(parts, tensors[0], self.gradients[parts[0][0]] if wants else None)
        self.plain = False
        rows = max(map(len, tensors))
        points = torch.cat([t.repeat(rows // len(t), 1) for t in tensors], 1)
        return Side(parts, points, torch.empty_like(points) if wants else None)

    def adds(self, side: Side) -> bool:
        """Whether a side's gradient is added to what is there: a room of its own is new."""
        return side.slopes is not None and len(side.parts) == 1 and self.again(side.parts[0][0])

    def scattered(self, side: Side) -> None:
        """A gradient by points, to the inputs that stand side by side in them."""
        if side.slopes is None or len(side.parts) == 1:
            return
        for (name, _), piece in zip(side.parts, side.slopes.split([width for _, width in side.parts], 1), strict=True):
            if self.gradients[name] is not None:
                self.add(name, piece.reshape(-1, self.given[name].numel()).sum(0))

    def pairs(
        self,
        kernels: dict[str, Any],
        row: Sequence[tuple[str, int]],
        columns: dict[str, Sequence[tuple[str, int]]],
        kinds: dict[str, float],
        learns: bool,
        pooled: bool,
        mask: str,
        total: int,
        logits: str | None = None,
        **numbers: float,
    ) -> None:
        """The means of what is read off a table of pairs: `kinds`, each with its weight in the loss; `logits`, of columns' weights."""
        rows_side = self.side(row, learns)
        sides = {name: self.side(parts, learns) for name, parts in columns.items()}
        (every, width), count = rows_side.points.shape, len(next(iter(sides.values())).points)
        rows = every if pooled else count
        if every % rows or (count < 2 and ((mask and logits is None) or "off" in kinds)):
            raise Declined("sizes that do not fit")
        counts = {
            k: every * (count - 1 if k == "off" or (k, mask) == ("mapped", "exclude") else count if k == "mapped" else 1)
            for k in kinds
        }
        read = [k for k in kinds if k != "apart"]
        if read and count > WIDEST:
            raise Declined("rows that no program holds")
        scales = {k: weight / counts[k] * self.rows for k, weight in kinds.items()}
        matrix = self.parts(rows * count) if read else self.room
        lse = self.parts(every * width).view(every, width) if "apart" in kinds else self.room
        launched = {name: Tiles(self.run, kernels[name], TILES[name], rows, count, width) for name in kernels if name in TILES}
        apart = launched["apart"].number if "apart" in kinds else 0
        sums = {k: self.parts(every // rows * apart if k == "apart" else every) for k in kinds}
        sizes = {"rows": rows, "columns": count}
        masked: dict[str, Any] = strata(mask, count, total) if mask and logits is None else {}
        wanted = rows_side.learns(sides)
        if logits is not None:
            self.plain = False
            masked, wanted = (
                {"log_weights": self.given[logits].float().log_softmax(-1)},
                wanted or self.gradients[logits] is not None,
            )
        names = [n for n in kernels["planes"].arg_names if n.startswith("p_")]
        planes = {n: self.parts(count * width) for n in names}
        own_planes = {f"w_{n}": side.points for n, side in sides.items()} | planes | {"columns": count, "width": width}
        self.run(kernels["planes"], (blocks_of(count * width, 1024), 1), 4, **own_planes, BLOCK=1024)
        row_adds = self.adds(rows_side)
        for draw in range(every // rows):
            here = slice(draw * rows, (draw + 1) * rows)
            both: dict[str, Any] = {"row": rows_side.points[here], **sizes, "width": width}
            both |= planes
            above: dict[str, Any] = {"up": self.upstream}
            if read:
                launched["table"](**both, matrix=matrix)
                read_off = {f"sums_{k}": sums[k][draw * rows :] for k in read} | {f"scale_{k}": scales[k] for k in read}
                whole = {"WANTS": wanted, "WIDTH": power_above(count)}
                warps = 4 if count <= 4096 else 8
                self.run(
                    kernels["rows"], (rows, 1), warps, matrix=matrix, **read_off, **sizes, **masked, **above, **numbers, **whole
                )
                if logits is not None and self.gradients[logits] is not None:
                    slopes = matrix.view(rows, count).sum(0)
                    self.add(logits, slopes - masked["log_weights"].exp() * slopes.sum())
            if "apart" in kinds:
                above |= {"scale_apart": scales["apart"], "lse": lse[here], **masked}
                launched["apart"](**both, **masked, lse=lse[here], sums=sums["apart"][draw * apart :])
            if read:
                above |= {"matrix": matrix}
            if rows_side.slopes is not None:
                launched["by_row"](**both, **above, d_row=rows_side.slopes.view(-1, width)[here], ADDS=row_adds)
            if any(side.slopes is not None for side in sides.values()):
                for name, side in sides.items():
                    wants = side.slopes is not None
                    above |= {f"d_{name}": side.slopes if wants else side.points, f"WANTS_{name}": wants}
                    above[f"ADDS_{name}"] = self.adds(side) if draw == 0 else wants
                launched["by_column"](**both, **above)
        for side in (rows_side, *sides.values()):
            self.scattered(side)
        self.means += [(sums[k], sums[k].numel(), counts[k]) for k in kinds]
