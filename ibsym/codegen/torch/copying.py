"""The runtime's source as text: a definition copied whole, decorators and comments included. Nothing is imported for it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from ibsym import runtime

FOLDER = Path(runtime.__file__).parent


@cache
def definitions() -> dict[str, str]:
    """Name -> text of every function and class at the top of the runtime's Python modules.

    >>> definitions()["_log_mean_exp"].splitlines()[0]
    'def _log_mean_exp(values: Tensor) -> Tensor:'
    """
    found: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                if node.name in found:
                    raise AssertionError(f"{node.name} is defined twice in the runtime")
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


@cache
def header(name: str) -> str:
    """The text of one of the runtime's C headers."""
    return (FOLDER / name).read_text(encoding="utf-8")
