"""What all commands share: help with examples, exit statuses, specs by name, files, the terminal."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ibsym.files import write as write

if TYPE_CHECKING:
    from rich.console import Console

    from ibsym.spec.model import Spec

DONE, NO, WRONG, INTERRUPTED = 0, 1, 2, 130


class Command(click.Command):
    """A command in whose help ``{name}`` is a name of the zoo as it is today, and the marker of a verbatim paragraph may be written raw."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.help = (self.help or "").replace("\\b", "\b")
        if not any(p.name == "quiet" for p in self.params):
            self.params.append(_quiet())
        if any(p.name == "form" and "json" in getattr(p.type, "choices", ()) for p in self.params):
            self.params.append(_as_json())

    def get_help(self, context: click.Context) -> str:
        """The help, with a name of the zoo where it says so."""
        return named(super().get_help(context))

    def invoke(self, context: click.Context) -> Any:
        """What the command does; where it is to be quiet, nothing of it on standard output."""
        if context.meta.get(JSON) and "form" in context.params:
            context.params["form"] = "json"
        if isinstance(self, click.Group) or not context.meta.get(QUIET):
            return super().invoke(context)
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            return super().invoke(context)


QUIET, JSON = "ibsym.quiet", "ibsym.json"


def _as_json() -> click.Option:
    """``--json``, for a command with formats."""

    def remember(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        context.meta[JSON] = context.meta.get(JSON, False) or wanted

    return click.Option(["--json"], is_flag=True, expose_value=False, callback=remember, help="The same as --format json.")


def _quiet() -> click.Option:
    """``--quiet``, for a command that has none of its own; before the command's name it is every command's."""

    def remember(context: click.Context, _: click.Parameter, quiet: bool) -> None:
        if isinstance(context.command, click.Group):
            if quiet:
                context.default_map = {name: {"quiet": True} for name in context.command.list_commands(context)}
        elif quiet:
            context.meta[QUIET] = True

    words = "Nothing on standard output: files are written, mistakes told, and the exit status is the answer."
    return click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=remember, help=words)


TABLES = click.option(
    "--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="What to write."
)
"""The formats of what is a table, or a line of words for each spec."""


class Commands(Command, click.Group):
    """All commands, in the order of a first session."""

    command_class = Command

    def list_commands(self, context: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)


def named(text: str) -> str:
    """The text with names of the zoo filled in."""
    from ibsym.spec.loading import zoo_names

    names = zoo_names()
    return text.replace("{name}", names[-1]).replace("{other}", names[0])


def chosen(names: tuple[str, ...], everything: bool) -> Iterator[Spec]:
    """The specs that a command line names."""
    from ibsym.spec.loading import load, zoo_names

    if bool(names) == everything:
        raise click.UsageError("name some specs, or --all for the whole zoo" if not names else "either some specs or --all")
    for name in zoo_names() if everything else dict.fromkeys(names):
        yield load(name)


def known(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell completes a SPEC to: files, and names of the zoo; bash forgets what came before files."""
    from ibsym.spec.loading import zoo_names

    found = [CompletionItem(name) for name in zoo_names() if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *found]


def styled(text: str, **style: Any) -> str:
    """The text in colour, unless NO_COLOR says otherwise; a pipe gets it plain from click."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def columns(default: int = 100) -> int:
    """How wide lines may be: COLUMNS, in a pipe as well, else the terminal's width, at most ``default``."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return min(default, shutil.get_terminal_size((default, 24)).columns) if sys.stdout.isatty() else default


def reading(stream: Any) -> int:
    """How wide the lines of a stream may be: as COLUMNS says, as a terminal is, else as they are."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize


def narrowed(line: str, width: int) -> str:
    """A line folded at its spaces, what follows set in by two more."""
    indent = " " * (len(line) - len(line.lstrip()))
    if len(line) <= width:
        return line
    return textwrap.fill(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def told(text: str) -> str:
    """Lines as wide as who reads them has room for; colours take no room."""
    width = reading(sys.stdout)
    return "\n".join(line if len(click.unstyle(line)) <= width else narrowed(line, width) for line in text.splitlines())


def say(text: str) -> None:
    """Lines on standard output, as wide as who reads them has room for."""
    click.echo(told(text))


def show(value: Any) -> None:
    """A value as JSON on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def wrote(form: str, files: Iterable[object], more: str = "") -> None:
    """What was written, in words or as JSON."""
    found = [str(file) for file in files]
    if form == "json":
        show({"wrote": found})
    else:
        say(f"wrote {', '.join(found)}{more}")


def put(text: str, target: Path | None) -> None:
    """The text on standard output, or in a file, and a word of that."""
    if target is None:
        click.echo(text, nl=False)
    else:
        write(target, text)
        say(f"wrote {target}")


def folded(start: str, words: str) -> str:
    """An entry: on one line in a pipe; on a terminal folded beside its start, or below it where there is no room."""
    if not sys.stdout.isatty():
        return (start + words).rstrip()
    width, beside = columns(shutil.get_terminal_size().columns), len(start)
    if width - beside < 24:
        heads = [start.rstrip()]
        if len(heads[0]) > width:  # columns of a table that is wider than the terminal
            heads = textwrap.wrap(re.sub(" {3,}", "  ", heads[0]), max(width, 40), subsequent_indent="    ")
        return "\n".join([*heads, *textwrap.wrap(words, max(width, 40), initial_indent="    ", subsequent_indent="    ")])
    return textwrap.fill(words, width, initial_indent=start, subsequent_indent=" " * beside, break_on_hyphens=False)


def terminal() -> Console | None:
    """A console, if a person looks at standard output."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console()
