"""Losses on a GPU, forward and backward: time, memory and values, against what people run there.

    python benchmarks/gpu.py [--rows PART ...] [--json FILE] [--page FILE] [--max-autotune PART ...] [--seconds 450]
    python benchmarks/gpu.py --emit FOLDER, and --losses FOLDER on a machine that has PyTorch alone

Every contestant is compared by value and gradients with the formula in float64, by blocks of rows, before it is timed. Contestants
take turns in random order; a time is a median of events on the device, its cache overwritten before each, and on the wall in a tight
loop where the overhead of a small loss is meant. A contestant that fails says so in its line; fused losses that are not installed are
left out. Without a GPU every row says "not measured".
"""

from __future__ import annotations

import argparse
import datetime
import functools
import gc
import importlib
import importlib.util
import json
import math
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.gpu_rows import CLASSES, Given, Row, arguments, rows  # noqa: E402

# ------------------------------------------------------------------------------------- contestants

Run = Callable[[], list[Tensor]]


def of_file(path: Path) -> ModuleType:
    """A module by its file."""
    name = f"{path.parent.name}_{path.stem}".replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # where torch.compile looks for it
    spec.loader.exec_module(module)
    return module


def contestants(row: Row, loss: Any, given: Given, tuned: bool, compiled: bool) -> Iterator[tuple[str, Callable[[], Run]]]:
    """Name, and what makes it ready: a function that gives the loss and the gradients of all that learns."""
    leaves = [t for t in given.values() if t.requires_grad]
    size = next(iter(given.values())).shape[0]

    def of(call: Callable[[], Tensor]) -> Run:
        def run() -> list[Tensor]:
            value = call()
            return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True)]

        return run

    def by_hand() -> Run:
        if not row.hand:
            return of(lambda: row.formula(given, slice(None)))
        module = of_file(ROOT / f"tests/references/{row.hand}.py")
        keys = {(i.of, i.role, i.joint): given[i.name] for i in loss.INPUTS}
        parameters = {n: float(getattr(loss, n)) for n in getattr(loss, "PARAMETERS", ())}
        return of(lambda: module.loss(keys, **parameters)[0])

    def readable(**options: Any) -> Run:
        work = torch.compile(lambda *tensors: loss.expression(*tensors).loss, dynamic=False, **options)
        inputs = tuple(given[i.name] for i in loss.INPUTS)

        def call() -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()
            found: Tensor = work(*inputs)
            return found

        return of(call)

    def chunked() -> list[Tensor]:
        value, gradients = torch.zeros((), device=leaves[0].device), [torch.zeros_like(t, dtype=torch.float32) for t in leaves]
        for start in range(0, size, row.block):
            part = row.formula(given, slice(start, start + row.block))
            value += part.detach()
            for total, found in zip(gradients, torch.autograd.grad(part, leaves), strict=True):
                total += found
        return [value, *(g.to(t.dtype) for g, t in zip(gradients, leaves, strict=True))]

    yield "emitted", lambda: of(lambda: loss(**given).loss)
    yield "expression", lambda: of(lambda: loss.expression(*(given[i.name] for i in loss.INPUTS)).loss)
    yield "by hand", by_hand
    if compiled:
        yield "compile", readable
        if tuned:
            yield "max-autotune", functools.partial(readable, mode="max-autotune")
    for name in row.fused:
        package = {"liger": "liger_kernel", "cut": "cut_cross_entropy"}.get(name.split()[0].strip(","), "torch")
        if name == "chunked":
            yield name, lambda: chunked
        elif importlib.util.find_spec(package) is not None:
            yield name, functools.partial(fused, name, row, given, of)


def fused(name: str, row: Row, given: Given, of: Callable[[Callable[[], Tensor]], Run]) -> Run:
    """A fused loss of another package. Some write over their logits: those get a copy, and the copy is in their time."""
    if name.startswith("liger") and row.spec is CLASSES:
        plain = importlib.import_module("liger_kernel.transformers").LigerCrossEntropyLoss()
        return of(lambda: plain(given["t_logits"].clone(), given["t"]))
    hidden, weight, bias, t = (given[n] for n in ("t_hidden", "t_weight", "t_bias", "t"))
    if name.startswith("liger"):
        made = importlib.import_module("liger_kernel.transformers").LigerFusedLinearCrossEntropyLoss
        linear = made(**({"accum_dtype": torch.float32} if "sums" in name else {}))
        return of(lambda: linear(weight, hidden, t, bias))
    cut = importlib.import_module("cut_cross_entropy").linear_cross_entropy
    eps = "high" if "filtered" in name else None
    return of(lambda: cut(hidden, weight, t, filter_eps=eps))  # it has no bias; ours is zero


