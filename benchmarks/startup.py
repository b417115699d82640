"""Time to import, to derive, audit and emit the whole zoo, and to a first loss with a cold and a warm cache.

    python benchmarks/startup.py [--only NAME ...]

Imports and first losses are timed in processes of their own, in turns; a figure is the median.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import ibsym  # noqa: E402
from ibsym.codegen import emit  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from ibsym.spec.loading import zoo_names  # noqa: E402

IMPORTS = ("import sympy", "import ibsym", "import ibsym; ibsym.derive", "import ibsym.cli")
FIRST = """
import time
import torch
from generated.{name} import Loss
sizes = {{"B": 32, "L": 8, "D": 784, "K": 10}}
given = {{}}
for entry in Loss.INPUTS:
    shape = [sizes.get(a, 32) for a in entry.shape if a != "S"]
    index = entry.role == "value" and len(shape) == 1
    given[entry.name] = torch.zeros(shape, dtype=torch.int64) if index else torch.zeros(shape, requires_grad=entry.role != "value")
torch.zeros(1, requires_grad=True).sum().backward()
start = time.perf_counter()
Loss()(**given).loss.backward()
print(time.perf_counter() - start)
"""


def seconds(code: str, **settings: str) -> float:
    """Of a new process, from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, **settings}, capture_output=True)
    return time.perf_counter() - start


def median(call: Callable[[], object], rounds: int = 5) -> float:
    """Seconds of a call in this process."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """The tables, as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=zoo_names(), help="systems")
    names = parser.parse_args().only
    found: dict[str, list[float]] = {code: [] for code in ("pass", *IMPORTS)}
    for _ in range(7):
        for code, times in found.items():
            times.append(seconds(code))
    base = statistics.median(found["pass"])
    print("| import | seconds beyond an empty process |\n|---|---|")
    for code in IMPORTS:
        print(f"| `{code}` | {statistics.median(found[code]) - base:.2f} |")

    print("\n| spec | load and derive, ms | audit, ms | lower and emit, ms |\n|---|---|---|---|")
    for name in names:
        derivation = ibsym.derive(name)
        certificate = ibsym.audit(derivation)
        parts = (
            lambda n=name: ibsym.derive(n),
            lambda d=derivation: ibsym.audit(d),
            lambda c=certificate: emit(lower(c)),
        )
        print(f"| `{name}` | " + " | ".join(f"{1e3 * median(part):.0f}" for part in parts) + " |", flush=True)

    print("\n| first loss and gradients | cold cache, s | warm cache, ms |\n|---|---|---|")
    for name in (n for n in ("vae", "vib", "bib-ae", "infovae") if n in names):
        with tempfile.TemporaryDirectory() as cache:
            code = FIRST.format(name=name.replace("-", "_"))
            runs = [
                subprocess.run(
                    [sys.executable, "-c", code],
                    check=True,
                    cwd=ROOT,
                    env={**os.environ, "IBSYM_CACHE_DIR": cache},
                    capture_output=True,
                    text=True,
                )
                for _ in range(4)
            ]
            cold, *warm = (float(r.stdout) for r in runs)
        print(f"| `{name}` | {cold:.2f} | {1e3 * statistics.median(warm):.0f} |", flush=True)


if __name__ == "__main__":
    main()
