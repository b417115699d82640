"""After thirty steps from one seed, the emitted loss and the reference written by hand have led to equal parameters.

    python -m tests.training.equality [NAME...] [--steps 30]

A critic's step does not depend on which of the two the model minimises, so a difference is the loss's: of its value or of a
gradient that no single evaluation shows. In float64, on small batches.
"""

from __future__ import annotations

import argparse
import itertools

import torch

from tests.training.helpers import ZOO, reference, trainer

SMALL = {"hidden": 8, "batch": 16}
TOLERANCE = 1e-7


def trained(name, substitute, steps):
    """The parameters after so many steps of every player."""
    run = trainer(name, dtype="float64", settings=SMALL, loss=substitute)
    for batch in itertools.islice(itertools.chain.from_iterable(itertools.repeat(run.batches)), steps):
        run.step([batch])
    return {n: p.detach().clone() for n, p in run.system.named_parameters()}


def difference(name, steps):
    """The largest difference of a parameter, in units of its size, and whether anything moved."""
    emitted, written = trained(name, None, steps), trained(name, reference(name), steps)
    start = trained(name, None, 0)
    assert emitted.keys() == written.keys()
    worst = max(float((emitted[n] - written[n]).abs().max() / (1 + written[n].abs().max())) for n in emitted)
    return worst, any(not torch.equal(start[n], emitted[n]) for n in emitted)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=ZOO)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    failed = 0
    for name in options.names or ZOO:
        worst, moved = difference(name, options.steps)
        failed += worst > TOLERANCE or not moved
        print(f"{name:<32} {worst:.1e}" + ("" if worst <= TOLERANCE and moved else "  differs"), flush=True)
    print(f"{len(options.names or ZOO)} systems, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
