"""Time of one decision: claims of two to six variables, a Markov chain of ten; beside psitip's prover where it is installed.

python benchmarks/prove.py [--repeat 15]

psitip (``pip install --no-deps psitip pulp``) decides the same statements in the same process, with SciPy's solver as ibsym does
or with another of its own. Its verdict is compared with ibsym's before anything is timed; repetitions are interleaved. ibsym's
time includes the proof in rationals, psitip's is a yes or no in floating point.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import reduce
from types import ModuleType
from typing import Any

from ibsym.facts import Fact
from ibsym.proving.claims import Chain, Statement, linear
from ibsym.proving.problem import Problem
from ibsym.proving.prover import decide
from ibsym.spec.grammar import ExpressionSyntax, QuantitySyntax

CHAIN = [" -> ".join(f"X{i}" for i in range(10))]
STATEMENTS: list[tuple[str, list[str]]] = [
    ("H(X) <= H(X,Y)", []),
    ("H(X,Y) = H(X) + H(Y|X)", []),
    ("I(X;Z) <= I(X;Y)", ["X -> Y -> Z"]),
    ("2 H(X,Y,Z) <= H(X,Y) + H(Y,Z) + H(X,Z)", []),
    ("I(X;Y|Z) <= I(X;Y)", []),
    ("3 H(A,B,C,D) <= H(A,B,C) + H(A,B,D) + H(A,C,D) + H(B,C,D)", []),
    ("I(A;D) <= I(B;C)", ["A -> B -> C -> D"]),
    ("I(A;B) <= I(A;B|C) + I(A;B|D) + I(C;D)", []),
    ("H(A,B,C,D,E) <= H(A) + H(B) + H(C) + H(D) + H(E)", []),
    ("I(A;E) <= I(B;C)", ["A -> B -> C -> D -> E"]),
    (
        "5 H(A,B,C,D,E,F) <= H(A,B,C,D,E) + H(A,B,C,D,F) + H(A,B,C,E,F) + H(A,B,D,E,F) + H(A,C,D,E,F) + H(B,C,D,E,F)",
        [],
    ),
    ("I(A;F) <= I(C;D)", ["A -> B -> C -> D -> E -> F"]),
    ("TC(A;B;C;D;E;F) >= I(A,B,C;D,E,F)", []),
    ("2 H(A,B,C,D,E,F) <= H(A,B) + H(B,C) + H(C,D) + H(D,E) + H(E,F) + H(F,A)", []),
    ("I(A,B;C,D|E,F) <= I(A;C|E,F) + H(B|E) + H(D|F)", []),
    ("I(A,E;B,F) <= I(A;B|C) + I(A;B|D) + I(C;D) + H(E)", []),
    ("I(X0;X9) <= I(X4;X5)", CHAIN),
    ("I(X0,X3;X7,X9|X5) = 0", CHAIN),
    ("H(X0,X1,X2,X3,X4,X5,X6,X7,X8,X9) = H(X0) + " + " + ".join(f"H(X{i + 1}|X{i})" for i in range(9)), CHAIN),
    ("I(X0;X9) <= I(X4;X5|X6)", CHAIN),
]


def ours(claim: str, given: list[str]) -> bool:
    """ibsym's verdict, with a proof where there is one."""
    return decide(Problem.read(claim, given)).provable is Fact.TRUE


