"""ibsym zoo, new, derive: specs, and what becomes of them."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ibsym.cli.common import TABLES, Command, known, put, say, show, styled, terminal, write, wrote
from ibsym.cli.common import columns as width
from ibsym.shown import STEPS

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation

PAPERS = ("latex", "typst")
FORMATS = ("text", "latex", "typst", "html", "json")


@click.command("zoo", cls=Command)
@click.argument("name", required=False, shell_complete=known)
@TABLES
def zoo_command(name: str | None, form: str) -> None:
    r"""List the specs that travel with ibsym, or print one.

    On a terminal they stand in classes, by what their losses need, with objective and bound; in a pipe each is one line, its
    name first.

    \b
    Examples:
      ibsym zoo
      ibsym zoo {name} > mine.toml
      ibsym zoo --format json
    """
    from ibsym.spec.loading import load, zoo_names, zoo_text

    if form == "json":
        entries = [told_of(entry) for entry in (zoo_names() if name is None else (name,))]
        show(entries if name is None else entries[0])
        return
    if name is not None:
        click.echo(zoo_text(name), nl=False)
        return
    if sys.stdout.isatty():
        click.echo(classified(zoo_names()))
        return
    rows = [(entry, spec.title, spec.objective_text) for entry in zoo_names() for spec in (load(entry),)]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    for row in rows:
        click.echo(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}")


CLASSES = {
    "densities": "Bounds by densities alone",
    "batch": "Bounds and estimates from the rows of a batch",
    "critic": "With a critic, which is trained beside the model",
}


def classified(names: Sequence[str]) -> str:
    """The zoo by what its losses need, each entry with its objective and its bound."""
    import ibsym

    found: dict[str, list[str]] = {kind: [] for kind in CLASSES}
    for name in names:
        derivation = ibsym.derive(name)
        spec, kind, room = derivation.spec, kind_of(derivation), width()
        lines = textwrap.wrap(f"{name}  {spec.title}", room, initial_indent="  ", subsequent_indent="    ")
        lines[0] = lines[0].replace(name, styled(name, fg="cyan"), 1)
        for line in (spec.objective_text, f"{derivation.relation} {derivation.final}"):
            lines += textwrap.wrap(line, room, initial_indent="      ", subsequent_indent="        ", break_on_hyphens=False)
        found[kind] += lines
    blocks = [[styled(CLASSES[kind], bold=True), *lines] for kind, lines in found.items() if lines]
    return "\n\n".join("\n".join(block) for block in blocks)


def told_of(name: str) -> dict[str, str]:
    """What the zoo says of an entry: its title, what its loss needs, its objective, its bound."""
    import ibsym

    derivation = ibsym.derive(name)
    spec = derivation.spec
    return {
        "name": spec.name,
        "title": spec.title,
        "class": kind_of(derivation),
        "objective": spec.objective_text,
        "relation": str(derivation.relation),
        "bound": str(derivation.final),
    }


def kind_of(derivation: Derivation) -> str:
    """The class of :data:`CLASSES` that a system stands in."""
    from ibsym.estimators import ESTIMATORS

    estimators = [ESTIMATORS[use.estimator] for use in derivation.spec.estimators]
    return "critic" if any(e.critic for e in estimators) else "batch" if estimators else "densities"


@click.command("new", cls=Command)
@click.argument("name")
@TABLES
def new_command(name: str, form: str) -> None:
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
    wrote(form, (f"{name}.toml",), f"; next: ibsym derive {name}.toml")


@click.command("derive", cls=Command)
@click.argument("spec", shell_complete=known)
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="What to write.")
@click.option("--columns", type=click.IntRange(1, 2), help="Of the paper that takes it, for LaTeX and Typst; 1 by default.")
@click.option(
    "--steps",
    type=click.Choice(STEPS),
    help="Every step, the chain of inequalities alone, or a theorem with its proof, for LaTeX and Typst; full by default.",
)
@click.option("--standalone", is_flag=True, help="A document instead of a fragment, for LaTeX and Typst.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="A file to write to, instead of the terminal.")
def derive_command(spec: str, form: str, columns: int | None, steps: str | None, standalone: bool, target: Path | None) -> None:
    r"""Derive what can be computed, step by step, with its gap.

    LaTeX and Typst are fragments for a paper: for \input where amsmath, amssymb and mathtools are loaded, for #include. What they cite
    is written by ibsym cite.

    \b
    Examples:
      ibsym derive {name}
      ibsym derive mine.toml --format latex --columns 2
      ibsym derive mine.toml --format latex --steps theorem \
        --standalone -o mine.tex
      ibsym derive {other} --format json
    """
    import ibsym

    if form not in PAPERS and (columns or steps or standalone):
        raise click.UsageError("--columns, --steps and --standalone are a paper's\n  write: --format latex or --format typst")
    text = rendered(ibsym.derive(spec), form, columns or 1, steps or "full", standalone)
    if target is not None:
        write(target, text)
        say(f"wrote {target}")
        return
    console = terminal() if form == "text" else None
    if console is None:
        click.echo(text, nl=False)
    else:
        console.print(coloured(text), soft_wrap=True)


def rendered(derivation: Derivation, form: str, columns: int, steps: str, standalone: bool) -> str:
    """The derivation in one of the formats."""
    match form:
        case "latex" | "typst":
            from importlib import import_module

            from ibsym.rendering.forms import Form

            paper = import_module(f"ibsym.rendering.{form}")
            return str((paper.document if standalone else paper.fragment)(derivation, columns, Form(steps)))
        case "json":
            return derivation.to_json()
        case "html":
            return derivation.to_html()
    return derivation.to_text(width())


@click.command("cite", cls=Command)
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", shell_complete=known)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="A file to write to, instead of the terminal.")
def cite_command(specs: tuple[str, ...], target: Path | None) -> None:
    r"""Write the sources of derivations as BibTeX, under the keys by which ibsym derive cites them.

    \b
    Examples:
      ibsym cite {name}
      ibsym cite {name} mine.toml -o sources.bib
    """
    import ibsym
    from ibsym.rendering.bibliography import bibtex
    from ibsym.rendering.outline import sources

    text = bibtex(dict.fromkeys(source for spec in specs for source in sources(ibsym.derive(spec))))
    put(text, target)


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
