"""psitip's prover as a process of its own: a line of JSON in, a verdict with milliseconds out. Run by benchmarks/prove.py.

A line: {"forms": [[weight, kind, groups, given], ...] per direction, "premises": [[form, zero], ...], "chains": [groups, ...]}.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from functools import reduce
from typing import Any

import psitip  # type: ignore[import-not-found]


def group(names: list[str], variables: dict[str, Any]) -> Any:
    """Several variables as one."""
    return reduce(lambda a, b: a + b, (variables[n] for n in names))


def quantity(kind: str, groups: list[list[str]], given: list[str], variables: dict[str, Any]) -> Any:
    """H, I or TC in psitip's own objects."""
    parts = [group(g, variables) for g in groups]
    condition = group(given, variables) if given else None

    def conditional(term: Any) -> Any:
        return term if condition is None else term | condition

    match kind:
        case "H":
            return psitip.H(conditional(parts[0]))
        case "I":
            return psitip.I(conditional(reduce(lambda a, b: a & b, parts)))
    every = psitip.H(conditional(reduce(lambda a, b: a + b, parts)))
    return reduce(lambda a, b: a + b, (psitip.H(conditional(p)) for p in parts)) - every


def total(form: list[Any], variables: dict[str, Any]) -> Any:
    """A sum of quantities."""
    found = psitip.zero()
    for weight, kind, groups, given in form:
        found = found + quantity(kind, groups, given, variables) * weight
    return found


def decide(record: dict[str, Any]) -> bool:
    """New objects for every decision."""
    variables = {n: psitip.rv(n) for n in record["variables"]}
    premises = [total(f, variables) == 0 if zero else total(f, variables) >= 0 for f, zero in record["premises"]]
    premises += [psitip.markov(*(group(g, variables) for g in groups)) for groups in record["chains"]]
    wanted = reduce(lambda a, b: a & b, (total(f, variables) >= 0 for f in record["forms"]))
    return bool(reduce(lambda a, b: a & b, premises) >> wanted if premises else wanted)


def main() -> None:
    """One answer for every line."""
    warnings.filterwarnings("ignore")
    psitip.PsiOpts.setting(solver=sys.argv[1] if len(sys.argv) > 1 else "scipy")
    for line in sys.stdin:
        record = json.loads(line)
        begin = time.process_time()
        try:
            verdict: bool | str = decide(record)
        except Exception as error:
            verdict = repr(error)[:120]
        print(json.dumps({"verdict": verdict, "ms": 1e3 * (time.process_time() - begin)}), flush=True)


if __name__ == "__main__":
    main()
