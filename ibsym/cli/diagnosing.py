"""ibsym diagnose, compare, identify: a loss that exists against a spec; systems against each other."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ibsym.cli.common import DONE, NO, Command, columns, known, put, told


@click.command("diagnose", cls=Command)
@click.argument("place", metavar="FILE.py:FUNCTION")
@click.option(
    "--against", "spec", required=True, shell_complete=known, metavar="SPEC", help="A TOML file or the name of a zoo entry."
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="ARG=INPUT",
    help="What an argument is: an input, a parameter, or arithmetic in them.",
)
@click.option("--output", metavar="NAME", help="Which of several returned values is the loss: a key, a place, or sum.")
@click.option("--set", "parameters", multiple=True, metavar="NAME=NUMBER", help="Hold a parameter of the spec at a value.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="What to write.")
@click.option(
    "--time-limit", default=120.0, show_default=True, type=click.FloatRange(min=1), help="Seconds for the function's process."
)
def diagnose_command(
    place: str,
    spec: str,
    inputs: tuple[str, ...],
    output: str | None,
    parameters: tuple[str, ...],
    form: str,
    time_limit: float,
) -> int:
    r"""Say in words what a loss that exists is, in the terms of a spec.

    The function runs in a process of its own on random inputs of several sizes. Exit status: 0 equal, 1 different,
    2 it cannot be run. INPUT may be arithmetic: "exp(z_logvar/2)", "softmax(c_logits)", "z_mean + exp(z_logvar/2)*noise", "const".

    \b
    Examples:
      ibsym diagnose losses.py:loss --against {name}
      ibsym diagnose losses.py:Model.loss --against {name} \
        --input "std=exp(z_logvar/2)"
    """
    from ibsym.cli.child import run
    from ibsym.errors import MissingDependencyError

    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingDependencyError("diagnosing a loss needs PyTorch\n  write: pip install torch") from None
    options = {"output": output, "parameters": {n: _number(n, v) for n, v in (_pair(t, "--set") for t in parameters)}}
    answer = run(place, spec, dict(_pair(text, "--input") for text in inputs), options, time_limit)
    click.echo(json.dumps(answer["record"], indent=2) if form == "json" else told(answer["text"]))
    return DONE if answer["status"] == 0 else NO


@click.command("compare", cls=Command)
@click.argument("specs", nargs=-1, required=True, metavar="SPEC SPEC...", shell_complete=known)
@click.option(
    "--format", "form", type=click.Choice(("text", "latex", "json")), default="text", show_default=True, help="What to write."
)
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="A file to write to, instead of the terminal.")
def compare_command(specs: tuple[str, ...], form: str, target: Path | None) -> None:
    r"""Say what objectives share and where they differ, term by term, with what separates them.

    Terms are one where their vectors are, whatever they are called; the names are the first one's.

    \b
    Examples:
      ibsym compare {name} {other}
      ibsym compare {name} mine.toml --format latex -o t.tex
    """
    import ibsym

    if len(specs) < 2:
        raise click.UsageError("a comparison takes two specs or more\n  write: ibsym compare A B")
    found = ibsym.compare(specs)
    put(found.to_json() + "\n" if form == "json" else found.to_latex() if form == "latex" else found.to_text(columns()), target)


@click.command("identify", cls=Command)
@click.argument("spec", shell_complete=known)
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True, help="What to write.")
def identify_command(spec: str, form: str) -> None:
    r"""Say which known system a spec is, up to names, or the nearest ones and the difference.

    \b
    Examples:
      ibsym identify mine.toml
      ibsym identify {name} --format json
    """
    import ibsym

    found = ibsym.identify(spec)
    click.echo(found.to_json() if form == "json" else told(str(found)))


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise click.UsageError(f"{option} {text!r} lacks an equals sign\n  write: {option} mu=z_mean")
    return name.strip(), value.strip()


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--set {name}={text}: {text!r} is not a number\n  write: --set {name}=1.0") from None
