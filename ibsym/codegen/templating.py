"""Templates lay out, contexts are strings and tuples: what a template names is exactly what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined, meta

Text: TypeAlias = "str | tuple[Text, ...]"
"""What a template of code lays out: strings, and tuples of them."""
Context: TypeAlias = Mapping[str, object]

PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path:
    """The templates: inside the package in a wheel, beside it in the repository."""
    inside = PACKAGE / "templates"
    return inside if inside.is_dir() else PACKAGE.parent / "templates"


def strict(*folders: Path, autoescape: bool = False, **syntax: str) -> Environment:
    """An environment of templates in which an unknown name is an error and blocks leave no blank lines."""
    return Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,
        **syntax,  # type: ignore[arg-type]
    )


@cache
def wanted(environment: Environment, name: str) -> frozenset[str]:
    """The names that a template uses."""
    assert environment.loader is not None
    source = environment.loader.get_source(environment, name)[0]
    return frozenset(meta.find_undeclared_variables(environment.parse(source)))


def filled(environment: Environment, name: str, context: Context) -> str:
    """The template's text; raises unless the context's keys are exactly the names that it uses."""
    names = wanted(environment, name)
    if set(context) != names:
        raise TypeError(f"{name}: missing {sorted(names - set(context))}, unused {sorted(set(context) - names)}")
    return environment.get_template(name).render(context)


@cache
def _environment() -> Environment:
    return strict(folder() / "torch", folder())


def render(name: str, context: Mapping[str, Text]) -> str:
    """The text of a template of code, whose context is strings and tuples of them, nothing else."""
    return filled(_environment(), name, context)