# ------------------------------------------------------------------------------------- measuring


@dataclass
class Measured:
    """What one contestant showed; ``trouble`` where it did not run."""

    ms: float = math.nan
    mb: float = math.nan
    value_off: float = math.nan
    gradient_off: float = math.nan
    trouble: str = ""
    all: list[float] = field(default_factory=list)


def exact(row: Row, given: Given) -> list[Tensor]:
    """Value and gradients in float64, by blocks of rows."""
    wide = {n: t.detach().double().requires_grad_(t.requires_grad) if t.is_floating_point() else t for n, t in given.items()}
    leaves = [t for t in wide.values() if t.requires_grad]
    size = next(iter(given.values())).shape[0]
    value, gradients = torch.zeros((), dtype=torch.float64, device=leaves[0].device), [torch.zeros_like(t) for t in leaves]
    for start in range(0, size, min(row.block, size)):
        part = row.formula(wide, slice(start, start + row.block))
        value += part.detach()
        for total, found in zip(gradients, torch.autograd.grad(part, leaves, allow_unused=True), strict=True):
            if found is not None:
                total += found
    return [value, *gradients]


def compared(got: list[Tensor], right: list[Tensor]) -> tuple[float, float]:
    """How far the value is off, and the worst gradient, as a share of its norm."""
    off = [
        float((g.double() - r).norm() / r.norm().clamp_min(1e-300))
        for g, r in zip(got[1:], right[1:], strict=True)
        if g is not None and float(r.norm()) > 0
    ]
    return float((got[0].double() - right[0]).abs() / right[0].abs().clamp_min(1e-3)), max(off, default=0.0)


class Clock:
    """Milliseconds of a run: by events on a GPU whose cache was overwritten, or on the wall in a tight loop."""

    def __init__(self, device: str, hot: bool):
        self.gpu, self.hot = device == "cuda", hot
        self.room = torch.empty(64 << 20, dtype=torch.float32, device=device) if self.gpu else None

    def __call__(self, run: Run) -> float:
        if self.gpu and not self.hot:
            assert self.room is not None
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            self.room.zero_()
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end)
        repeat = 50 if self.hot and self.gpu else 1
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        if self.gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3 / repeat


def memory(run: Run) -> float:
    """MB beyond what was there before, at most."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def said(error: Exception) -> str:
    """The first line of an error that says anything."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:120].replace("|", "/")


def measured(
    row: Row, losses: Path, device: str, tiny: bool, tuned: bool, compiled: bool, seconds: float
) -> tuple[dict[str, Measured], float]:
    """Every contestant of a row; and the bytes that any of them must read and write. The loss is emitted where it is not there yet."""
    path = losses / f"{row.stem}.py"
    if not path.is_file():
        path.write_text(row.text(), encoding="utf-8")
    torch._dynamo.reset()
    loss = of_file(path).Loss()
    given = arguments(row, loss, device, tiny)
    right = exact(row, given)
    found: dict[str, Measured] = {}
    ready: dict[str, Run] = {}
    rough = row.dtype is not torch.float32
    for name, make in contestants(row, loss, given, tuned, compiled):
        found[name] = one_of = Measured()
        try:
            run = make()
            one_of.value_off, one_of.gradient_off = compared(run(), right)
            if one_of.value_off > (1e-2 if rough else 1e-4) or one_of.gradient_off > (3e-2 if rough else 1e-3):
                one_of.trouble = "other values"
            if device == "cuda":
                one_of.mb = memory(run)
            ready[name] = run
        except Exception as error:
            one_of.trouble = said(error)
    del right
    if device == "cuda":
        torch.cuda.empty_cache()
    clock, end = Clock(device, row.small), time.monotonic() + seconds
    for turn in range(60):
        for name in random.sample(list(ready), len(ready)):
            try:
                elapsed = clock(ready[name])
            except Exception as error:
                found[name].trouble = said(error)
                del ready[name]
                continue
            if turn >= 2:
                found[name].all.append(elapsed)
        if turn >= 6 and time.monotonic() > end:
            break
    for one_of in found.values():
        one_of.ms = statistics.median(one_of.all) if one_of.all else math.nan
    bytes_moved = sum(t.numel() * t.element_size() * (2 if t.requires_grad else 1) for t in given.values())
    return found, float(bytes_moved)


