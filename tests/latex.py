"""LaTeX compiled for real, for the tests that read what comes out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_pdflatex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed; its sources are parsed"
)


def has(file: str) -> bool:
    """Whether the installation has a class or a package."""
    finder = shutil.which("kpsewhich")
    return finder is not None and subprocess.run([finder, file], capture_output=True, check=False).returncode == 0


def run(source: str, folder: Path) -> str:
    """The log of a compilation that succeeded."""
    (folder / "main.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "main.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=300)
    assert done.returncode == 0, done.stdout[-1500:]
    assert (folder / "main.pdf").stat().st_size > 1000
    return (folder / "main.log").read_text(encoding="utf-8", errors="replace")
