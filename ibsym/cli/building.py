"""ibsym build: the compiled passes of losses, ahead of their first use."""

from __future__ import annotations

from importlib.util import find_spec

import click

from ibsym.cli.common import NO, TABLES, Command, chosen, known, say, show


@click.command("build", cls=Command)
@click.argument("specs", nargs=-1, metavar="SPEC...", shell_complete=known)
@click.option("--all", "everything", is_flag=True, help="The whole zoo.")
@TABLES
@click.pass_context
def build_command(context: click.Context, specs: tuple[str, ...], everything: bool, form: str) -> None:
    r"""Compile the one-pass code of losses ahead of time.

    Without this a loss compiles its own code at first use, in about a second. Either way the libraries lie in a cache folder:
    IBSYM_CACHE_DIR, or ibsym in the user's cache, under names that tell source, compiler, flags and processor. Needs PyTorch and
    a C compiler. Where there is a GPU, kernels are compiled for it as well, into Triton's cache, in every precision that they
    take; sizes of other kinds than were tried are compiled at first use.

    \b
    Examples:
      ibsym build {name}
      IBSYM_CACHE_DIR=build/cache ibsym build --all
    """
    import ibsym
    from ibsym.codegen.c.source import one_pass
    from ibsym.errors import MissingDependencyError
    from ibsym.lowering import lower

    gpu = device()
    try:
        from ibsym.runtime import libraries
    except ImportError:
        raise MissingDependencyError("a compiled loss needs PyTorch\n  write: pip install 'ibsym[torch]'") from None
    built: list[dict[str, object]] = []
    tell = say if form == "text" else lambda _: None
    for spec in chosen(specs, everything):
        program = lower(ibsym.audit(ibsym.derive(spec)))
        found = one_pass(program)
        if found is None:
            tell(f"{spec.name}: nothing to compile")
            built.append({"name": spec.name, "libraries": []})
            continue
        libraries_of: list[str] = []
        built.append({"name": spec.name, "libraries": libraries_of})
        for real in ("float", "double"):
            try:
                path = libraries.library_path(found.source, spec.module_name, real)
                if libraries.for_one_process(path):
                    raise OSError("there is no folder to keep it in")
                tell(f"{spec.name}: {path}")
                libraries_of.append(str(path))
            except Exception as error:
                click.echo(f"ibsym: {spec.name} cannot be compiled: {error}", err=True)
                context.exit(NO)
        if gpu:
            from ibsym.conformance import launched
            from ibsym.sources import class_of

            kernels = launched(spec, class_of(program), "cuda")
            tell(f"{spec.name}: kernels for {gpu}: {', '.join(kernels) or 'none'}")
            built[-1]["kernels"] = list(kernels)
    if form == "json":
        show(built)


def device() -> str:
    """The GPU that kernels can be compiled for; "" where there is none, or no Triton, and then PyTorch is not imported."""
    if find_spec("triton") is None or find_spec("torch") is None:
        return ""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""
