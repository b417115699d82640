"""ibsym generate, check: losses written, compared, held against their oracles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ibsym.cli.common import NO, TABLES, Command, chosen, known, say, show, styled, write, wrote

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation


@click.command("generate", cls=Command)
@click.argument("specs", nargs=-1, metavar="SPEC...", shell_complete=known)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("generated"),
    show_default=True,
    help="The folder.",
)
@click.option("--all", "everything", is_flag=True, help="The whole zoo.")
@click.option("--bundle", is_flag=True, help="One file for each loss, with all that its compiled pass needs.")
@click.option("--plain", is_flag=True, help="No compiled pass: tensor operations only.")
@click.option("--check", is_flag=True, help="Write nothing; say which files differ, are missing or (with --all) do not belong.")
@TABLES
@click.pass_context
def generate_command(
    context: click.Context,
    specs: tuple[str, ...],
    folder: Path,
    everything: bool,
    bundle: bool,
    plain: bool,
    check: bool,
    form: str,
) -> None:
    r"""Write losses and their derivations, or compare.

    For every SPEC, NAME.py is the loss, emitted from an audited derivation, and NAME.tex the derivation. NAME.c is the loss and
    its gradients in one pass, which _ibsym_runtime.py, the same for all, compiles and runs on the CPU; without either, NAME.py
    does the same by tensor operations.

    \b
    Examples:
      ibsym generate {name} -o losses
      ibsym generate --all
      ibsym generate --all --check
    """
    import ibsym
    from ibsym.codegen.emit import PyTorch
    from ibsym.codegen.torch.stub import stub
    from ibsym.lowering import lower
    from ibsym.rendering.latex import document

    if bundle and plain:
        raise click.UsageError("either --bundle, which holds the compiled pass, or --plain, which has none")
    target = PyTorch("bundle" if bundle else "plain" if plain else "beside")
    files: dict[Path, str] = {}
    programs = []
    for spec in chosen(specs, everything):
        derivation = ibsym.derive(spec)
        if folder / f"{spec.module_name}.py" in files:
            raise click.UsageError(
                f"two specs would be written to {folder / spec.module_name}.py; give one of them another name"
            )
        programs.append(lower(ibsym.audit(derivation)))
        own = {folder / name: text for name, text in target.files(programs[-1]).items()}
        own[folder / f"{spec.module_name}.tex"] = document(derivation)
        if not check:
            for path, text in own.items():
                write(path, text)
            if form == "text":
                wrote(form, own)
        files |= own
    package = Path(ibsym.__file__).resolve().parent
    if everything and folder.resolve() == package.parent / "generated":  # what `ibsym.losses` gives: its declarations as well
        files[package / "losses" / "__init__.pyi"] = stub(programs)
        if not check:
            write(package / "losses" / "__init__.pyi", stub(programs))
    if not check:
        if form == "json":
            wrote(form, files)
        return
    drift = [f"{path}: {fault}" for path, text in files.items() if (fault := difference(path, text))]
    if everything and folder.is_dir():
        drift += [
            f"{path}: belongs to no spec"
            for path in sorted(folder.iterdir())
            if path.suffix in (".py", ".c", ".tex") and path not in files
        ]
    if form == "json":
        show({"files": len(files), "drift": drift})
    for line in drift if form == "text" else ():
        say(line)
    if drift:
        click.echo("write: the same command without --check", err=True)
        context.exit(NO)
    if form == "text":
        say(f"{len(files)} files are as they should be")


def difference(path: Path, text: str) -> str | None:
    """How the file differs from what would be written, if it does."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return "missing"
    return None if found == text.encode() else "differs"


@click.command("check", cls=Command)
@click.argument("specs", nargs=-1, metavar="SPEC...", shell_complete=known)
@click.option("--all", "everything", is_flag=True, help="The whole zoo.")
@TABLES
@click.pass_context
def check_command(context: click.Context, specs: tuple[str, ...], everything: bool, form: str) -> None:
    r"""Audit derivations, certificates and emitted code.

    Derivations are replayed in random worlds and their certificates verified over the rationals; the code is held against an
    interpreter of the same program and against finite differences. Without PyTorch the code is not checked.

    \b
    Examples:
      ibsym check {name} mine.toml
      ibsym check --all
      ibsym check {name} --format json
    """
    import ibsym
    from ibsym.errors import AuditError

    failed, found = False, []
    for spec in chosen(specs, everything):
        try:
            holds, lines = True, audited(ibsym.derive(spec))
        except AuditError as error:
            holds, lines, failed = False, (str(error),), True
        found.append({"name": spec.name, "holds": holds, "checked": lines})
        if form == "text":
            verdict = styled("holds", fg="green") if holds else styled("fails", fg="red", bold=True)
            say(f"{spec.name}: {verdict}" + "".join(f"\n  {line}" for line in lines))
    if form == "json":
        show(found)
    if failed:
        context.exit(NO)


def audited(derivation: Derivation) -> tuple[str, ...]:
    """What was checked of a derivation and of its code, in two lines, and what is hardly meant; an error where something fails."""
    from importlib.util import find_spec

    from ibsym import api
    from ibsym.codegen import emit
    from ibsym.codegen.c.source import one_pass
    from ibsym.lowering import lower
    from ibsym.rendering.outline import cautions

    notes = [f"note: {caution}" for caution in cautions(derivation)]
    certificate = api.audit(derivation)
    steps = f"steps {len(derivation.steps)}, plans {len(derivation.plans)}, all replayed and verified"
    proof = (
        f"derivation: {steps}; {certificate.worlds} evaluations in random worlds, largest error {certificate.largest_error:.0e}"
    )
    program = lower(certificate)
    source = emit(program)
    if find_spec("torch") is None:
        return proof, "code: emitted, not run: that needs PyTorch (pip install 'ibsym[torch]')", *notes
    from ibsym.conformance import agree
    from ibsym.sources import load_module

    found = agree(derivation.spec, program, load_module(source, derivation.spec.module_name, one_pass(program)).Loss)
    values = f"{found.comparisons} values as interpreted, largest error {found.largest_error:.0e}"
    return proof, f"code: {values}; {found.gradients} gradients as by differences", *notes
