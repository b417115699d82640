"""Time of one decision by number of variables, and the share that is decided; beside psitip's prover where it is installed.

python benchmarks/prove.py [--repeat 7] [--goals] [--psitip /path/to/python]

First the goals, met or not, and where the time goes: reading, HiGHS, the proof in rationals, the rest.

psitip runs in a process of its own, with the interpreter that is named (``python -m venv V; V/bin/pip install --no-deps psitip;
V/bin/pip install scipy``). It decides the same statements, with SciPy's solver as ibsym does or with another of its own. Both are
measured in CPU time and take turns. ibsym's time includes parsing and the proof in rationals, psitip's is building its objects
and a yes or no in floating point.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import random
import statistics
import subprocess
import time
from collections import Counter
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import scipy.optimize

from ibsym.facts import Fact
from ibsym.proving import attempts, program, warm
from ibsym.proving.claims import Linear
from ibsym.proving.problem import Problem
from ibsym.proving.prover import decide
from ibsym.spec.grammar import QuantitySyntax

PEER = Path(__file__).with_name("prove_peer.py")


def names(n: int) -> list[str]:
    """X0, X1, ..."""
    return [f"X{i}" for i in range(n)]


def han(n: int) -> str:
    """(n-1) H(all) <= sum H(all but one)."""
    v = names(n)
    return f"{n - 1} H({','.join(v)}) <= " + " + ".join(f"H({','.join(x for x in v if x != w)})" for w in v)


def subsets(n: int, k: int) -> str:
    """C(n-1, k-1) H(all) <= sum of H over all sets of k."""
    v = names(n)
    return f"{comb(n - 1, k - 1)} H({','.join(v)}) <= " + " + ".join(f"H({','.join(s)})" for s in combinations(v, k))


def path(n: int) -> list[str]:
    """X0 -> X1 -> ..."""
    return [" -> ".join(names(n))]


def growing(n: int) -> list[str]:
    """H(X_{i+1}|X_i) >= H(X_i)."""
    return [f"H(X{i + 1}|X{i}) >= H(X{i})" for i in range(n - 1)]


def hidden(n: int, count: int, seed: int) -> str:
    """A sum of random informations I(a;b|C) of single variables, written as entropies: true, without symmetry, its proof not to be seen."""
    rng, total = random.Random(seed), Counter[tuple[str, ...]]()
    for _ in range(count):
        a, b, *rest = rng.sample(names(n), n)
        given, weight = rest[: rng.randint(0, n - 2)], rng.randint(1, 3)
        for sign, of in ((1, [a]), (1, [b]), (-1, [a, b]), (-1, [])):
            total[tuple(sorted((*of, *given)))] += sign * weight
    parts = [f"{'-' if x < 0 else '+'} {abs(x)} H({','.join(s)})" for s, x in total.items() if x and s]
    return " ".join(parts).removeprefix("+ ") + " >= 0"


FOUR = ["I(A;B|C,D) = 0", "I(C;D|A) = 0", "I(C;D|B) = 0", "I(A;B) = 0"]
PSITIP: list[tuple[str, list[str]]] = [
    *((f"I({pair}) = 0", FOUR) for pair in ("C;D|A,B", "A;B|C", "A;B|D", "C;D")),
    ("I(X0;X8|X4) = 0", path(9)),
    ("I(X0;X8) <= H(X4)", path(9)),
    *((f"H(X{n - 1}) >= H(X0)", growing(n)) for n in (3, 6, 8)),
    *((f"H(X0) >= H(X{n - 1})", growing(n)) for n in (3, 6)),
    ("I(X;U|Z) = 0", ["I(X;Y|Z) = 0", "I(U;X,Z|Y) = 0"]),
    ("I(X;W|Z) = 0", ["I(X;Y) = 0", "I(X,Y;W|Z) = 0"]),
    ("I(U;X,Y) >= I(X;Y)", ["X -> U -> Y"]),
    ("H(U) <= I(X;Y)", ["H(U|X) = 0", "H(U|Y) = 0"]),
    ("I(U;X,Y,Z,W) >= I(U;X,Y) + I(U;Z,W|X,Y)", ["I(X,Y;Z,W) = 0"]),
    ("H(X,Y,Z) - H(X|Y,Z) - H(Y|X,Z) - H(Z|X,Y) <= 2*TC(X;Y;Z)", []),
]
"""What psitip's own tests decide."""
STATEMENTS: list[tuple[str, list[str]]] = [
    ("H(X) <= H(X,Y)", []),
    ("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"]),
    ("2 H(X,Y,Z) <= H(X,Y) + H(Y,Z) + H(X,Z)", []),
    ("I(X;Y|Z) <= I(X;Y)", []),
    ("I(A;D) <= I(B;C)", ["A -> B -> C -> D"]),
    ("I(A;B) <= I(A;B|C) + I(A;B|D) + I(C;D)", []),
    ("H(A,B,C,D,E) <= H(A) + H(B) + H(C) + H(D) + H(E)", []),
    ("TC(A;B;C;D;E;F) >= I(A,B,C;D,E,F)", []),
    ("I(A,E;B,F) <= I(A;B|C) + I(A;B|D) + I(C;D) + H(E)", []),
    *((han(n), []) for n in (4, 6, 8, 10, 12, 16)),
    *((subsets(n, 2), []) for n in (6, 8, 10, 12, 16)),
    (subsets(8, 3), []),
    ("I(X0;X9) <= I(X4;X5)", path(10)),
    ("I(X0,X3;X7,X9|X5) = 0", path(10)),
    ("I(X0;X9) <= I(X4;X5|X6)", path(10)),
    ("I(X0;X15) <= I(X7;X8)", path(16)),
    *PSITIP,
]
LARGEST, CHAINED = 8, 10
"""Up to how many variables psitip is asked, without and with premises: beyond, one decision takes minutes."""


