"""Time of one derivation by number of variables: ladders of latents, sensors with their codes, twelve variables in three joints.

python benchmarks/derive.py [--repeat 3]
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time

import ibsym
from tests.derivation.large import ladder, sensors, twelve

SPECS = {
    **{f"ladder of {n} layers": ladder(n) for n in range(1, 12)},
    **{f"{n} sensors": sensors(n) for n in range(1, 7)},
    "twelve in three joints, rates": twelve("minimize beta*I_q(X1,X2;W) + beta*I_q(X3,X4;U) - I_q(W,U;Y)"),
    "twelve in three joints, evidence": twelve("minimize KL(q(z1,z2,w|x1,x2)||p(z1,z2,w|x1,x2))"),
}
GOAL = 2.0
"""Seconds that none should take."""


def main() -> None:
    """Prints a row for each spec: the median of process time, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    ibsym.derive("vib")
    for name, spec in SPECS.items():
        times = []
        for _ in range(repeat):
            start = time.process_time()
            derivation = ibsym.derive(spec)
            times.append(time.process_time() - start)
        start = time.process_time()
        ibsym.audit(derivation)
        audited = time.process_time() - start
        size = derivation.coordinates.size
        print(
            f"{name:34} size {size:7}  derive {statistics.median(times):6.2f} s  audit {audited:6.2f} s"
            + ("" if statistics.median(times) <= GOAL else f"  more than {GOAL} s"),
            flush=True,
        )


if __name__ == "__main__":
    main()
