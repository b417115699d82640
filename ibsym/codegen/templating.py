"""Templates lay out, contexts are strings and tuples: what a template names is exactly what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined, meta

Context: TypeAlias = Mapping[str, object]

PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path:
    """The templates: inside the package in a wheel, beside it in the repository."""
    inside = PACKAGE / "templates"
    return (inside if inside.is_dir() else PACKAGE.parent / "templates") / "torch"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader([folder(), folder().parent]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


@cache
def wanted(name: str) -> frozenset[str]:
    """The names that a template uses."""
    environment = _environment()
    assert environment.loader is not None
    source = environment.loader.get_source(environment, name)[0]
    return frozenset(meta.find_undeclared_variables(environment.parse(source)))


def render(name: str, context: Context) -> str:
    """The template's text; the context has its names, no fewer and no more, and nothing but strings and tuples of them."""
    if set(context) != wanted(name):
        raise AssertionError(f"{name} wants {sorted(wanted(name))}, and is given {sorted(context)}")
    for key, value in context.items():
        _check(f"{name}: {key}", value)
    return _environment().get_template(name).render(context)


def _check(where: str, value: object) -> None:
    if isinstance(value, tuple):
        for item in value:
            _check(where, item)
    elif not isinstance(value, str):
        raise AssertionError(f"{where} is {type(value).__name__}")
