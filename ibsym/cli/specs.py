"""ibsym zoo, new, derive: specs, and what becomes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ibsym.cli.common import Command, terminal, write

FORMATS = ("text", "latex", "json", "html")


@click.command("zoo", cls=Command)
@click.argument("name", required=False)
def zoo_command(name: str | None) -> None:
    r"""List the specs that travel with ibsym, or print one.

    \b
    Examples:
      ibsym zoo
      ibsym zoo {name} > mine.toml
    """
    from ibsym.spec.loading import load, zoo_names, zoo_text

    if name is not None:
        click.echo(zoo_text(name), nl=False)
        return
    rows = [(entry, spec.title, spec.objective_text) for entry in zoo_names() for spec in (load(entry),)]
    console = terminal()
    if console is None:
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        for row in rows:
            click.echo(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}")
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "title", "objective", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(f"[cyan]{escape(row[0])}[/]", escape(row[1]), escape(row[2]))
    console.print(table)


@click.command("new", cls=Command)
@click.argument("name")
def new_command(name: str) -> None:
    r"""Write NAME.toml, a commented spec to start from.

    NAME is ASCII words joined by hyphens. A file that exists is left alone.

    \b
    Examples:
      ibsym new my-bottleneck
      ibsym derive my-bottleneck.toml
    """
    from ibsym.spec.loading import loads
    from ibsym.spec.names import check_spec_name
    from ibsym.spec.starter import starter

    check_spec_name(name)
    text = starter(name)
    loads(text, file=f"{name}.toml")
    try:
        with Path(f"{name}.toml").open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise click.UsageError(f"{name}.toml exists already; it was left alone") from None
    click.echo(f"wrote {name}.toml; next: ibsym derive {name}.toml")


@click.command("derive", cls=Command)
@click.argument("spec")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="What to write.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="A file to write to, instead of the terminal.")
def derive_command(spec: str, form: str, target: Path | None) -> None:
    r"""Derive what can be computed, step by step, with its gap.

    \b
    Examples:
      ibsym derive {name}
      ibsym derive mine.toml --format latex -o mine.tex
      ibsym derive {other} --format json
    """
    import ibsym

    text = rendered(ibsym.derive(spec), form)
    if target is not None:
        write(target, text)
        click.echo(f"wrote {target}")
        return
    console = terminal() if form == "text" else None
    if console is None:
        click.echo(text, nl=False)
    else:
        console.print(coloured(text), soft_wrap=True)


def rendered(derivation: Any, form: str) -> str:
    """The derivation in one of the formats."""
    match form:
        case "latex":
            from ibsym.rendering.latex import document

            return document(derivation)
        case "json":
            from ibsym.rendering.json import json_text

            return json_text(derivation)
        case "html":
            from ibsym.rendering.html import page

            return page(derivation)
    from ibsym.rendering.text import text

    return text(derivation)


def coloured(text: str) -> Any:
    """The text with its title and headings bold, relations and reasons in colour."""
    from rich.text import Text

    result = Text()
    for place, line in enumerate(text.splitlines(keepends=True)):
        step = re.match(r" {0,3}\d+ [=≤≥≈] ", line)
        if place == 0 or re.match(r"[A-Z][A-Za-z]*( \(|:|$)", line):
            result.append(line, style="bold")
        elif step:
            result.append(line[: step.end()], style="bold cyan").append(line[step.end() :])
        elif line.startswith(" " * 10):
            result.append(line, style="dim")
        else:
            result.append(line)
    result.rstrip()
    return result
