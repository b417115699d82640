"""The attack on derivations, losses and the prover: random specs, claims and worlds, counts at the end; exit status 1 on a violation.

python -m tests.attack.run --pairs 100000
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.attack.bounds import Tally, attack_derivation, attack_seed
from tests.attack.claims import attack_claim
from tests.attack.large import attack_large
from tests.attack.losses import attack_loss
from tests.attack.running import attack_running

ROOT = Path(__file__).resolve().parents[2]
BATCH = 20


def attack_specs(worlds: int) -> Tally:
    """Every spec of the zoo and of the tests, in many worlds."""
    from ibsym.derivation.engine import derive
    from ibsym.spec.loading import load, zoo_names

    tally = Tally()
    for name in [*zoo_names(), *sorted(ROOT.glob("tests/specs/*.toml")), *sorted(ROOT.glob("tests/specs/bounded/*.toml"))]:
        derivation = derive(load(name))
        attack_derivation(derivation, 1, worlds, tally, str(name))
        for constraint in derivation.constraints:
            if constraint.derivation is not None:
                attack_derivation(constraint.derivation, 2, worlds, tally, f"{name}, constraint")
    return tally


def job(task: tuple[str, int, int]) -> Tally:
    kind, start, worlds = task
    total = Tally()
    if kind == "specs":
        return attack_specs(worlds)
    for seed in range(start, start + BATCH):
        match kind:
            case "bounds":
                total += attack_seed(seed, worlds)
            case "losses":
                total += attack_loss(seed, worlds)
            case "running":
                total += attack_running(seed)
            case "claims":
                total += attack_claim(seed)
            case _ if seed % 5 == 0:
                total += attack_large(seed // 5)
    return total


def tasks(worlds: int, start: int) -> Iterator[tuple[str, int, int]]:
    """For ever: mostly bounds; claims, losses and whole modules between."""
    yield "specs", 0, 20 * worlds
    while True:
        yield "bounds", start, worlds
        yield "claims", start, worlds
        yield "losses", start, worlds
        yield "running", start, worlds
        yield "large claims", start, worlds
        start += BATCH


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(counts.items())) or "none"


def report(tally: Tally, seconds: float) -> str:
    d, r = tally.derivations, tally.refused
    lines = [
        f"derivations             {d.total()} ({listed(d)})",
        f"refused                 {r.total()} ({listed(r)})",
        f"(derivation, world)     {tally.total} pairs: {tally.pairs['finite']} finite, {tally.pairs['Gaussian']} Gaussian; "
        f"{tally.pairs['infinite or undefined']} more without a finite value",
        f"claims                  {tally.claims.total()} ({listed(tally.claims)})",
        f"(proof, world)          {tally.pairs['claims in worlds']} pairs; {tally.pairs['certificates']} certificates verified, "
        f"{tally.pairs['counterexamples']} counterexamples verified",
        f"(critic, world)         {tally.pairs['critics in worlds']} pairs; {tally.pairs['losses that bound']} losses that bound, "
        f"{tally.pairs['gradients']} gradients at the best critic",
        f"derived, emitted, run   {tally.pairs['modules run']} modules, {tally.pairs['values and gradients']} values and gradients",
        f"largest relative error  {tally.largest:.2g}",
        f"time                    {seconds:.0f} s",
        f"violations              {len(tally.violations)}",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=100_000, help="stop after so many (derivation, world) pairs")
    parser.add_argument("--worlds", type=int, default=35, help="worlds a derivation")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begun, shown, total = time.monotonic(), 0.0, Tally()
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        source = tasks(options.worlds, options.seed)
        running = [pool.apply_async(job, (next(source),)) for _ in range(2 * options.workers)]
        while total.total < options.pairs:
            tally = running.pop(0).get()
            running.append(pool.apply_async(job, (next(source),)))
            total += tally
            for violation in tally.violations:
                print("VIOLATION", violation, flush=True)
            if time.monotonic() - shown > 15:
                shown = time.monotonic()
                print(f"{total.total} pairs, {len(total.violations)} violations", flush=True)
    print(report(total, time.monotonic() - begun))
    return 1 if total.violations else 0


if __name__ == "__main__":
    sys.exit(main())
