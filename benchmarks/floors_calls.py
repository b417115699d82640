"""What no call from Python can go below: the compiled pass by itself, and the least that PyTorch's engine wants around it.

    python benchmarks/floors_calls.py [--only PART ...] [--seconds 2]

All as parts of the time of the loss by hand, forward and backward, one thread, in turns: the pass called with its arguments; an
`autograd.Function` that computes nothing; one by hand that calls the pass and checks nothing, knows no terms and has no second
derivative; and the emitted loss. Between them is what the emitted loss does beside.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from torch import Tensor

losses = importlib.import_module("losses")  # which sets the allocator, and starts again

TITLES = ("evidence bound 32 x 784", "evidence bound 128 x 784")


class Nothing(torch.autograd.Function):
    """A scalar, and the inputs for gradients: what the engine takes by itself."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        ctx.save_for_backward(*given)
        return given[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(t if needed else None for t, needed in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=True))


class ByHand(torch.autograd.Function):
    """The pass, and nothing else."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Any], *given: Tensor) -> Tensor:
        value, _, ctx.gradients = run(given)
        ctx.save_for_backward(*given)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *ctx.gradients)


def competitors(case: Any) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    found, given = losses.competitors(case, False)
    losses.check(case, found)
    _, module = losses.module_of(case.spec)
    loss = module.Loss()
    loss(**given)
    library = module._one_pass().known[torch.float32]
    tensors = [given[i.name] for i in loss.INPUTS]
    leaves, wanted = [t for t in tensors if t.requires_grad], [t.requires_grad for t in tensors]
    values, sizes = [float(getattr(loss, name)) for name in library.parameters], library.sizes(tensors)

    def run(inputs: Any) -> Any:
        return library.run(inputs, values, False, wanted, sizes)

    def gradients(call: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(call(), leaves)

    return {
        "eager": found["eager"],
        "the pass": lambda: run([t.detach() for t in tensors]),
        "the engine": gradients(lambda: Nothing.apply(*tensors)),
        "both by hand": gradients(lambda: ByHand.apply(run, *tensors)),
        "emitted": found["emitted"],
    }


def main() -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of titles")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for line in losses.machine():
        print(line)
    parts = ("the pass", "the engine", "both by hand", "emitted")
    print(f"\n| loss | eager, microseconds | {' | '.join(parts)} | goal |\n|{'---|' * (len(parts) + 3)}")
    for case in (c for c in losses.cases() if c.title in TITLES and any(o in c.title for o in chosen.only)):
        found = competitors(case)
        for repeat, said in ((1, ""), (50, ", hot")):
            times = losses.timed(found, chosen.seconds, repeat)
            ratios = [statistics.median(a / b for a, b in zip(times[p], times["eager"], strict=True)) for p in parts]
            cells = [f"{statistics.median(times['eager']) * 1e6:.0f}", *(f"{r:.2f}" for r in ratios)]
            goal = "" if case.goals[0] is None else f"{case.goals[0]:.2f}"
            print(f"| {case.title}{said} | {' | '.join(cells)} | {goal} |", flush=True)


if __name__ == "__main__":
    main()
