"""(loss, dloss/dinputs) on a GPU by the Triton kernels beside a loss.

One launch for the elements that share inputs, some for a table of pairs, one for the totals; nothing waits for the device.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ._ibsym_runtime import OnePass
from .launches import Declined, Launch, Tape, blocks_of, power_above, side_by_side, taped
from .small import Small
from .tables import Tables
from .weighed import Weighed


class Kernels:
    """A loss and its gradients on a GPU, as a compiled pass elsewhere; `space` is what the file of its kernels defines."""

    def __init__(self, space: Mapping[str, Any], inputs: Sequence[str]):
        place = {name: k for k, name in enumerate(inputs)}
        self.passes, self.rescaled = space["passes"], space["rescaled"]
        self.left, self.kept = space.get("left"), space.get("kept")
        self.terms, self.parameters = space["TERMS"], space["PARAMETERS"]
        self.read = [(name, place[name]) for name in space["INPUTS"]]
        self.differentiated = [place[name] for name in space["LEARNED"]]
        self.passive = [k for k in range(len(inputs)) if k not in self.differentiated]
        self.axes = [(axis, place[name], where) for axis, name, where in space["AXES"]]
        self.ones: dict[torch.device, Tensor] = {}
        self.compiled: dict[Any, Any] = {}
        self.tapes: dict[Any, Tape] = {}

    def run(
        self,
        given: Sequence[Tensor],
        parameters: Sequence[float],
        total: bool,
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor, list[Tensor | None] | None]:
        """Loss, terms, a gradient for each tensor that wants one, times what comes from above.

        float16 has too small a range for gradients that nobody has scaled: they wait until the scale is known.
        """
        first = given[self.read[0][1]]
        later = upstream is None and any(wanted[k] and given[k].dtype is torch.float16 for k in self.differentiated if wanted)
        gradients: list[Tensor | None] = [None] * len(given)
        if wanted and not later:
            side_by_side([k for k in self.differentiated if wanted[k]], given, gradients)
        if upstream is None:
            upstream = self.ones.get(first.device)
            if upstream is None:
                upstream = self.ones[first.device] = torch.ones((), device=first.device)
        room = first.new_empty(1 + len(self.terms), dtype=torch.float32)
        own = [*given, *gradients, upstream, room]
        places = [0 if t is None else t.data_ptr() for t in own]
        key = (
            tuple(wanted),
            later,
            total,
            tuple(parameters),
            upstream.dtype,
            *[(t.shape, t.dtype) for t in given],
            first.device,
        )
        known = self.tapes.get(key)
        with torch.cuda.device(first.device) if first.is_cuda else contextlib.nullcontext():
            if known is not None and not any(place % 16 for place in places):
                known.play(places, room)
                return room[0], room[1:], None if later else gradients
            sizes = {axis: given[k].shape[where] for axis, k, where in self.axes}
            named = {name: given[k] for name, k in self.read}
            slopes = {name: gradients[k] for name, k in self.read}
            here = Pass(self, named, slopes, sizes, dict(zip(self.parameters, parameters, strict=True)), total, upstream, room)
            try:
                self.passes(here)
            except Declined:
                return None, room[1:], gradients
        if here.plain:
            tape = taped(here.launches, [*own, *here.scratch], len(own))
            if tape is not None:
                if len(self.tapes) >= MOST_TAPES:
                    self.tapes.pop(next(iter(self.tapes)))
                self.tapes[key] = tape
        return room[0], room[1:], None if later else gradients

    def run_kernel(self, kernel: Any, grid: tuple[int, int], warps: int, arguments: dict[str, Any]) -> Launch | None:
        """Runs a kernel: what was compiled before for arguments of these kinds goes straight to the device."""
        values = [arguments[name] for name in kernel.arg_names]
        kinds = [
            (v.dtype, v.data_ptr() % 16, v.get_device()) if isinstance(v, Tensor) else None if type(v) is float else v
            for v in values
        ]
        key = (id(kernel), warps, *kinds)
        compiled = self.compiled.get(key)
        if compiled is None:
            compiled = kernel[grid](**arguments, num_warps=warps)
            if compiled is None:  # the interpreter's
                return None
            if len(self.compiled) < 1000:
                self.compiled[key] = compiled
            return Launch(compiled[(*grid, 1)], values)
        launch = Launch(compiled[(*grid, 1)], values)
        launch.run(*values)
        return launch

    def slopes(
        self, given: Sequence[Tensor], parameters: Sequence[float], total: bool, wanted: Sequence[bool], upstream: Tensor
    ) -> list[Tensor | None]:
        """The gradients, computed from what comes from above."""
        single = _single(upstream)
        above = upstream if single else given[0].new_ones((), dtype=torch.float32)
        gradients = self.run(given, parameters, total, wanted, above)[2]
        assert gradients is not None
        return gradients if single else [None if g is None else g * upstream for g in gradients]

    def scaled(self, gradients: Sequence[Tensor | None], upstream: Tensor) -> list[Tensor | None]:
        """Gradients times what comes from above, in place; nobody waits to learn whether that is 1."""
        if not _single(upstream):
            return [None if g is None else g * upstream for g in gradients]
        for room in {g.untyped_storage().data_ptr(): g for g in gradients if g is not None}.values():
            size = room.untyped_storage().nbytes() // room.element_size()
            flat = room.as_strided((size,), (1,), 0)
            arguments = {"d": flat, "up": upstream, "size": size, "BLOCK": 4096}
            self.run_kernel(self.rescaled, (min(blocks_of(size, 4096), 1024), 1), 8, arguments)
        return list(gradients)


def _single(upstream: Tensor) -> bool:
    """Whether this is one number, and no batch of them."""
    try:
        return upstream.data_ptr() >= 0
    except RuntimeError:
        return False


MOST_TAPES = 64
"""Kinds of calls that are known; a parameter that changes makes another."""

ELEMENTS = (1024, 4)
"""Elements that one program takes, and its warps."""

DOUBLE = (256, 4)
"""The same of formulas in double precision, whose code is long: each lane has a copy for each of its elements."""

CLASSES = (8192, 4096, 8)
"""Classes of a row that is read once; how many are taken at a time of longer rows, and the warps."""

CODES = (16, 32, 16)
"""Codes, vectors of a codebook and elements of a vector that one program compares at a time."""


class Pass(Weighed, Tables, Small):
    """One evaluation: what is read, what is written, and the means that the loss is made of."""

    def __init__(
        self,
        kernels: Kernels,
        given: dict[str, Tensor],
        gradients: dict[str, Tensor | None],
        size: dict[str, int],
        parameter: dict[str, float],
        total: bool,
        upstream: Tensor,
        room: Tensor,
    ):
        self.kernels = kernels
        self.given, self.gradients, self.size, self.parameter = given, gradients, size, parameter
        self.summed, self.upstream, self.room = total, upstream, room
        self.rows = 1.0  # what weights are multiplied by: the size of the first batch, where the loss is a sum over it
        self.written: set[str] = set()
        self.launches: list[Launch | None] = []
        self.scratch: list[Tensor] = []
        self.plain = True  # whether it is launches only, which a tape repeats
        self.means: list[tuple[Tensor, int, float]] = []  # partial sums, how many, and what their total is divided by

    def run(self, kernel: Any, grid: tuple[int, int], warps: int, **arguments: Any) -> None:
        """Runs a kernel, and notes that it was run."""
        self.launches.append(self.kernels.run_kernel(kernel, grid, warps, arguments))

    def parts(self, number: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Room for partial sums and the like."""
        found = self.room.new_empty(number, dtype=dtype)
        self.scratch.append(found)
        return found

    def elements(
        self,
        kernel: Any,
        names: Sequence[str],
        learned: Sequence[str],
        event: int,
        weights: Sequence[float],
        double: bool = False,
    ) -> None:
        """The means over rows of sums over each row's `event` elements; `weights`: of those means in the loss."""
        size = max(self.given[name].numel() for name in names)
        rows, (block, warps) = size / event, DOUBLE if double else ELEMENTS
        blocks = blocks_of(size, block)
        sums = self.parts(len(weights) * blocks)
        arguments: dict[str, Any] = {}
        repeated: list[tuple[str, Tensor]] = []
        for name in names:
            tensor = self.given[name]
            repeats = tensor.numel() < size
            arguments |= {f"in_{name}": tensor, f"n_{name}": tensor.numel(), f"REPEATS_{name}": repeats}
            if name in learned:
                d = self.gradients[name]
                wants = d is not None
                if d is not None and repeats:
                    d = self.parts(size)
                    repeated.append((name, d))
                    self.plain = False
                arguments |= {f"d_{name}": tensor if d is None else d, f"WANTS_{name}": wants}
                arguments[f"ADDS_{name}"] = wants and not repeats and self.again(name)
        arguments |= {f"scale_{k}": weight / rows * self.rows for k, weight in enumerate(weights)}
        self.run(kernel, (blocks, 1), warps, **arguments, sums=sums, up=self.upstream, size=size, BLOCK=block)
        for name, d in repeated:
            self.add(name, d.view(-1, self.given[name].numel()).sum(0))
        self.means += [(sums[k * blocks :], blocks, rows) for k in range(len(weights))]

    def again(self, name: str) -> bool:
        """Whether an input's gradient has been written before; from now on it has."""
        before = name in self.written
        self.written.add(name)
        return before

    def add(self, name: str, values: Tensor) -> None:
        """Adds to an input's gradient."""
        d = self.gradients[name]
        assert d is not None
        d.add_(values.view_as(d)) if self.again(name) else d.copy_(values.view_as(d))

    def classes(
        self,
        kernel: Any,
        logits: str,
        learned: bool,
        classes: int | None,
        weight: float,
        *,
        index: str | None = None,
        weights: str | None = None,
    ) -> None:
        """The mean over rows of what is read off log softmax(logits); without `classes`, all are one row."""
        table = self.given[logits]
        beside: dict[str, Any] = {} if classes else {"shift": math.log(table.numel())}
        classes = classes or table.numel()
        rows = table.numel() // classes
        whole = classes <= CLASSES[0]
        width, warps = (power_above(classes), 4 if classes <= 2048 else 8) if whole else CLASSES[1:]
        block = max(1, min(32, 2048 // width))
        blocks = blocks_of(rows, block)
        sums = self.parts(blocks)
        d = self.gradients[logits] if learned else None
        beside |= {} if index is None else {"index": self.given[index], "n_index": self.given[index].numel()}
        if weights is not None:
            share, slopes = self.given[weights], self.gradients[weights] if learned else None
            if share.numel() != table.numel():
                raise Declined("weights of other rows")
            beside |= {"weights": share, "d_weights": share if slopes is None else slopes, "WANTS_WEIGHTS": slopes is not None}
            beside["ADDS_WEIGHTS"] = slopes is not None and self.again(weights)
        shape = {"WANTS": d is not None, "ADDS": d is not None and self.again(logits), "ROWS": block, "WIDTH": width}
        self.run(
            kernel, (blocks, 1), warps, logits=table, d=table if d is None else d, **beside, sums=sums, up=self.upstream,
            rows=rows, classes=classes, scale=weight / rows * self.rows, **shape, WHOLE=whole,
        )  # fmt: skip
        self.means.append((sums, blocks, rows))

    def codebook(
        self, kernel: Any, code: str, codebook: str, event: int, code_weight: float | None, weight: float | None, terms: int
    ) -> None:
        """The mean over rows of |code - e|^2, e nearest to the code, which moves the codes, the codebook or both."""
        codes, vectors = self.given[code], self.given[codebook]
        width, rows = vectors.numel() // len(vectors), codes.numel() / event
        number = codes.numel() // width
        block, side, across = CODES
        blocks = blocks_of(number, block)
        index, sums = self.parts(number, torch.int64), self.parts(blocks)
        d = self.gradients[code] if code_weight is not None else None
        shape = {"WANTS": d is not None, "ADDS": d is not None and self.again(code), "CODES": block, "VECTORS": side}
        self.run(
            kernel, (blocks, 1), 4, code=codes, codebook=vectors, d=codes if d is None else d, index=index, sums=sums,
            up=self.upstream, codes=number, vectors=len(vectors), width=width, **shape,
            scale=2 * (code_weight or 0.0) / rows * self.rows, WIDTH=min(across, power_above(width)),
        )  # fmt: skip
        if weight is not None and self.gradients[codebook] is not None:
            self.plain = False
            flat = vectors.view(len(vectors), width).float()
            slopes = flat[index].sub_(codes.view(number, width)).mul_(2 * weight / rows * self.rows * self.upstream)
            self.add(codebook, torch.zeros_like(flat).index_put_((index,), slopes, accumulate=True))
        self.means += [(sums, blocks, rows)] * terms

    def totals(self, kernel: Any, **numbers: float) -> None:
        """The terms and the loss, of the means."""
        arguments: dict[str, Any] = dict(numbers)
        for k, (parts, number, by) in enumerate(self.means):
            arguments |= {f"parts_{k}": parts, f"n_{k}": number, f"by_{k}": by}
        self.run(kernel, (1, 1), 4, **arguments, out=self.room, rows=self.rows, BLOCK=1024)


OnePass.launches = Kernels