def bandwidth() -> float:
    """Bytes a second of a large copy, read and written."""
    source = torch.zeros(1 << 28, dtype=torch.float32, device="cuda")
    target, times = torch.empty_like(source), []
    for _ in range(10):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        target.copy_(source)
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return 2 * source.numel() * 4 / (statistics.median(times) / 1e3)


def goals(row: Row, found: dict[str, Measured], floor: float) -> list[tuple[str, float, float]]:
    """Each goal in words, what was measured, and the most that it may be; NaN where there is nothing to compare with."""
    ours, result = found["emitted"], []
    good = {n: m for n, m in found.items() if not m.trouble}
    for kind, against, most in row.goals:
        peers = [m for n, m in good.items() if n == against or (against == "fused" and n in row.fused and n != "chunked")]
        if kind == "floor":
            result.append(("bytes over bandwidth", ours.ms / floor if floor else math.nan, most))
            continue
        mine, theirs = (ours.ms, [m.ms for m in peers]) if kind == "time" else (ours.mb, [m.mb for m in peers])
        if against == "fused" and kind == "memory":  # of the fastest
            theirs = [min(peers, key=lambda m: m.ms).mb] if peers else []
        least = min((t for t in theirs if t == t), default=math.nan)
        result.append((f"{kind} of {'the best fused' if against == 'fused' else against}", mine / least, most))
    return result


# ------------------------------------------------------------------------------------- what is told


def number(value: float, form: str = ".3g") -> str:
    """A number, or nothing."""
    return "" if value != value else f"{value:{form}}"


def told(row: Row, found: dict[str, Measured], floor: float) -> tuple[list[str], list[str]]:
    """Lines of the table of contestants, and of that of goals."""
    ours = found["emitted"].ms
    lines = [
        f"| {row.title} | {name} | {number(m.ms, '.4g')} | {number(ours / m.ms, '.2f') if m.ms else ''} | {number(m.mb, '.1f')} "
        f"| {number(m.value_off, '.0e')} | {number(m.gradient_off, '.0e')} | {m.trouble} |"
        for name, m in found.items()
    ]
    verdict = lambda got, most: "not measured" if got != got else "met" if got <= most else "not met"  # noqa: E731
    met = [
        f"| {row.title} | {what} | {number(got, '.3f')} | {most:.3g} | {verdict(got, most)} |"
        for what, got, most in goals(row, found, floor)
    ]
    return lines, met


HEAD_ALL = "| loss | contestant | ms | emitted, of its time | peak MB | value off | gradient off | |\n|---|---|---|---|---|---|---|---|"
HEAD_GOALS = "| loss | of what | measured | goal | |\n|---|---|---|---|---|"


def machine(gpu: bool) -> list[str]:
    """What it was measured on."""
    lines = [f"torch {torch.__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"]
    if not gpu:
        return lines
    for package in ("triton", "liger_kernel", "cut_cross_entropy"):
        if importlib.util.find_spec(package) is not None:
            distribution = package.replace("_", "-")
            try:
                lines.append(f"{distribution} {importlib.import_module('importlib.metadata').version(distribution)}")
            except Exception as error:
                lines.append(f"{distribution}, {said(error)}")
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        card = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        card = torch.cuda.get_device_name()
    return [f"{card}; CUDA {torch.version.cuda}", *lines]


NOTES = """
## Why goals were missed on an H100 in November 2026

* **Bytes over bandwidth.** The times hold what the processor takes to launch kernels: this machine's takes half a
  millisecond for a loss and its gradients, whatever the size (see the overhead of 32 x 784), where the kernels themselves
  take a tenth of that. By the profiler, on the same card, the Bernoulli decoder's kernel took 0.054 ms for 1024 x 12288,
  1.06 times the bytes over the bandwidth, all kernels of the loss and its gradients together 0.067 ms, 1.3 times; of 8192 x
  50000 classes the one kernel took 1.75 ms, 1.6 times: rows that do not fit a program are read twice, and the second
  reading is most of the rest.
* **Total correlation and discrepancies.** The kernels' own 2.7 ms (by the profiler: table .40, coordinates apart .69,
  gradients by rows .66, by columns .97) are 0.4 of the compiled expression's 6.9. An entry and coordinate costs some 17, 14
  and 18 instructions and one exponential in the three large passes; at 29e12 instructions a second, the card's rate, 1.07e9
  of each take 1.8 ms, so that .3 would need the two gradients in one pass.
* **A head in bfloat16.** The gradient of the weights is summed in float32; liger's default sums it in bfloat16, in half of
  the memory and with ten times the error. With float32 sums it takes the time and the memory that ours takes.
* **InfoNCE of 32,768 rows.** By a mistake of the benchmark, mended since, embeddings were as wide as there are rows, 32,768
  and not 256: the products are nearly all of the time, the embeddings' gradients and one scaled copy (12 GB) all of the memory,
  and the float64 reference of both directions had no room. Those rows stand under the width that they had; 256 is not measured.
"""


