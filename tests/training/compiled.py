"""After a few steps from one seed, compiled and uncompiled steps end in equal parameters; which systems are one graph a pass.

    python -m tests.training.compiled [NAME...] [--steps 2] [--backend aot_eager]

A pass is one graph, or it is compiled in pieces: a rejection sampler or an order within classes depends on the data.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from unittest import mock

import torch

from ibsym.training.engine import Engine, Machine
from tests.training.helpers import ZOO, trainer

SMALL = {"hidden": 8, "batch": 16}
TOLERANCE = {"aot_eager": 1e-9, "inductor": 1e-5}


def trained(name, machine, steps):
    """The parameters after so many steps of every player, in float64."""
    run = trainer(name, dtype="float64", settings=SMALL, engine=Engine(machine))
    for batch in itertools.islice(itertools.chain.from_iterable(itertools.repeat(run.batches)), steps):
        run.step([batch])
    return {n: p.detach().clone() for n, p in run.system.named_parameters()}


def difference(name, steps, backend, *, whole):
    """The largest difference of a parameter, in units of its size; an error where a pass is not one graph and must be."""
    torch._dynamo.reset()
    plain = trained(name, Machine(), steps)
    compile_ = functools.partial(torch.compile, backend=backend, fullgraph=whole)
    given = compile_ if backend == "inductor" else lambda function, options: compile_(function)
    with mock.patch("torch.compile", given):
        compiled = trained(name, Machine(compile=True), steps)
    return max(float((compiled[n] - plain[n]).abs().max() / (1 + plain[n].abs().max())) for n in plain)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--backend", choices=TOLERANCE, default="aot_eager")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = options.names or ZOO
    failed = pieces = 0
    for name in names:
        try:
            worst, how = difference(name, options.steps, options.backend, whole=True), "one graph a pass"
        except torch._dynamo.exc.TorchDynamoException as error:
            worst, how = (
                difference(name, options.steps, options.backend, whole=False),
                f"in pieces: {str(error).splitlines()[0]}",
            )
            pieces += 1
        differs = worst > TOLERANCE[options.backend]
        failed += differs
        print(f"{name:<32} {worst:.1e}  {how}" + ("  differs" if differs else ""), flush=True)
    print(f"{len(names)} systems, {failed} differ, {pieces} in pieces")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
