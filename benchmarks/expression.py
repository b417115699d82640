"""Time of the readable expression, forward and backward, against the loss written by hand, for every system of the zoo.

    python benchmarks/expression.py [--sizes 32x784 ...] [--only NAME ...] [--threads 1] [--seconds 0.5]

What GPUs, transforms, mixed precision and second derivatives run: `loss.expression` of the loss by hand, that of `tests/references`, both
functions of tensors; then both as modules called by keyword, the checks of the emitted one included. Values are compared first, in double
precision. Competitors take turns; a ratio is the median of paired ratios.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


class Module(torch.nn.Module):
    """A function of tensors by keyword, as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]):
        super().__init__()
        self.function = function

    def forward(self, **given: torch.Tensor) -> torch.Tensor:
        """What it returns."""
        return self.function(**given)


Run = Callable[[], list]


def competitors(name: str, sizes: Axes, precision: torch.dtype) -> tuple[Run, Run, Run, Run]:
    """The loss and its gradients, by the expression, by hand, by the emitted module and by that by hand."""
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

    names = [((i.of, i.role, i.joint), i.name) for i in loss.INPUTS]
    module_by_hand = Module(lambda **given: by_hand.loss({k: given[n] for k, n in names}, **parameters)[0])
    return (
        lambda: gradients(loss.expression(*given.values()).loss),
        lambda: gradients(by_hand.loss(keys, **parameters)[0]),
        lambda: gradients(loss(**given).loss),
        lambda: gradients(module_by_hand(**given)),
    )


def check(name: str, sizes: Axes) -> None:
    """The same numbers to 1e-10 in double precision."""
    _, theirs, ours, _ = competitors(name, sizes, torch.float64)
    for a, b in zip(ours(), theirs(), strict=True):
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10 * float(b.abs().max()))


def ratios(runs: Sequence[Run], seconds: float) -> tuple[float, float]:
    """The medians of paired ratios, of the functions and of the modules."""
    times: list[tuple[float, float]] = []
    clock = (
        time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    )  # its own time alone, whoever else is at work
    for run in (*runs, *runs, *runs):
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 11:
        took = {}
        for k in random.sample(range(4), 4):
            start = clock()
            runs[k]()
            took[k] = clock() - start
        times.append((took[0] / took[1], took[2] / took[3]))
    return statistics.median(a for a, _ in times), statistics.median(b for _, b in times)


def rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """A line of the table for every system."""
    for path in sorted(ROOT.glob("ibsym/zoo/*.toml")):
        name = path.stem
        if options.only and name not in options.only:
            continue
        check(name, Axes(B=8, D=12, L=4, K=3))
        found = []
        for size in options.sizes:
            batch, width = map(int, size.split("x"))
            found.append(ratios(competitors(name, Axes(B=batch, D=width, L=32, K=10), torch.float32), options.seconds))
        functions, modules = ([f"{value:.2f}" for value in column] for column in zip(*found, strict=True))
        yield [name, *functions, f"{GOAL:.2f}", "yes" if max(map(float, functions)) <= GOAL else "no", *modules]


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
    head = [
        "of the loss by hand",
        *options.sizes,
        "goal",
        "met",
        *(f"modules, {size}" for size in options.sizes),
    ]
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows(options):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
