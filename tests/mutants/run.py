"""Mutation testing of the mathematics: every mutant must be killed by a named test; exit status 1 where one survives.

    python -m tests.mutants.run [--only PART-OF-A-NAME] [--skip COUNT]

Each worker has a copy of the repository. A mutant is written into it and the tests run in a forked child, which starts quickly since
third parties are imported already.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutation import ROOT, Mutant

PARTS = ("ibsym", "tests", "templates", "generated", "docs", "pyproject.toml")
PRELOADED = (
    "numpy",
    "scipy.optimize",
    "scipy.stats",
    "sympy",
    "pydantic",
    "networkx",
    "lark",
    "mpmath",
    "jinja2",
    "pytest",
    "torch",
)
LIMIT = 240
HOME = Path()


@dataclass(frozen=True)
class Outcome:
    """``killer``: the first test that failed. ``trouble``: why there is none."""

    mutant: str
    killer: str
    trouble: str
    seconds: float


class Recorder:
    """A pytest plugin that remembers the first failure, and whether a file could not even be imported."""

    def __init__(self) -> None:
        self.failed = self.broken = ""

    def pytest_runtest_logreport(self, report) -> None:  # type: ignore[no-untyped-def]
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report) -> None:  # type: ignore[no-untyped-def]
        if report.failed and not self.broken:
            self.broken = report.nodeid or "collection"


def _first_failure(home: Path, tests: tuple[str, ...]) -> tuple[str, str]:
    """pytest in this process, on the copy alone, quietly."""
    signal.alarm(LIMIT)
    os.chdir(home)
    for name in [m for m in sys.modules if m.partition(".")[0] in ("ibsym", "tests")]:
        del sys.modules[name]
    sys.path[:] = [str(home), *(p for p in sys.path if p and Path(p).resolve() != ROOT)]
    sys.dont_write_bytecode = False  # a mutant's own bytecode is removed afterwards
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={home}", "-c", str(home / "pyproject.toml")]
    for file in tests:
        if file.startswith("tests/triton/"):
            os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
        recorder = Recorder()
        pytest.main([*options, file], plugins=[recorder])
        if recorder.failed or recorder.broken:
            return recorder.failed, recorder.broken
    return "", ""


def run_tests(home: Path, tests: tuple[str, ...]) -> tuple[str, str]:
    """The first test that fails in the copy, and what else went wrong; in a child process with a time limit."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            os.write(write, json.dumps(_first_failure(home, tests)).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or not text:
        return (
            ("a time limit", "")
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
            else ("", "the test process died")
        )
    failed, broken = json.loads(text)
    return failed, f"{broken} does not import" if broken and not failed else ""


def prepare(parent: str) -> None:
    """A worker's own copy of the repository, its bytecode compiled once."""
    global HOME
    HOME = Path(tempfile.mkdtemp(dir=parent))
    for part in PARTS:
        source, target = ROOT / part, HOME / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, target)
    import compileall

    compileall.compile_dir(HOME / "ibsym", quiet=2)
    compileall.compile_dir(HOME / "tests", quiet=2)
    for name in PRELOADED:
        importlib.import_module(name)


def attempt(mutant: Mutant) -> Outcome:
    path = HOME / mutant.file
    source, stamp = path.read_text(encoding="utf-8"), path.stat().st_mtime_ns
    begun = time.monotonic()
    try:
        changed = mutant.apply(source)
        if mutant.file.endswith(".py"):
            compile(changed, mutant.file, "exec")
    except (ValueError, SyntaxError) as error:
        return Outcome(mutant.name, "", f"stale: {error}", 0.0)
    cached = importlib.util.cache_from_source(str(path))
    kept = Path(cached).read_bytes() if Path(cached).exists() else None
    try:
        path.write_text(changed, encoding="utf-8")
        Path(cached).unlink(missing_ok=True)
        killer, trouble = run_tests(HOME, mutant.tests)
    finally:
        path.write_text(source, encoding="utf-8")
        os.utime(path, ns=(stamp, stamp))
        Path(cached).unlink(missing_ok=True)
        if kept is not None:
            Path(cached).write_bytes(kept)
    return Outcome(mutant.name, killer, trouble, time.monotonic() - begun)


def baseline(tests: tuple[str, ...]) -> str:
    """What is wrong with the tests before anything is changed."""
    failed, trouble = run_tests(HOME, tests)
    return failed or trouble


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", default=[], help="mutants whose name contains this; may be repeated")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many of them, to go on with a run that stopped")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    chosen = [m for m in MUTANTS if not options.only or any(part in m.name for part in options.only)][options.skip :]
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="ibsym-mutants-") as parent,
        multiprocessing.get_context("spawn").Pool(options.workers, prepare, (parent,)) as pool,
    ):
        files = sorted({t for m in chosen for t in m.tests})
        wrong = {f: w for f, w in zip(files, pool.map(baseline, [(f,) for f in files], chunksize=1), strict=True) if w}
        for file, why in wrong.items():
            print(f"{file} fails before anything is changed, and is left out: {why}")
        print(f"{len(files) - len(wrong)} test files pass unchanged after {time.monotonic() - begun:.0f} s", flush=True)
        usable = [replace(m, tests=tuple(t for t in m.tests if t not in wrong)) for m in chosen]
        for outcome in pool.imap(attempt, usable, chunksize=1):
            verdict = "killed" if outcome.killer else "survived"
            counts[verdict] += 1
            by = outcome.killer or f"SURVIVED {outcome.trouble}".strip()
            print(f"{outcome.mutant}\n    {by} ({outcome.seconds:.1f} s)", flush=True)
    print(f"time      {time.monotonic() - begun:.0f} s")
    print(f"mutants   {len(chosen)}")
    print(f"killed    {counts['killed']}")
    print(f"survived  {counts['survived']}")
    return 1 if counts["survived"] or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
