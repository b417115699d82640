"""ibsym COMMAND: specs in; derivations, emitted losses, audits and trained models out.

Exit status 0: done; 1: the answer is no (a check failed, a file drifted); 2: the input is wrong. Mistakes are a few lines on
stderr, never a traceback. Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

    from ibsym.spec.model import Spec

DONE, NO, WRONG, INTERRUPTED = 0, 1, 2, 130
FORMATS = ("text", "latex", "json", "html")

STARTER = """\
# {name}: a term spec. `ibsym derive {name}.toml` shows what becomes of it.
name = "{name}"                               # the emitted file's name, too
title = "{title}"
# cite = ["Author et al. 2026"]

# Minimise or maximise a sum of terms: I_q(X;Z), H_q(X|Z), TC_q(Z), KL(q(z)||p(z)), JS(data(x)||p(x)), E_q[log p(x|z)], ...
# A subscript names the joint; a capital Z is the random variable of z. Every term is bounded on its own, as written.
objective = "minimize I_q(X;Z) - beta*I_q(Z;C)"

[variables]                                   # real[D], unit[D], binary[D], categorical[K], sphere[D]; several axes: real[C,H,W]
x = "real[D]"                                 # dimensions are names or numbers
c = "categorical[K]"
z = "real[L]"

[joints]                                      # products of factors; data(...) is known by samples only
q = "data(x,c) q(z|x)"
p = "p(z) p(c|z)"

[families]                                    # one for each factor that is not data
"q(z|x)" = "diagonal-normal"                  # or full-normal, laplace, bernoulli, deterministic, implicit, ...
"p(z)"   = "standard-normal"
"p(c|z)" = "categorical"

[parameters]                                  # the interval gives the coefficient's sign, and with it the bound's direction
beta = {{ default = 100.0, min = 0 }}

# [estimators]                                # what to do with a term that cannot be evaluated; without an entry it is bounded away
# "KL(q(z)||p(z))" = "density-ratio"          # or mmd, logistic (for JS), infonce, minibatch-weighted, ...
"""


class Examples(click.Command):
    """A command whose help ends with examples; ``SPEC`` in them is a name of the zoo as it is today."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any):
        super().__init__(*args, **options)
        self.examples = tuple(examples)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)


class Commands(click.Group):
    """The group of all commands, in the order of a first session."""

    command_class = Examples

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(
            formatter, ("ibsym zoo", "ibsym derive SPEC", "ibsym generate SPEC -o losses", "ibsym train SPEC --data digits")
        )
        with formatter.section("Exit status"):
            formatter.write_text("0 done, 1 the answer is no, 2 the input is wrong")


def write_examples(formatter: click.HelpFormatter, examples: Iterable[str]) -> None:
    names = zoo()
    with formatter.section("Examples"):
        for example in examples:
            formatter.write_text(example.replace("SPEC", names[-1]).replace("OTHER", names[0]))


