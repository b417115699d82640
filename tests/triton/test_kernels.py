"""Kernels for GPUs on a machine without one: their values in Triton's interpreter, and that a compiler takes them.

Each in a process of its own: whether Triton interprets is settled once, where it is imported.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not here: pip install 'ibsym[interpreter]'"
)
EDGES = "extreme or near_zero or confident or nan_stays or masked or one_row or weights_are or edges"


def ran(words: list[str], interpret: str) -> str:
    """What a process of Python prints, which must end well."""
    settings = os.environ | {"TRITON_INTERPRET": interpret, "PYTEST_ADDOPTS": ""}
    settings["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings.pop("PYTEST_XDIST_WORKER", None)
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["tests/triton/cases.py", "tests/triton/functions.py"],
        ["tests/native/test_passes.py", "-k", EDGES],
        ["tests/codegen/test_stream_kernels.py"],
    ],
    ids=["kinds", "edges", "streams"],
)
def test_in_the_interpreter(words):
    said = ran(["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore", *words], "1")
    assert " passed" in said


def test_a_compiler_takes_them():
    said = ran(["tests/triton/compiled.py", "vib", "beta-tcvae:bfloat16"], "0")
    assert {"elements_0", "classes_0", "table_0", "apart_0", "by_row_0", "by_column_0", "totals"} <= set(said.split())
