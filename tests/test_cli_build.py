"""ibsym build: libraries ahead of time, and a plain word where there is no compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "IBSYM_CACHE_DIR": str(folder), **settings}
    command = [sys.executable, "-m", "ibsym", "build", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_both_precisions_are_built_once(tmp_path: Path) -> None:
    first, second = run(tmp_path, "vib"), run(tmp_path, "vib")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == second.stdout
    assert {p.suffix for p in tmp_path.iterdir()} == {".so"}
    assert len(list(tmp_path.iterdir())) == 2


def test_libraries_are_told_as_json(tmp_path: Path) -> None:
    (entry,) = json.loads(run(tmp_path, "vib", "--json").stdout)
    assert entry["name"] == "vib"
    assert sorted(entry["libraries"]) == sorted(map(str, tmp_path.iterdir()))


def test_no_compiler_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, "vib", CC="/bin/false")
    assert done.returncode == 1
    assert "cannot be compiled" in done.stderr
    assert "Traceback" not in done.stderr