def zoo() -> list[str]:
    """Names of the zoo, read off its files without loading anything."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in resources.files("ibsym.zoo").iterdir() if entry.name.endswith(".toml")
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ibsym", message="ibsym %(version)s")
def cli() -> None:
    """From an information-theoretic objective to a proved bound, its LaTeX, a PyTorch loss and a trained model.

    A SPEC is a TOML file or the name of a zoo entry.
    """


@cli.command(
    "zoo",
    short_help="List the specs that travel with ibsym, or print one.",
    examples=("ibsym zoo", "ibsym zoo SPEC > mine.toml"),
)
@click.argument("name", required=False)
def zoo_command(name: str | None) -> None:
    """List the specs that travel with ibsym, or print one."""
    from ibsym.spec.loading import load, zoo_text

    if name is not None:
        click.echo(zoo_text(name), nl=False)
        return
    rows = [(entry, spec.title, spec.objective_text) for entry in zoo() for spec in (load(entry),)]
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


@cli.command(
    "new",
    short_help="Write a commented spec to start from.",
    examples=("ibsym new my-bottleneck", "ibsym derive my-bottleneck.toml"),
)
@click.argument("name")
def new_command(name: str) -> None:
    """Write NAME.toml, a commented spec to start from; an existing file is left alone."""
    from ibsym.errors import SpecError
    from ibsym.spec.loading import loads

    if not re.fullmatch(r"[a-z0-9_-]{1,80}", name):
        raise SpecError(f"{name[:80]!r} is no name for a spec", key="name", remedy="lower-case words joined by hyphens")
    text = STARTER.format(name=name, title=re.sub(r"[-_]+", " ", name).strip().capitalize())
    loads(text, file=f"{name}.toml")
    try:
        with Path(f"{name}.toml").open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise SpecError(f"{name}.toml exists already", key="name", remedy="another name") from None
    click.echo(f"wrote {name}.toml; next: ibsym derive {name}.toml")


@cli.command(
    "derive",
    short_help="Derive a bound step by step, with its gap.",
    examples=("ibsym derive SPEC", "ibsym derive mine.toml --format latex -o mine.tex", "ibsym derive OTHER --format json"),
)
@click.argument("spec")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="What to write.")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="A file to write to, instead of the terminal.")
def derive_command(spec: str, form: str, target: Path | None) -> None:
    """Derive what can be computed from the objective, step by step, with the exact gap."""
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


@cli.command(
    "generate",
    short_help="Write losses and their formulas, or compare.",
    examples=("ibsym generate SPEC -o losses", "ibsym generate --all", "ibsym generate --all --check"),
)
@click.argument("specs", nargs=-1, metavar="SPEC...")
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
@click.option("--check", is_flag=True, help="Write nothing; say which files differ, are missing or (with --all) do not belong.")
@click.pass_context
def generate_command(context: click.Context, specs: tuple[str, ...], folder: Path, everything: bool, check: bool) -> None:
    """Write the audited loss NAME.py and its derivation NAME.tex for every SPEC."""
    import ibsym

    files: dict[Path, str] = {}
    for spec in chosen(specs, everything):
        derivation = ibsym.derive(spec)
        stem = folder / spec.module_name
        if stem.with_suffix(".py") in files:
            raise click.UsageError(f"two specs would be written to {stem}.py; give one of them another name")
        files[stem.with_suffix(".py")] = ibsym.generate(derivation)
        files[stem.with_suffix(".tex")] = rendered(derivation, "latex")
        if not check:
            for suffix in (".py", ".tex"):
                write(stem.with_suffix(suffix), files[stem.with_suffix(suffix)])
            click.echo(f"wrote {stem}.py, {stem}.tex")
    if not check:
        return
    drift = [f"{path}: {fault}" for path, text in files.items() if (fault := difference(path, text))]
    if everything and folder.is_dir():
        drift += [
            f"{path}: belongs to no spec"
            for path in sorted(folder.iterdir())
            if path.suffix in (".py", ".tex") and path not in files
        ]
    for line in drift:
        click.echo(line)
    if drift:
        click.echo("write: the same command without --check", err=True)
        context.exit(NO)
    click.echo(f"{len(files)} files are as they should be")


def chosen(names: tuple[str, ...], everything: bool) -> Iterator[Spec]:
    """The specs that a command line names."""
    from ibsym.spec.loading import load

    if bool(names) == everything:
        raise click.UsageError("name some specs, or --all for the whole zoo" if not names else "either some specs or --all")
    for name in zoo() if everything else dict.fromkeys(names):
        yield load(name)


def difference(path: Path, text: str) -> str | None:
    """How the file differs from what would be written, if it does."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return "missing"
    if found == text.encode():
        return None
    lines, wanted = found.decode(errors="replace").splitlines(), text.splitlines()
    number = next(
        (i for i, (a, b) in enumerate(zip(lines, wanted, strict=False), 1) if a != b), min(len(lines), len(wanted)) + 1
    )
    return f"differs from line {number} on"


def write(path: Path, text: str) -> None:
    """Write to a temporary file beside it and rename: a reader never sees half of a file, an error leaves the old one."""
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@cli.command(
    "check", short_help="Audit derivations and emitted code.", examples=("ibsym check SPEC mine.toml", "ibsym check --all")
)
@click.argument("specs", nargs=-1, metavar="SPEC...")
@click.option("--all", "everything", is_flag=True, help="The whole zoo.")
@click.pass_context
def check_command(context: click.Context, specs: tuple[str, ...], everything: bool) -> None:
    """Audit each derivation and its certificate in random worlds, and the emitted code against its oracles.

    Without PyTorch the derivations are checked, and the code is not.
    """
    import ibsym
    from ibsym import api
    from ibsym.errors import AuditError

    failed = False
    for spec in chosen(specs, everything):
        try:
            report = api.check(ibsym.derive(spec))
        except AuditError as error:
            failed = True
            click.echo(f"{spec.name}: " + click.style("failed", fg="red", bold=True))
            click.echo(f"  {error}")
            continue
        click.echo(f"{spec.name}: " + click.style("holds", fg="green") + f": {report}")
    if failed:
        context.exit(NO)


