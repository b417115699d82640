"""ibsym COMMAND: specs in; derivations, emitted losses, audits and trained models out.

Exit status 0: done; 1: the answer is no (a check failed, a file drifted); 2: the input is wrong. Mistakes are a few lines on
stderr, never a traceback. Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ibsym.cli.building import build_command
from ibsym.cli.code import check_command, generate_command
from ibsym.cli.coding import compress_command, decompress_command
from ibsym.cli.common import DONE, INTERRUPTED, NO, WRONG, Commands, columns, narrowed, reading, styled
from ibsym.cli.diagnosing import compare_command, diagnose_command, identify_command
from ibsym.cli.drawing import figure_command
from ibsym.cli.listing import list_command, schema_command
from ibsym.cli.proving import prove_command
from ibsym.cli.specs import cite_command, derive_command, new_command, zoo_command
from ibsym.cli.sweeping import sweep_command
from ibsym.cli.training import train_command
from ibsym.runtime import VERSION

if TYPE_CHECKING:
    from ibsym.errors import IbsymError


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, message="ibsym %(version)s")
def cli() -> None:
    r"""From an information-theoretic objective to a proved bound, its LaTeX, a PyTorch loss and a trained model.

    A SPEC is a TOML file or the name of a zoo entry. Exit status: 0 done, 1 the answer is no, 2 the input is wrong.

    \b
    Examples:
      ibsym zoo
      ibsym derive {name}
      ibsym generate {name} -o losses
      ibsym train {name} --data digits
      ibsym prove "I(X;Z) <= I(X;Y)" --given "X -> Y -> Z"
    """


for command in (
    zoo_command,
    list_command,
    schema_command,
    new_command,
    derive_command,
    cite_command,
    figure_command,
    generate_command,
    check_command,
    build_command,
    prove_command,
    train_command,
    sweep_command,
    compress_command,
    decompress_command,
    diagnose_command,
    compare_command,
    identify_command,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(
        guarded(lambda: cli.main(args=None if arguments is None else list(arguments), prog_name="ibsym", standalone_mode=False))
    )


def guarded(call: Callable[[], object]) -> int:
    """The exit status of a call; every error as a few lines on stderr."""
    from ibsym.errors import AuditError, IbsymError

    try:
        status = call()
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return WRONG
    except (BrokenPipeError, SystemExit):  # click leaves by itself, and only where the reader of a pipe has left first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except IbsymError as error:
        complain(str(error) + marked(error))
        return NO if isinstance(error, AuditError) or type(error).__name__ == "TrainingError" else WRONG
    except OSError as error:
        complain(f"{error.filename or ''}{': ' if error.filename else ''}{error.strerror or error}")
        return WRONG
    except (RecursionError, MemoryError) as error:
        complain(f"the input is too large ({type(error).__name__})")
        return WRONG
    except Exception as error:
        if os.environ.get("IBSYM_TRACEBACK"):
            raise
        complain(
            f"a fault of ibsym's own: {type(error).__name__}: {str(error)[:500]}\n  IBSYM_TRACEBACK=1 shows where; report it, please"
        )
        return WRONG


def marked(error: IbsymError) -> str:
    """The line of a file that an error is about, with a caret under its column, or under the word that the message quotes."""
    from ibsym.errors import PlacedError, shown

    if not isinstance(error, PlacedError) or not (place := error.place).file or place.line is None:
        return ""
    try:
        lines = Path(place.file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    if not 0 < place.line <= len(lines) or len(line := lines[place.line - 1]) > 300 or not line.isprintable():
        return ""
    column = place.column or guilty(error.message, line)
    first = max(0, column - columns() // 2) if len(line) > columns() - 4 else 0
    return f"\n    {shown(line[first:], columns() - 4)}\n    {' ' * (column - 1 - first)}^"


def guilty(message: str, line: str) -> int:
    """The column, from 1, of the first thing in quotes that a line has; else of the value that it gives, or of its beginning.

    >>> guilty("unknown family 'norm', did you mean 'normal'?", '"q(z|x)" = "norm"')
    13
    >>> guilty("beta is to be a table", "beta = 2")
    8
    """
    for word in re.findall(r"'([^']+)'", message):
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line)
        if found:
            return found.start() + 1
    value = re.match(r"\s*(?:\"[^\"]*\"|'[^']*'|[\w.-]+)\s*=\s*", line)
    return value.end() + 1 if value else len(line) - len(line.lstrip()) + 1


def complain(message: str) -> None:
    """The message, on standard error, folded where somebody reads it; a line of a file and its caret stay whole."""
    width = reading(sys.stderr)
    lines = [line if line.startswith("    ") else narrowed(line, width) for line in f"ibsym: {message}".splitlines()]
    click.echo(styled("ibsym: ", fg="red", bold=True) + "\n".join(lines).removeprefix("ibsym: "), err=True)
