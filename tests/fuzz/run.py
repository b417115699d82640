"""``python -m tests.fuzz.run --count 10000``: mutated inputs, each accepted or refused by ibsym's own error; ends with counts."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.fuzz.inputs import Input, generate
from tests.fuzz.targets import Outcome, run


def main(arguments: list[str] | None = None) -> int:
    """Runs the inputs of consecutive seeds; the exit status is 1 if anything was neither accepted nor refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args(arguments)
    kinds: Counter[str] = Counter()
    slowest: tuple[float, int, Input | None] = (0.0, 0, None)
    for seed in range(options.first, options.first + options.count):
        item = generate(seed)
        outcome: Outcome = run(item)
        kinds[outcome.kind] += 1
        if outcome.bad:
            print(f"seed {seed}: {outcome.kind}: {outcome.detail:.600}\n  {item}", flush=True)
        if outcome.seconds > slowest[0]:
            slowest = (outcome.seconds, seed, item)
    other = sum(kinds.values()) - kinds["accepted"] - kinds["refused"]
    print(f"slowest: seed {slowest[1]}: {slowest[2]}")
    print(
        f"fuzz: {sum(kinds.values())} inputs, {kinds['accepted']} accepted, {kinds['refused']} refused, "
        f"{kinds['exception']} other exceptions, {kinds['hang']} hangs, {kinds['message']} bad messages, "
        f"{kinds['event']} forbidden events, slowest {slowest[0]:.2f} s"
    )
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
