"""Time of the readable expression, forward and backward, against the loss written by hand, for every system of the zoo.

    python benchmarks/expression.py [--sizes 32x784 ...] [--only NAME ...] [--threads 1] [--seconds 0.5]

What GPUs, transforms, mixed precision and second derivatives run, from ``forward`` on, checks included; the reference is that of
`tests/references`. Values are compared first, in double precision. Competitors take turns; a ratio is the median of paired ratios.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch

import ibsym
from ibsym.conformance import sample

os.environ["IBSYM_NATIVE"] = "0"  # no compiled code: the expression
losses = importlib.import_module("losses")  # which sets the allocator, and starts again
ROOT, machine, reference = losses.ROOT, losses.machine, losses.reference

GOAL = 1.05
SIZES = ("32x784", "128x784", "256x3072")


class Axes(dict[str, int]):
    """Sizes for the axes of a module: batches are alike, and so are the axes that have no size of their own."""

    def __missing__(self, axis: str) -> int:
        if axis.isdigit():
            return int(axis)
        base = axis.split("_")[0].rstrip("0123456789")
        return self[base] if base in self else self["L"]

    def of(self, axes: Iterable[str]) -> tuple[int, ...]:
        """The sizes of several axes."""
        return tuple(self[a] for a in axes)


def pair(name: str, sizes: Axes, precision: torch.dtype) -> tuple[Callable[[], list], Callable[[], list]]:
    """The loss and its gradients, by the expression and by hand."""
    spec, stem = ibsym.load(name), name.replace("-", "_")
    module, by_hand = losses.of_file(ROOT / f"generated/{stem}.py"), reference(stem)
    loss = module.Loss()
    torch.manual_seed(0)
    given = {i.name: sample(spec, i, sizes, drawn=False) for i in loss.INPUTS}
    given = {n: t.to(precision) if t.is_floating_point() else t for n, t in given.items()}
    leaves = [given[i.name].requires_grad_() for i in loss.INPUTS if i.role != "value"]
    keys = {(i.of, i.role, i.joint): given[i.name] for i in loss.INPUTS}
    parameters = {n: float(p.default) for n, p in spec.parameters.items()}

    def gradients(value: torch.Tensor) -> list:
        return [value.detach(), *torch.autograd.grad(value, leaves, allow_unused=True)]

    return lambda: gradients(loss(**given).loss), lambda: gradients(by_hand.loss(keys, **parameters)[0])


def check(name: str, sizes: Axes) -> None:
    """The same numbers to 1e-10 in double precision."""
    ours, theirs = pair(name, sizes, torch.float64)
    for a, b in zip(ours(), theirs(), strict=True):
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10 * float(b.abs().max()))


def ratio(ours: Callable[[], list], theirs: Callable[[], list], seconds: float) -> tuple[float, float]:
    """The median of paired ratios, and ours in microseconds."""
    times: list[tuple[float, float]] = []
    runs = [ours, theirs]
    clock = (
        time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    )  # its own time alone, whoever else is at work
    for run in runs * 3:
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 11:
        took = {}
        for k in random.sample(range(2), 2):
            start = clock()
            runs[k]()
            took[k] = clock() - start
        times.append((took[0], took[1]))
    return statistics.median(a / b for a, b in times), statistics.median(a for a, _ in times)


def rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """A line of the table for every system."""
    for path in sorted(ROOT.glob("ibsym/zoo/*.toml")):
        name = path.stem
        if options.only and name not in options.only:
            continue
        cells, worst = [], 0.0
        for size in options.sizes:
            batch, width = map(int, size.split("x"))
            sizes = Axes(B=batch, D=width, L=32, K=10)
            check(name, Axes(B=8, D=12, L=4, K=3))
            value, _ = ratio(*pair(name, sizes, torch.float32), options.seconds)
            cells.append(f"{value:.2f}")
            worst = max(worst, value)
        yield [name, *cells, f"{GOAL:.2f}", "yes" if worst <= GOAL else "no"]


def main() -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for line in machine():
        print(line)
    head = ["expression, of the loss by hand", *options.sizes, "goal", "met"]
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows(options):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