@cli.command(
    "train",
    short_help="Train small networks with an emitted loss.",
    examples=(
        "ibsym train SPEC --data digits",
        "ibsym train OTHER --data path/to/idx-files --set L=16 --epochs 20 -o runs/wide",
    ),
)
@click.argument("spec")
@click.option("--data", default="digits", show_default=True, help="digits (scikit-learn's), or a folder of IDX files.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A dimension, a parameter, or batch, lr, critic_lr, critic_steps, ...",
)
@click.option("--warmup", multiple=True, metavar="NAME=EPOCHS", help="Let a parameter rise to its value in so many epochs.")
@click.option("--epochs", type=click.IntRange(1, 1_000_000), help="Passes over the data; by default some thousands of steps.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="One seed, one result.")
@click.option("--labelled", type=click.IntRange(2), help="How many images keep their label.")
@click.option("--dtype", type=click.Choice(("float32", "float64")), default="float32", show_default=True)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Checkpoint, metrics and plots go here.  [default: runs/NAME]",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in that folder.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing until the end.")
def train_command(
    spec: str,
    data: str,
    settings: tuple[str, ...],
    warmup: tuple[str, ...],
    epochs: int | None,
    seed: int,
    labelled: int | None,
    dtype: str,
    folder: Path | None,
    resume: bool,
    quiet: bool,
) -> None:
    """Train small default networks with the emitted loss on real data.

    Categorical observed variables are bound to the label, others to the image: thresholded for binary, in [0, 1] for unit, scaled to
    [-1, 1] for real. Several images in one source are strips of one image, side by side. A further source gets images whose label is hidden.
    """
    from ibsym import api
    from ibsym.spec.loading import load
    from ibsym.training.failures import need
    from ibsym.training.progress import Bar, Lines, Reporter, Silent

    need("torch")
    read = load(spec)
    console = terminal()
    reporter: Reporter = Silent() if quiet else (Bar(console) if console is not None else Lines(click.echo))
    out = folder if folder is not None else Path("runs") / read.module_name
    rises = {name: whole(value, name) for name, value in pairs(warmup, "--warmup").items()}
    options = {
        "data": data,
        "epochs": epochs,
        "seed": seed,
        "labelled": labelled,
        "dtype": dtype,
        "settings": pairs(settings, "--set"),
    }
    try:
        result = api.train(read, **options, warmup=rises, out=out, resume=resume, report=reporter)
    except KeyboardInterrupt:
        if (out / "checkpoint.pt").is_file():
            click.echo(f"{out} keeps the last whole epoch; the same command with --resume goes on from there", err=True)
        raise
    summary(result)


def pairs(entries: Iterable[str], option: str) -> dict[str, str]:
    """NAME=VALUE, each name once."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not name or not value:
            raise click.BadParameter(f"{entry!r} is no NAME=VALUE", param_hint=option)
        if name in found:
            raise click.BadParameter(f"{name} is set twice", param_hint=option)
        found[name] = value
    return found


def whole(value: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise click.BadParameter(f"{name}={value} is no number of epochs", param_hint="--warmup")
    return int(value)


def summary(result: Any) -> None:
    """The last numbers on held-out images, and where the files are."""
    from ibsym.training.progress import number

    click.echo(f"{result.name}: {len(result.history)} epochs, {result.seconds:.0f} s; on held-out images")
    rows = [(name, f"{value:.4f}") for name, value in result.terms.items()]
    rows += [(f"critic of {name}", f"{value:.4f}") for name, value in result.critics.items()]
    rows += [(name, number(name, value)) for name, value in result.metrics.items()]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"  {name:<{width}}  {value:>10}")
    for what, path in result.files.items():
        click.echo(f"{what:<10}  {path}")


def terminal() -> Console | None:
    """A console, if a person looks at standard output."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console()


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
        complain(str(error))
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
            f"a fault of ibsym's own: {type(error).__name__}: {str(error)[:500]}\n  set IBSYM_TRACEBACK=1 to see where, and report it, please"
        )
        return WRONG


def complain(message: str) -> None:
    click.echo(click.style("ibsym: ", fg="red", bold=True) + message, err=True)
