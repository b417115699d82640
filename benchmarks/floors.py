"""What no code can go below: the bytes of a loss at this machine's bandwidth, its exponentials or quotients at the speed of the pass's.

    python benchmarks/floors.py [--only PART ...]
    python benchmarks/floors.py --expressions [see floors_expressions.py]

A small C program over the emitted code's own elementary functions, one thread, float32: a copy and a loop of exponentials or quotients,
in cache and beyond it. Beside them the compiled pass by itself, on arguments in cache, without Python and autograd.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch

losses = importlib.import_module("losses")  # which sets the allocator, and starts again
ROOT, cases, machine = losses.ROOT, losses.cases, losses.machine

SOURCE = """
#include "prelude.h"
void copied(const float *restrict a, float *restrict b, int64_t n) { for (int64_t i = 0; i < n; i++) b[i] = a[i]; }
void powers(const float *restrict a, float *restrict b, int64_t n)
{
    LOOP for (int64_t i = 0; i < n; i++) b[i] = exponential_of_negative(a[i]);
}
void quotients(const float *restrict a, float *restrict b, int64_t n)
{
    LOOP for (int64_t i = 0; i < n; i++) b[i] = 1 / (1 - a[i]);
}
"""
EXPONENTIALS: dict[str, Callable[[dict[str, int]], int]] = {
    "evidence bound 32 x 784": lambda s: s["B"] * (s["D"] + s["L"]),
    "evidence bound 256 x 3072": lambda s: s["B"] * (s["D"] + s["L"]),
    "evidence bound 1024 x 12288": lambda s: s["B"] * (s["D"] + s["L"]),
    "Gaussian decoder 256 x 3072": lambda s: s["B"] * s["L"],
    "cross-entropy, 1000 classes, 512 rows": lambda s: s["B"] * (s["K"] + s["L"]),
    "total correlation 256 rows, 10": lambda s: s["B"] ** 2 * (s["L"] + 1),
    "total correlation 256 rows, 64": lambda s: s["B"] ** 2 * (s["L"] + 1),
}
"""How many exponentials a loss needs, if each serves value and gradient."""
QUOTIENTS: dict[str, Callable[[dict[str, int]], int]] = {
    f"discrepancy, 7 scales, {rows} rows, 16": lambda s: 7 * (2 * s["B"] ** 2 - s["B"]) for rows in (256, 1024)
}
"""How many quotients, of each pair and scale."""


def microseconds(call: Callable[[], object], seconds: float = 0.3) -> float:
    """The median time of a call, of this thread alone."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    call()
    while time.perf_counter() < end or len(times) < 9:
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return statistics.median(times) * 1e6


def program() -> ctypes.CDLL:
    """The two loops, compiled as the pass is."""
    with tempfile.TemporaryDirectory() as scratch:
        text, library = Path(scratch) / "floors.c", Path(scratch) / "floors.so"
        text.write_text(SOURCE, encoding="utf-8")
        flags = ["-O3", "-march=native", "-fopenmp-simd", "-DSIMD", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math"]
        command = ["cc", *flags, "-fPIC", "-shared", f"-I{ROOT / 'ibsym/runtime'}", str(text), "-o", str(library), "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))


def loop(function: ctypes._NamedFuncPointer, count: int) -> float:
    """Microseconds of a loop over so many floats."""
    source, target = -torch.rand(count), torch.empty(count)
    given = ctypes.c_void_p(source.data_ptr()), ctypes.c_void_p(target.data_ptr()), ctypes.c_int64(count)
    return microseconds(lambda: function(*given))


def main() -> None:
    """The table, as Markdown."""
    if "--expressions" in sys.argv:
        sys.argv.remove("--expressions")
        importlib.import_module("floors_expressions").main()
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="parts of titles")
    chosen = parser.parse_args().only
    torch.set_num_threads(1)
    compiled = program()
    for line in machine():
        print(line)
    print(
        "\n| loss | MB | its bytes copied | exponentials or quotients, million | microseconds | the pass by itself |"
        "\n|---|---|---|---|---|---|"
    )
    for case in (c for c in cases() if c.title in EXPONENTIALS | QUOTIENTS and any(o in c.title for o in chosen)):
        spec, module = losses.module_of(case.spec)
        loss = module.Loss()
        given = losses.arguments(spec, loss, case.sizes)
        loss(**given)
        library = module._one_pass().known[torch.float32]
        values = [float(getattr(loss, name)) for name in library.parameters]
        tensors = [given[i.name].detach() for i in loss.INPUTS]
        wanted = [given[i.name].requires_grad for i in loss.INPUTS]
        count = sum(t.numel() * (2 if want else 1) for t, want in zip(tensors, wanted, strict=True))
        kind, counted = ("powers", EXPONENTIALS) if case.title in EXPONENTIALS else ("quotients", QUOTIENTS)
        number = counted[case.title](case.sizes)
        by_itself = microseconds(lambda: library.run(tensors, values, False, wanted))  # noqa: B023  called at once
        numbers = f"{loop(compiled['copied'], count // 2):.0f} | {number / 1e6:.2f} | {loop(compiled[kind], number):.0f}"
        print(f"| {case.title} | {count * 4 / 1e6:.1f} | {numbers} | {by_itself:.0f} |", flush=True)


if __name__ == "__main__":
    main()