def plain(form: Linear) -> list[Any]:
    """A form as JSON."""
    return [[float(x), q.kind, q.groups, q.given] for x, q in form if isinstance(q, QuantitySyntax) and x]


def record(problem: Problem) -> dict[str, Any]:
    """A problem as the peer reads it."""
    functions = [([[1.0, "H", [f.of], f.by]], True) for f in problem.functions]
    apart = [c for c in problem.chains if len(c.groups) == 3 and not c.groups[1]]
    return {
        "variables": problem.variables,
        "forms": [plain(f) for f in problem.differences()],
        "premises": [(plain(p.form), p.zero) for p in problem.premises]
        + functions
        + [([[1.0, "I", [c.groups[0], c.groups[2]], []]], True) for c in apart],
        "chains": [c.groups for c in problem.chains if c not in apart],
    }


GOALS: list[tuple[str, str, list[str], float]] = [
    ("8 dense, 60 terms", hidden(8, 60, 1), [], 50),
    ("10 dense, 40 terms", hidden(10, 40, 1), [], 1000),
    ("10 dense, 150 terms", hidden(10, 150, 1), [], 1000),
    ("10 dense, 150 terms", hidden(10, 150, 2), [], 1000),
    ("12 dense, 90 terms", hidden(12, 90, 1), [], 20_000),
    ("12 dense, 90 terms", hidden(12, 90, 3), [], 20_000),
    ("16 symmetric, Han's", han(16), [], 100),
    ("16 symmetric, pairs", subsets(16, 2), [], 100),
    ("16, a chain", "I(X0;X15) <= I(X7;X8)", path(16), 10),
    ("30, a chain", "I(X0;X29) <= I(X14;X15)", path(30), 10),
]
"""What is asked for, with milliseconds."""


class Clock:
    """CPU time that is spent inside of functions."""

    def __init__(self) -> None:
        self.spent = 0.0

    def around(self, owner: Any, name: str) -> None:
        """Counts what a function takes from now on."""
        inner = getattr(owner, name)

        def timed(*given: Any, **options: Any) -> Any:
            begin = time.process_time()
            try:
                return inner(*given, **options)
            finally:
                self.spent += 1e3 * (time.process_time() - begin)

        setattr(owner, name, timed)


