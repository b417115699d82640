"""Templates lay out and never think: strict names, trimmed blocks, and a context whose keys are exactly the template's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, meta

PACKAGE = Path(__file__).resolve().parents[1]


def template_folders() -> list[Path]:
    """Inside the package in a wheel, beside it in the repository."""
    return [folder for folder in (PACKAGE / "templates", PACKAGE.parent / "templates") if folder.is_dir()]


@cache
def _environment(suffix: str) -> Environment:
    if suffix == "html":
        return Environment(
            loader=FileSystemLoader(template_folders()),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=True,
            keep_trailing_newline=True,
        )
    return Environment(
        loader=FileSystemLoader(template_folders()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # TeX is escaped where it is written
        keep_trailing_newline=True,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )


def render(name: str, context: dict[str, object]) -> str:
    """The template filled in; raises unless the context's keys are the template's names."""
    environment = _environment(name.split(".")[-2])
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, name)
    wanted = meta.find_undeclared_variables(environment.parse(source))
    if wanted != set(context):
        raise AssertionError(f"{name}: missing {sorted(wanted - set(context))}, unused {sorted(set(context) - wanted)}")
    return environment.get_template(name).render(context)
