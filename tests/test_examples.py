"""Every example runs, small, as its README says; every folder of examples has a README with one command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/run.py"))
SAYS = {
    "bib_ae": r"held out, nats a row: .*KL\(q\(z\)\|\|p\(z\)\)",
    "bottleneck": r"\| none \| - \|",
    "compression": r"WebP.*rate-distortion-perception.*\\*\\*best",
    "infonce": r"step 10: I_q\(Z1;Z2\) >= .* of 128 pairs",
    "m2": r"step 20: .* from 100 labels",
    "novelty": r"OneClassSVM.*held-out digits",
    "semi-supervised": r"data term \| .*M2, exact sums \| ",
    "vib_lightning": r"your module: .* %[^%]*ibsym.lightning.Module: .* %",
}


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda p: p.name)
def test_an_example_runs(folder: Path, tmp_path: Path) -> None:
    environment = os.environ | {"QUICK": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("DATA", None)
    done = subprocess.run([sys.executable, folder / "run.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(SAYS[folder.name], done.stdout, re.DOTALL), done.stdout
    assert list(tmp_path.iterdir()) == []


PAGES = sorted(ROOT.glob("examples/*/RESULTS*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_page_of_results_is_whole(page: Path) -> None:
    """Its command, whose data they are, seeds and machine; every figure and link is there, every table has rows of one length."""
    text = page.read_text(encoding="utf-8")
    for what in (
        rf"make -C examples {page.parent.name}\b",
        r"(?i)\bdata: .*CC",
        r"[Ss]eeds? \d",
        r"Machine: \d+ cores",
        r"\d+\.\d minutes",
    ):
        assert re.search(what, text), what
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", text)
    assert any(link.endswith(".png") for link in links)
    assert [link for link in links if not (page.parent / link).is_file()] == []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}) == 1, block
    assert f"({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda p: p.name)
def test_an_example_tells_its_command(folder: Path) -> None:
    assert f"make -C examples {folder.name}" in (folder / "README.md").read_text(encoding="utf-8")
    assert folder.name in (ROOT / "examples/Makefile").read_text(encoding="utf-8")
    assert f"({folder.name})" in (ROOT / "examples/README.md").read_text(encoding="utf-8")
