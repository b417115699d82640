"""Which modules need PyTorch as soon as they are imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"sweeping": ("optuna", "pyarrow"), "coding": ("constriction",)}
"""Folders, here and of the package, that need what an extra installs."""


@cache
def needs_torch(path: Path) -> bool:
    """Whether a module imports PyTorch at its head, or a module of ours that does."""
    seen: set[Path] = set()
    pending = [path]
    while pending:
        here = pending.pop()
        if here in seen or not here.is_file():
            continue
        seen.add(here)
        for name in imports(here):
            if name == "torch":
                return True
            pending += files(name)
    return False


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports when it is imported itself."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Import(names=names):
                yield from (alias.name.split(".")[0] if alias.name.startswith("torch.") else alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level) if level:
                package = ".".join([*path.parents[level - 1].relative_to(ROOT).parts, *([module] if module else [])])
                yield package
                yield from (f"{package}.{alias.name}" for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module.split(".")[0] if module.startswith("torch.") else module
                yield from (f"{module}.{alias.name}" for alias in names)


def files(name: str) -> Iterator[Path]:
    """The files of ours that a dotted name may stand for."""
    if name.split(".")[0] in ("ibsym", "tests"):
        where = ROOT.joinpath(*name.split("."))
        yield from (where.with_suffix(".py"), where / "__init__.py")


def package_modules() -> list[Path]:
    """Those of the package, whose doctests cannot be collected without PyTorch and the extras."""
    return [path for path in sorted((ROOT / "ibsym").glob("**/*.py")) if needs_torch(path) or path.parent.name in EXTRAS]
