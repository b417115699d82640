"""ibsym figure: the system as papers draw it."""

from __future__ import annotations

from pathlib import Path

import click

from ibsym.cli.common import TABLES, Command, known, wrote


@click.command("figure", cls=Command)
@click.argument("spec", shell_complete=known)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="The file; its ending says what it is: .svg, .pdf or .tikz.",
)
@click.option(
    "--kind",
    type=click.Choice(("system", "information")),
    default="system",
    show_default=True,
    help="The system, or what its derivation dropped where.",
)
@TABLES
def figure_command(spec: str, target: Path, kind: str, form: str) -> None:
    r"""Draw the system: data, networks, codes, priors, critics, and each term where it acts.

    Boxes are networks, dotted ones are fixed; a double box is one of several places of the same network. Dashed lines lead to what a
    term looks at; a thick outline is a critic. With --kind information: the terms of the objective, each step as a circle between those
    that it takes and those that it gives, what was dropped hatched, what the loss computes round, constants dashed.

    Needs igraph and matplotlib: pip install 'ibsym[figures]'.

    \b
    Examples:
      ibsym figure {name} -o {name}.svg
      ibsym figure {name} -o {name}.tikz
      ibsym figure {name} --kind information -o {name}.pdf
    """
    import ibsym
    from ibsym.drawing import FORMATS, figure
    from ibsym.files import write

    ending = target.suffix.removeprefix(".")
    if ending not in FORMATS:
        raise click.UsageError(f"{target} has no ending that is known\n  write: -o {target.stem}.svg, .pdf or .tikz")
    write(target, figure(ibsym.derive(spec), ending, kind))
    wrote(form, (target,))
