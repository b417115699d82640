"""Notebooks open as they are, and their cells run in order; what a cell ends with displays itself."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
DISPLAYS = ("_repr_latex_", "_repr_html_", "_repr_markdown_")


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 2


def shown(value: Any) -> str:
    """What a notebook has for a value."""
    return next((text for name in DISPLAYS if hasattr(value, name) and (text := getattr(value, name)())), repr(value))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_opens_and_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    sources = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] for cell in book["cells"] if cell["cell_type"] == "code")
    if any("import torch" in source for source in sources):
        pytest.importorskip("torch")
    names: dict[str, Any] = {"__name__": "__main__"}
    for source in sources:
        tree = ast.parse(source)
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body.pop()
        exec(compile(tree, path.name, "exec"), names)  # noqa: S102  our own pages
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)  # noqa: S307
            assert value is None or (shown(value) and "object at 0x" not in shown(value))
    assert capsys.readouterr().out
