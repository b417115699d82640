"""Time and memory of products that are never stored, forward and backward, against the tables that one writes by hand.

    python benchmarks/heads.py [--rows 4096] [--classes 50000] [--width 64] [--pairs 8192] [--threads 1] [--rounds 3]

A cross-entropy whose logits are a linear head's, and InfoNCE by inner products, in one direction and in both. Each measurement is a process
of its own, which times and takes its own memory; they take turns, and a ratio is the median of the paired ratios. Two floors: the three
matrix products that any exact loss needs, alone; and the products with what must stand between them where no table is stored: for each
entry of a block in cache a maximum, a difference, an exponential and a sum. In both directions a column's sum is known after the last
row only: the table and its exponentials are computed twice. (`benchmarks/losses.py` has what one pass of C computes.)
"""

from __future__ import annotations

import argparse
import math
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

import ibsym  # noqa: E402

HEAD = {
    "name": "head",
    "objective": "maximize I_q(Z;T)",
    "variables": {"x": "real[D]", "z": "real[L]", "t": "categorical[K]"},
    "joints": {"q": "data(x,t) q(z|x)", "p": "p(t|z)"},
    "families": {"q(z|x)": "deterministic", "p(t|z)": {"family": "categorical", "head": "linear"}},
}
PAIRS = {
    "name": "pairs",
    "variables": {"x1": "real[D1]", "x2": "real[D2]", "z1": "real[L]", "z2": "real[L]"},
    "joints": {"q": "data(x1,x2) q(z1|x1) q(z2|x2)"},
    "families": {"q(z1|x1)": "deterministic", "q(z2|x2)": "deterministic"},
}
BY_PRODUCT = {"estimator": "infonce", "critic": "inner-product"}
ONE = {**PAIRS, "objective": "maximize I_q(Z1;Z2)", "estimators": {"I_q(Z1;Z2)": BY_PRODUCT}}
BOTH = {
    **PAIRS,
    "objective": "maximize I_q(Z1;Z2)/2 + I_q(Z2;Z1)/2",
    "estimators": {"I_q(Z1;Z2)": BY_PRODUCT, "I_q(Z2;Z1)": BY_PRODUCT},
}
SPECS = {"head": HEAD, "one": ONE, "both": BOTH}
TITLES = {"head": "linear head", "one": "InfoNCE, one direction", "both": "InfoNCE, both directions"}
GOAL, MEMORY = 0.35, 1 / 80

Work = Callable[[], Tensor | None]


def made(kind: str, how: str, rows: int, classes: int, width: int) -> tuple[Work, list[Tensor]]:
    """What is timed, and the leaves that it differentiates."""
    torch.manual_seed(0)
    first = torch.randn(rows, width, requires_grad=True)
    if kind == "head":
        second = (torch.randn(classes, width) / math.sqrt(width)).requires_grad_()
        bias, index = torch.zeros(classes, requires_grad=True), torch.randint(0, classes, (rows,))
        learned = [first, second, bias]
    else:
        second, index = (torch.randn(rows, width) / math.sqrt(width)).requires_grad_(), torch.arange(rows)
        learned = [first, second]
    heat = torch.tensor(0.9)
    if how == "floor":
        return (lambda: products(first.detach(), second.detach())), []
    if how == "visits":
        return (lambda: visits(first.detach(), second.detach(), kind)), []
    if how == "eager":
        if kind == "head":
            return (lambda: F.cross_entropy(F.linear(first, second, bias), index)), learned
        if kind == "one":
            return (lambda: F.cross_entropy(first @ second.T / heat, index) - math.log(rows)), learned

        def clip() -> Tensor:
            table = first @ second.T / heat
            return (F.cross_entropy(table, index) + F.cross_entropy(table.T, index)) / 2 - math.log(rows)

        return clip, learned
    loss = ibsym.compile(ibsym.Spec(**SPECS[kind]))()
    given = {"t": index, "t_hidden": first, "t_weight": second, "t_bias": bias} if kind == "head" else {}
    if kind != "head":
        given = {"z1_embedding": first, "z2_embedding": second, "z1_z2_temperature": heat}
        given |= {"z2_z1_temperature": heat} if kind == "both" else {}
    return (lambda: loss(**given).loss), learned


