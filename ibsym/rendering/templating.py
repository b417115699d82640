"""The templates of documents: the code generator's strict ones, with marks that TeX leaves free, or with HTML escaped."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment

from ibsym.codegen.templating import filled, folder, strict


@cache
def _environment(suffix: str) -> Environment:
    if suffix == "html":
        return strict(folder(), autoescape=True)
    return strict(  # TeX is escaped where it is written
        folder(),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )


def render(name: str, context: dict[str, object]) -> str:
    """The template filled in; raises unless the context's keys are the template's names."""
    return filled(_environment(name.split(".")[-2]), name, context)
