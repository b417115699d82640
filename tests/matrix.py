"""The tests on every interpreter that is present, and on the oldest versions that the metadata allows; exit status 1 if one fails.

    python -m tests.matrix [--only 3.12] [--only lowest] [-- PYTEST ARGUMENTS]

Each has a virtual environment of its own under build/matrix/. PyTorch is installed where a small build is at hand without an index
(``pip download --no-index``); elsewhere the tests that do without it run, and tests/torchless.py says which those are. ``lowest``
has the first version of every dependency that pyproject.toml allows, on the oldest interpreter.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.torchless import ROOT, package_modules

VERSIONS = ("3.11", "3.12", "3.13")  # what the classifiers claim; tests/test_metadata.py holds them to this
LOWEST = "lowest"
WHERE = ROOT / "build" / "matrix"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTS = ("tests", "ibsym")


@dataclass(frozen=True)
class Outcome:
    """An environment, what ran in it, and how that ended."""

    name: str
    what: str
    status: str

    def __str__(self) -> str:
        return f"{self.name:<8} {self.what:<16} {self.status}"


def interpreter(version: str) -> str | None:
    """An interpreter of that version: by its name, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), sys.executable, *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    asks = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in filter(None, found):
        done = subprocess.run([path, "-c", asks], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return path
    return None


def lowest() -> Iterator[str]:
    """``sympy==1.13`` for ``sympy>=1.13``: the first version of each dependency that is allowed."""
    for requirement in PROJECT["dependencies"]:
        yield re.sub(r">=", "==", requirement)


def environment(name: str, python: str) -> tuple[Path, bool]:
    """A virtual environment with the project and its tests' needs; whether PyTorch is in it."""
    folder = WHERE / name
    if not (folder / "bin" / "python").exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if name == LOWEST:
        tools = [line for line in PROJECT["optional-dependencies"]["test"] if not line.startswith("ibsym")]
        subprocess.run([*pip, *lowest(), *tools], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)
        return folder, False
    pins = ["--constraint", str(ROOT / "constraints.txt")]
    (torch,) = re.findall(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    small = subprocess.run([*pip, "--no-index", "--no-deps", torch], capture_output=True, check=False).returncode == 0
    subprocess.run([*pip, *pins, "--editable", f"{ROOT}[{'dev' if small else 'test'}]"], check=True)
    return folder, small


def run(name: str, python: str, arguments: list[str]) -> Outcome:
    """The tests in one environment."""
    try:
        folder, torch = environment(name, python)
    except subprocess.CalledProcessError as error:
        return Outcome(name, "", f"could not be installed ({error})")
    ignored = [] if torch else [f"--ignore={path.relative_to(ROOT)}" for path in package_modules()]
    # Old versions warn of what newer Pythons will do; that is nothing that a user of theirs can see.
    quiet = ["-W", "default"] if name == LOWEST else []
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", "IBSYM_CACHE_DIR": str(ROOT / "build" / "native-cache")}
    command = [str(folder / "bin" / "python"), "-m", "pytest", "-q", *quiet, *ignored, *(arguments or TESTS)]
    done = subprocess.run(command, cwd=ROOT, env=settings, check=False)
    what = "all tests" if torch else "without PyTorch"
    return Outcome(name, what, "passed" if done.returncode == 0 else f"failed (pytest {done.returncode})")


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; the last lines say how each ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*VERSIONS, LOWEST], help="one of them; may be repeated")
    parser.add_argument("pytest", nargs="*", help="what pytest is told, after --")
    chosen = parser.parse_args(arguments)
    outcomes = []
    for name in chosen.only or [*VERSIONS, LOWEST]:
        python = interpreter(VERSIONS[0] if name == LOWEST else name)
        if python is None:
            outcomes.append(Outcome(name, "", "no interpreter here, nothing run"))
            continue
        outcomes.append(run(name, python, chosen.pytest))
    print("", *outcomes, sep="\n")
    return int(any(outcome.status.startswith(("failed", "could")) for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
