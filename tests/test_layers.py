"""Imports point up the page only: a layer may import itself and the layers above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (
    *("zoo", "runtime", "losses"),  # no code, and code that is copied: neither imports, so that all may name them
    *("errors", "files", "facts", "shown"),
    *("families", "estimators", "spec", "terms", "rules", "proving", "derivation", "checking"),
    *(
        "lowering",
        "codegen",
        "rendering",
        "drawing",
        "sources",
        "nn",
        "lightning",
        "training",
        "coding",
        "sweeping",
        "conformance",
        "diagnosis",
        "arguments",
        "api",
        "testing",
        "cli",
    ),
)
ALIASES = {"__init__": "api", "__main__": "cli"}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.glob("ibsym/**/*.py"))


def imported(source: str, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and layer of every import of ibsym in a module of ``package``, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                targets = [alias.name.split(".") for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else []
                targets = [[*base, *(module.split(".") if module else []), alias.name] for alias in names]
            case _:
                continue
        for target in targets:
            if target[0] == "ibsym":
                yield node.lineno, target[1] if target[1:] and target[1] in PAGE else "api"


def violations(source: str, path: Path) -> list[str]:
    """What the module at ``path`` imports from further down the page."""
    name = path.with_suffix("").parts[1]
    layer = PAGE.index(ALIASES.get(name, name))
    found = sorted(imported(source, list(path.parent.parts)))
    return [f"{path}:{line}: {PAGE[layer]} imports {other}" for line, other in found if PAGE.index(other) > layer]


def test_every_module_has_a_place_on_the_page() -> None:
    tops = {path.with_suffix("").parts[1] for path in FILES}
    assert {ALIASES.get(top, top) for top in tops} <= set(PAGE)
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_up(path: Path) -> None:
    assert violations((ROOT / path).read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize(
    ("source", "path", "layer"),
    [
        ("import ibsym.lowering.program", "ibsym/terms/measures.py", "lowering"),
        ("from ibsym.lowering import lower", "ibsym/terms/measures.py", "lowering"),
        ("from ibsym import rules", "ibsym/terms/measures.py", "rules"),
        ("from ibsym import derive", "ibsym/checking/audit.py", "api"),
        ("from .. import cli", "ibsym/rendering/text.py", "cli"),
        ("from ..rules import bounds", "ibsym/terms/measures.py", "rules"),
        ("from ..rules.bounds import ROWS", "ibsym/terms/__init__.py", "rules"),
        ("from .spec import load", "ibsym/errors.py", "spec"),
        ("def late():\n    if True:\n        from ibsym.training import train", "ibsym/codegen/emit.py", "training"),
        ("from .cli import main", "ibsym/__init__.py", "cli"),
    ],
)
def test_a_downward_import_is_found(source: str, path: str, layer: str) -> None:
    assert [found.split()[-1] for found in violations(source, Path(path))] == [layer]


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("from .measures import Sum\nfrom . import vectors\nfrom ..spec.graph import Joint", "ibsym/terms/keys.py"),
        ("from ibsym.families import FAMILIES", "ibsym/lowering/lower.py"),
        ("from .api import derive\nfrom ibsym.errors import IbsymError", "ibsym/__init__.py"),
        ("import ibsym\nfrom .cli import main", "ibsym/__main__.py"),
        ("import ibsymetric, numpy as ibsym\nfrom sympy import Sum", "ibsym/facts.py"),
    ],
)
def test_an_upward_import_is_not(source: str, path: str) -> None:
    assert violations(source, Path(path)) == []