def goals(repeat: int) -> None:
    """The goals beside the figures: met or not, and where the time goes."""
    solver, rational = Clock(), Clock()
    solver.around(scipy.optimize, "linprog")
    solver.around(warm.Warm, "solve")
    rational.around(attempts, "exact")
    rational.around(program, "exact")
    print(f"{'goal':<21} {'ms':>9} {'at most':>8} {'met':>4} {'reading':>9} {'HiGHS':>9} {'exact':>9} {'rest':>9} verdict")
    met = proved = 0
    for name, claim, given, most in GOALS:
        rows = []
        for _ in range(repeat):
            solver.spent = rational.spent = 0.0
            begin = time.process_time()
            problem = Problem.read(claim, given)
            read = 1e3 * (time.process_time() - begin)
            verdict = decide(problem)
            total = 1e3 * (time.process_time() - begin)
            parts = (read, solver.spent, rational.spent)
            rows.append((total, *parts, total - sum(parts)))
        total, *parts = sorted(rows)[len(rows) // 2]
        true = verdict.provable is Fact.TRUE
        good = true and total <= most
        met, proved = met + good, proved + true
        figures = " ".join(f"{x:9.1f}" for x in parts)
        print(
            f"{name:<21} {total:9.1f} {most:8.0f} {'yes' if good else 'no':>4} {figures} {verdict.note or 'proved'}", flush=True
        )
    print(f"goals met: {met} of {len(GOALS)}; true claims proved: {proved} of {len(GOALS)} ({proved / len(GOALS):.0%})\n")


class Peer:
    """The other prover, behind a pipe."""

    def __init__(self, python: str, solver: str):
        self.process = subprocess.Popen([python, str(PEER), solver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, claim: str, given: list[str]) -> tuple[Any, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(record(Problem.read(claim, given))) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return "it has ended", 0.0
        answer = json.loads(self.process.stdout.readline() or '{"verdict": "it has ended", "ms": 0}')
        return answer["verdict"], answer["ms"]


def ours(claim: str, given: list[str]) -> tuple[Any, float]:
    """ibsym's verdict, with a proof where there is one, and milliseconds of CPU time, parsing included."""
    begin = time.process_time()
    verdict = decide(Problem.read(claim, given))
    return verdict.provable, 1e3 * (time.process_time() - begin)


def main() -> None:
    """Verdicts compared, then times, then the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--goals", action="store_true", help="only the goals")
    parser.add_argument("--psitip", help="an interpreter that has psitip")
    parser.add_argument("--solver", default="scipy", help="psitip's solver: scipy, pulp.cbc, ortools.GLOP, ...")
    options = parser.parse_args()
    peer = Peer(options.psitip, options.solver) if options.psitip else None
    if peer and isinstance(peer("H(X) >= 0", [])[0], str):
        raise SystemExit(f"{options.psitip} has no psitip that runs")
    ours("H(X) >= 0", [])
    print(
        f"# {platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {options.repeat}, ms"
    )
    goals(min(options.repeat, 3))
    if options.goals:
        return
    print(f"{'variables':>9} {'verdict':>8} {'ibsym':>9}" + (f" {'psitip':>9} {'ratio':>7}" if peer else ""))
    mine: dict[int, list[float]] = {}
    ratios, proved, decided, disagreed = [], 0, 0, []
    for claim, given in STATEMENTS:
        n = len(Problem.read(claim, given).variables)
        asked = n <= (CHAINED if given else LARGEST)
        runs, theirs = [], []
        for k in range(options.repeat):  # in turns, so that what else runs slows both
            runs.append(ours(claim, given))
            if peer is not None and asked and (n <= LARGEST or not k):
                theirs.append(peer(claim, given))
        verdict, median = runs[0][0], statistics.median(ms for _, ms in runs)
        proved += verdict is Fact.TRUE
        decided += verdict is not Fact.UNKNOWN
        mine.setdefault(n, []).append(median)
        line = f"{n:>9} {'proved' if verdict is Fact.TRUE else 'not' if verdict is Fact.FALSE else 'limit':>8} {median:9.2f}"
        if theirs:
            other = statistics.median(ms for _, ms in theirs)
            if isinstance(theirs[0][0], bool):
                ratios.append(statistics.median(b / a for (_, a), (_, b) in zip(runs, theirs, strict=False)))
                line += f" {other:9.2f} {ratios[-1]:7.2f}"
                if theirs[0][0] is not (verdict is Fact.TRUE):
                    disagreed.append(claim)
                    line += "  DISAGREES"
            else:
                line += f"  {theirs[0][0]}"
        text = f"{claim}  given {len(given)}" if given else claim
        print(line, "", text if len(text) < 80 else text[:77] + "...", flush=True)
    print("\nby number of variables: " + ", ".join(f"{n}: {statistics.median(t):.1f} ms" for n, t in sorted(mine.items())))
    print(f"decided: {decided} of {len(STATEMENTS)}, proved: {proved}")
    if ratios:
        print(
            f"psitip's time / ibsym's: geometric mean {statistics.geometric_mean(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
        )
        print(f"verdicts that differ: {disagreed or 'none'}")


if __name__ == "__main__":
    main()