class Psitip:
    """The statements in psitip's own objects, new ones for every decision."""

    def __init__(self, module: ModuleType):
        self.module: Any = module

    def __call__(self, claim: str, given: list[str]) -> bool:
        problem = Problem.read(claim, given)
        variables = {n: self.module.rv(n) for n in problem.variables}
        premises = [self.relation(s, variables) for s in problem.premises]
        premises += [self.chain(c, variables) for c in problem.chains]
        wanted = self.relation(problem.claim, variables)
        return bool(reduce(lambda a, b: a & b, premises) >> wanted if premises else wanted)

    @staticmethod
    def group(names: Iterable[str], variables: dict[str, Any]) -> Any:
        return reduce(lambda a, b: a + b, (variables[n] for n in names))

    def chain(self, chain: Chain, variables: dict[str, Any]) -> Any:
        return self.module.markov(*(self.group(g, variables) for g in chain.groups))

    def relation(self, statement: Statement, variables: dict[str, Any]) -> Any:
        left, right = (self.sum(side, variables) for side in (statement.syntax.left, statement.syntax.right))
        match statement.syntax.relation:
            case "<=":
                return left <= right
            case ">=":
                return left >= right
        return left == right

    def sum(self, side: ExpressionSyntax, variables: dict[str, Any]) -> Any:
        total: Any = self.module.zero()
        for x, quantity in linear(side):
            total = total + self.quantity(quantity, variables) * (int(x) if x.denominator == 1 else float(Fraction(x)))
        return total

    def quantity(self, q: QuantitySyntax, variables: dict[str, Any]) -> Any:
        groups = [self.group(g, variables) for g in q.groups]
        given = self.group(q.given, variables) if q.given else None

        def conditional(term: Any) -> Any:
            return term if given is None else term | given

        match q.kind:
            case "H":
                return self.module.H(conditional(groups[0]))
            case "I":
                return self.module.I(conditional(reduce(lambda a, b: a & b, groups)))
            case "TC":
                every = self.module.H(conditional(reduce(lambda a, b: a + b, groups)))
                return reduce(lambda a, b: a + b, (self.module.H(conditional(g)) for g in groups)) - every
        raise ValueError(q.kind)


def timed(decision: Callable[[str, list[str]], bool], claim: str, given: list[str]) -> float:
    """Milliseconds of one decision."""
    begin = time.perf_counter()
    decision(claim, given)
    return 1e3 * (time.perf_counter() - begin)


def main() -> None:
    """Verdicts compared, then times, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--solver", default="scipy", help="psitip's solver: scipy, pulp.cbc, ortools.GLOP, ...")
    options = parser.parse_args()
    provers: dict[str, Callable[[str, list[str]], bool]] = {"ibsym": ours}
    try:
        import psitip  # type: ignore[import-not-found]

        warnings.filterwarnings("ignore", module="psitip")  # that SciPy's solver is slow above size 50
        psitip.PsiOpts.setting(solver=options.solver)
        provers["psitip"] = Psitip(psitip)
    except ImportError:
        print("psitip is not installed; ibsym alone")
    print(
        f"# {platform.processor() or platform.machine()}, Python {platform.python_version()}, medians of {options.repeat}, ms"
    )
    verdicts = {}
    for claim, given in STATEMENTS:
        found = {name: prover(claim, given) for name, prover in provers.items()}
        verdicts[claim] = found["ibsym"]
        if len(set(found.values())) > 1:
            raise SystemExit(f"the provers disagree: {claim} {given}: {found}")
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.repeat):
        for claim, given in STATEMENTS:
            for name, prover in provers.items():
                times.setdefault((name, claim), []).append(timed(prover, claim, given))
    ratios = []
    print(
        f"{'variables':>9} {'verdict':>8}"
        + "".join(f"{name:>9}" for name in provers)
        + ("   ratio" if len(provers) > 1 else "")
    )
    for claim, given in STATEMENTS:
        medians = [statistics.median(times[name, claim]) for name in provers]
        n = len(Problem.read(claim, given).variables)
        line = f"{n:>9} {'proved' if verdicts[claim] else 'not':>8}" + "".join(f"{m:9.2f}" for m in medians)
        if len(medians) > 1:
            ratios.append(medians[1] / medians[0])
            line += f"{ratios[-1]:8.2f}"
        text = f"{claim}  given {len(given)} chain" if given else claim
        print(line, "", text if len(text) < 90 else text[:87] + "...")
    six = [statistics.median(times["ibsym", c]) for c, g in STATEMENTS if len(Problem.read(c, g).variables) == 6]
    ten = [statistics.median(times["ibsym", c]) for c, g in STATEMENTS if len(Problem.read(c, g).variables) == 10]
    print(f"six variables: median {statistics.median(six):.1f} ms, slowest {max(six):.1f} ms (goal: median 10 ms)")
    print(f"chain of ten: slowest {max(ten):.1f} ms (goal: 1000 ms)")
    if ratios:
        print(
            f"psitip's time / ibsym's: geometric mean {statistics.geometric_mean(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