def page(lines: list[str], table: list[str], met: list[str]) -> str:
    """The page of the day."""
    today = datetime.date.today()
    about = (
        "Forward and backward, medians of turns in random order. Values and gradients are compared with the formula in float64. "
        "**by hand**: the loss that one writes (`tests/references` for the zoo), in eager mode. **compile**, **max-autotune**: "
        "`torch.compile` of the emitted loss's `expression`. **chunked**: the formula by blocks of rows, each block's gradients as it "
        "goes. The overhead is on the wall, in a tight loop; the others are times of the device, its cache overwritten before each."
    )
    parts = [f"# Losses on a GPU, {today:%d %B %Y}", "Written by `python benchmarks/gpu.py --page docs/gpu-2026-11.md`.", about]
    parts += ["\n".join(f"* {line}" for line in lines), "## Goals", "\n".join([HEAD_GOALS, *met])]
    parts += [NOTES.strip()] if any("not met" in line for line in met) else []
    return "\n\n".join([*parts, "## Everything", "\n".join([HEAD_ALL, *table])]) + "\n"


def main(words: list[str] | None = None) -> None:
    """The tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=[], metavar="PART", help="parts of titles")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="docs/gpu-2026-11.md")
    parser.add_argument(
        "--max-autotune", nargs="*", default=None, metavar="PART", help="rows that are tuned as well; a few by default"
    )
    parser.add_argument("--seconds", type=float, default=450, help="for everything; rows that come later are not measured")
    parser.add_argument("--each", type=float, default=4.0, help="seconds of turns for a row")
    parser.add_argument("--emit", type=Path, help="write the losses to a folder, and nothing else")
    parser.add_argument("--losses", type=Path, help="the folder that --emit wrote")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="cpu: tiny sizes, to see that everything runs"
    )
    chosen = parser.parse_args(words)
    dry, there = chosen.device == "cpu", chosen.device == "cuda" and torch.cuda.is_available()
    if chosen.emit:
        chosen.emit.mkdir(parents=True, exist_ok=True)
        for row in rows():
            (chosen.emit / f"{row.stem}.py").write_text(row.text(), encoding="utf-8")
        return
    losses = chosen.losses or Path(tempfile.mkdtemp(prefix="ibsym-losses-"))
    start, lines = time.monotonic(), machine(there)
    speed = bandwidth() if there else math.nan
    if there:
        lines.append(f"a copy moves {speed / 1e12:.2f} TB/s")
    table: list[str] = []
    met: list[str] = []
    kept: dict[str, Any] = {}

    def write() -> None:
        if chosen.page:
            chosen.page.write_text(page(lines, table, met), encoding="utf-8")
        if chosen.json:
            chosen.json.write_text(json.dumps({"machine": lines, "rows": kept}, indent=1), encoding="utf-8")

    for row in rows():
        if chosen.rows and not any(part in row.title for part in chosen.rows):
            continue
        tuned = row.tuned if chosen.max_autotune is None else any(part in row.title for part in chosen.max_autotune)
        if not (there or dry) or time.monotonic() - start > chosen.seconds:
            new, reached = [f"| {row.title} | | not measured | | | | | |"], [f"| {row.title} | | | | not measured |"]
        else:
            try:
                seconds = 0.05 if dry else chosen.each
                found, moved = measured(row, losses, chosen.device, dry, tuned, not chosen.no_compile, seconds)
                new, reached = told(row, found, moved / speed * 1e3)
                kept[row.title] = {"contestants": {n: vars(m) for n, m in found.items()}, "floor_ms": moved / speed * 1e3}
            except Exception as error:
                new, reached = [f"| {row.title} | | | | | | | {said(error)} |"], [f"| {row.title} | | | | not measured |"]
        table += new
        met += reached
        print("\n".join(new), f"[{time.monotonic() - start:.0f} s]", flush=True, file=sys.stderr)
        if there:
            gc.collect()
            torch.cuda.empty_cache()
            write()
    write()
    print("\n".join([*lines, "", HEAD_ALL, *table, "", HEAD_GOALS, *met]))


if __name__ == "__main__":
    main()