def products(first: Tensor, second: Tensor, block: int = 64) -> None:
    """The table and the two gradients' products, by blocks, with nothing between them."""
    room, total = first.new_empty(len(second), block), torch.zeros_like(second)
    for part in first.split(block):
        table = torch.mm(second, part.T, out=room[:, : len(part)] if len(part) == block else None)
        torch.mm(table.T, second)
        total.addmm_(table, part)


def visits(first: Tensor, second: Tensor, kind: str, block: int = 64) -> None:
    """The same with a maximum, a difference, an exponential and a sum for every entry; in both directions, of a table computed twice."""
    room, total, bias = first.new_empty(len(second) * block), torch.zeros_like(second), first.new_zeros(len(second), 1)
    columns = first.new_zeros(len(second))

    def shares(part: Tensor) -> Tensor:
        table = torch.mm(second, part.T, out=room[: len(second) * len(part)].view(len(second), len(part)))
        table = table.add_(bias) if kind == "head" else table
        return table.sub_(table.amax(0)).exp_()

    if kind == "both":
        for part in first.split(block):
            table = shares(part)
            columns.addmv_(table, table.sum(0))
    for part in first.split(block):
        table = shares(part)
        table.mul_(1 / table.sum(0))
        torch.mm(table.T, second)
        total.addmm_(table, part)


def child(kind: str, how: str, rows: int, classes: int, width: int, threads: int) -> None:
    """One measurement: seconds, megabytes beyond what was there before, the value."""
    torch.set_num_threads(threads)
    made(kind, how, 8, 8, 4)[0]()  # what is imported and emitted once
    work, learned = made(kind, how, rows, classes, width)
    before, seconds, value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [], 0.0
    for _ in range(2):
        for leaf in learned:
            leaf.grad = None
        start = time.perf_counter()
        out = work()
        if out is not None:
            out.backward()  # type: ignore[no-untyped-call]
            value = out.item()
        seconds.append(time.perf_counter() - start)
    print(min(seconds), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, value)


def measured(kind: str, how: str, sizes: list[int]) -> tuple[float, float, float]:
    """Seconds, megabytes and value of a process of its own."""
    command = [sys.executable, __file__, "--child", kind, how, *map(str, sizes)]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(words[0]), float(words[1]), float(words[2])


def compared(kind: str, sizes: list[int], rounds: int) -> str:
    """A line of the table."""
    times, floors, visited, memory, off = [], [], [], [], 0.0
    for _ in range(rounds):
        eager, ours, floor, apart = (measured(kind, how, sizes) for how in ("eager", "streamed", "floor", "visits"))
        times.append(ours[0] / eager[0])
        floors.append(floor[0] / eager[0])
        visited.append(apart[0] / eager[0])
        memory.append(max(ours[1], 0.1) / max(eager[1], 0.1))
        off = max(off, abs(ours[2] - eager[2]))
    ratio, least, between, room = map(statistics.median, (times, floors, visited, memory))
    met, kept = ("yes" if found <= goal else "no" for found, goal in ((ratio, GOAL), (room, MEMORY)))
    shape = f"{sizes[0]} x {sizes[1] if kind == 'head' else sizes[0]}, {sizes[2]} wide"
    said = f"| {TITLES[kind]}, {shape} | {ratio:.2f} | {GOAL} | {met} | {least:.2f} | {between:.2f} "
    return f"{said}| 1/{1 / room:.0f} | 1/{1 / MEMORY:.0f} | {kept} | {off:.0e} |"


def main() -> None:
    """The table in Markdown."""
    if sys.argv[1:2] == ["--child"]:
        kind, how, *sizes = sys.argv[2:]
        child(kind, how, *map(int, sizes))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("rows", 4096), ("classes", 50000), ("width", 64), ("pairs", 8192), ("threads", 1), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", nargs="+", choices=list(TITLES), default=list(TITLES))
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {chosen.threads} thread(s)")
    head = [
        "loss",
        "of eager's time",
        "goal",
        "met",
        "three products alone",
        "with what is between",
        "of its memory",
        "goal",
        "met",
    ]
    print(f"\n| {' | '.join(head)} | values off by |\n|{'---|' * (len(head) + 1)}")
    for kind in chosen.only:
        rows = chosen.rows if kind == "head" else chosen.pairs
        print(compared(kind, [rows, chosen.classes, chosen.width, chosen.threads], chosen.rounds), flush=True)


if __name__ == "__main__":
    main()
