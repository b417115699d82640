"""The benchmark of a GPU: it runs, at tiny sizes without one, and tells nothing that was not measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks import gpu, gpu_rows


def test_every_kind_of_row_runs_and_has_right_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBSYM_NATIVE", "0")
    parts = ["vae 32", "cross-entropy 8192", "correlation 1024", "8192 x 50000, float32", "both ways 32768 x 256, float32"]
    told = tmp_path / "gpu.json"
    gpu.main(["--device", "cpu", "--no-compile", "--json", str(told), "--page", str(tmp_path / "gpu.md"), "--rows", *parts])
    measured = json.loads(told.read_text(encoding="utf-8"))["rows"]
    assert len(measured) == sum(any(part in row.title for part in parts) for row in gpu_rows.rows())
    for title, row in measured.items():
        for name in {"emitted", "expression", "by hand"} | ({"chunked"} if "InfoNCE" in title else set()):
            contestant = row["contestants"][name]
            assert not contestant["trouble"], (title, name, contestant["trouble"])
            assert contestant["ms"] > 0
    assert (tmp_path / "gpu.md").read_text(encoding="utf-8").count("| emitted |") == len(measured)


def test_other_values_and_failures_are_told(tmp_path: Path) -> None:
    row = gpu_rows.Row(
        "wrong", gpu_rows.CLASSES, lambda g, s: 2 * gpu_rows.classes(g, s), {"B": 4, "K": 3}, fused=("chunked",), block=1
    )
    found, _ = gpu.measured(row, tmp_path, "cpu", True, False, False, 0.0)
    assert found["emitted"].trouble == "other values"
    assert not found["chunked"].trouble


def test_without_a_gpu_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    gpu.main(["--page", str(tmp_path / "gpu.md")])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ") and not line.startswith("| loss")]
    assert len(rows) == 2 * len(gpu_rows.rows())
    assert all("not measured" in line for line in rows)
    assert (tmp_path / "gpu.md").read_text(encoding="utf-8").count("not measured") >= len(rows)
