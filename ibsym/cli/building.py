"""ibsym build: the compiled passes of losses, ahead of their first use."""

from __future__ import annotations

import subprocess
import sys

import click

from ibsym.cli.common import NO, Command, chosen


@click.command("build", cls=Command)
@click.argument("specs", nargs=-1, metavar="SPEC...")
@click.option("--all", "everything", is_flag=True, help="The whole zoo.")
@click.pass_context
def build_command(context: click.Context, specs: tuple[str, ...], everything: bool) -> None:
    r"""Compile the one-pass code of losses ahead of time.

    Without this a loss compiles its own code at first use, in about a second. Either way the libraries lie in a cache folder:
    IBSYM_CACHE_DIR, or ibsym in the user's cache, under names that tell source, compiler, flags and processor. Needs PyTorch and
    a C compiler.

    \b
    Examples:
      ibsym build {name}
      IBSYM_CACHE_DIR=build/cache ibsym build --all
    """
    import ibsym

    for spec in chosen(specs, everything):
        module = sys.modules[ibsym.compile(ibsym.derive(spec)).__module__]
        if not hasattr(module, "_compiled"):
            click.echo(f"{spec.name}: nothing to compile")
            continue
        for real in ("float", "double"):
            try:
                click.echo(f"{spec.name}: {module._compiled(real)}")
            except (OSError, subprocess.SubprocessError) as error:
                click.echo(f"ibsym: {spec.name} cannot be compiled: {error}", err=True)
                context.exit(NO)
