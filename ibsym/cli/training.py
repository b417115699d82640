"""ibsym train: an emitted loss on real data."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ibsym.cli.common import TABLES, Command, known, say, show, terminal


@click.command("train", cls=Command)
@click.argument("spec", shell_complete=known)
@click.option(
    "--data",
    default="digits",
    show_default=True,
    help="digits (scikit-learn's), a folder of IDX files or of images, or an .npz file.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A dimension, a parameter of the spec, or batch, lr, critic_lr, critic_steps, dual_step, hidden, draws.",
)
@click.option("--warmup", multiple=True, metavar="NAME=EPOCHS", help="Let a parameter rise to its value in so many epochs.")
@click.option("--epochs", type=click.IntRange(1, 1_000_000), help="Passes over the data; by default some thousands of steps.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="One seed, one result.")
@click.option("--labelled", type=click.IntRange(2), help="How many images keep their label.")
@click.option("--dtype", type=click.Choice(("float32", "float64")), default="float32", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--precision", default="32-true", show_default=True, help="32-true, 64-true, or bf16-mixed.")
@click.option(
    "--strategy", default="auto", show_default=True, help="How processes work together: ddp, where there are several."
)
@click.option("--nproc", type=click.IntRange(1), default=1, show_default=True, help="Processes that share every batch.")
@click.option(
    "--accumulate", type=click.IntRange(1), default=1, show_default=True, help="Batches a step, exactly as if they were one."
)
@click.option(
    "--unit", type=click.Choice(("nats", "bits")), default="nats", show_default=True, help="In which numbers are told."
)
@click.option("--per-dimension", is_flag=True, help="Tell them over the number of dimensions of what is observed.")
@click.option("--clip", type=float, help="The most that the norm of a player's gradient may be.")
@click.option("--compile", "compiled", is_flag=True, help="torch.compile the whole step: networks, draws, losses.")
@click.option("--logger", type=click.Choice(("csv", "tensorboard")), help="Logs beside the metrics, in that folder.")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Checkpoint, metrics and plots go here.  [default: runs/NAME]",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in that folder.")
@click.option("--overwrite", is_flag=True, help="Begin anew in a folder that holds a run already.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing until the end.")
@TABLES
def train_command(
    spec: str,
    data: str,
    settings: tuple[str, ...],
    warmup: tuple[str, ...],
    epochs: int | None,
    seed: int,
    labelled: int | None,
    dtype: str,
    device: str,
    precision: str,
    strategy: str,
    nproc: int,
    accumulate: int,
    unit: str,
    per_dimension: bool,
    clip: float | None,
    compiled: bool,
    logger: str | None,
    folder: Path | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    form: str,
) -> None:
    r"""Train small default networks with the emitted loss.

    Categorical observed variables are bound to the label, others to the image: thresholded for binary, in [0, 1] for unit, scaled
    to [-1, 1] for real. Several images in one source are strips of one image, side by side. A further source gets images whose
    label is hidden.

    The folder of a run is never overwritten unasked: --resume goes on with what it holds, --overwrite begins anew. Checkpoint,
    metrics and plots are written as the run goes.

    \b
    Examples:
      ibsym train {name} --data digits
      ibsym train {other} --data path/to/idx-files \
        --set L=16 --epochs 20 -o runs/wide
    """
    from ibsym import api
    from ibsym.errors import TrainingError
    from ibsym.spec.loading import load
    from ibsym.training.failures import need_all

    need_all(data, "runs")
    from ibsym.training.checkpoint import METRICS
    from ibsym.training.engine import first_process
    from ibsym.training.progress import Bar, Lines, Reporter, Silent, summary
    from ibsym.training.settings import assignments
    from ibsym.training.units import Unit

    told = Unit(unit, per_dimension)
    read = load(spec)
    console = terminal()
    reporter: Reporter = (
        Silent() if quiet or form == "json" else (Bar(console, told) if console is not None else Lines(say, told))
    )
    out = folder if folder is not None else Path("runs") / read.module_name
    sets, rises = assignments(settings, "--set"), assignments(warmup, "--warmup")
    try:
        result = api.train(
            read,
            data=data,
            epochs=epochs,
            seed=seed,
            labelled=labelled,
            dtype=dtype,
            settings=sets,
            warmup=rises,
            machine={
                "device": device,
                "precision": precision,
                "strategy": strategy,
                "nproc": nproc,
                "logger": logger,
                "accumulate": accumulate,
                "clip": clip,
                "compile": compiled,
            },
            out=out,
            resume=resume,
            overwrite=overwrite,
            report=reporter,
        )
    except (KeyboardInterrupt, TrainingError):
        if (out / "checkpoint.pt").is_file():
            click.echo(f"{out} keeps the last whole epoch; the same command with --resume goes on from there", err=True)
        raise
    if not first_process():
        return
    if form == "json":
        show(json.loads((out / METRICS).read_text(encoding="utf-8")))
        return
    for line in summary(result, told):
        say(line)
