"""ibsym sweep: an emitted loss along its parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ibsym.cli.common import DONE, NO, TABLES, Command, known, say, show, terminal
from ibsym.cli.training import train_command

OWN = ("spec", "seed", "nproc", "logger", "folder", "resume", "overwrite", "quiet", "form", "json", "unit", "per_dimension")
"""Options of train that a sweep has a say of its own in."""


@click.command("sweep", cls=Command)
@click.argument("spec", shell_complete=known)
@click.option(
    "--over",
    multiple=True,
    required=True,
    metavar="NAME=VALUES",
    help="What to go along: beta=0.01:10:log8, beta=0:1:lin5, or L=2,4,8; several make a grid.",
)
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True, help="Runs at every point.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1001), default=0, show_default=True, help="The first of the seeds.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Runs at a time.  [default: as many as there are processors]")
@click.option("-o", "--output", "folder", type=click.Path(path_type=Path), help="[default: sweeps/NAME]")
@click.option("--overwrite", is_flag=True, help="Begin anew in a folder that holds a sweep already.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing until the end.")
@TABLES
def sweep_command(
    spec: str,
    over: tuple[str, ...],
    seeds: int,
    seed: int,
    jobs: int | None,
    folder: Path | None,
    overwrite: bool,
    quiet: bool,
    form: str,
    **trained: Any,
) -> int:
    r"""Train along parameters, dimensions or settings, in parallel processes.

    The folder gets results.parquet, a row a run with the spec, the seed and all versions; epochs.parquet, a row an epoch; and plots:
    rate against distortion, the information plane by epoch, and bounds with their estimated gaps: by the model's densities, and of what a
    critic stands for by two other estimators.
    The same command goes on with what is not done yet, after a kill as well; where all is done, it writes tables and plots anew.

    \b
    Examples:
      ibsym sweep {name} --over beta=0.01:10:log8 --seeds 3
      ibsym sweep {other} --over beta=1,4 --over L=2,8 \
        --epochs 20 -o sweeps/mine
    """
    from ibsym.spec.loading import load
    from ibsym.training.failures import need, need_all

    need_all(trained["data"], "sweeps")
    need("optuna", "pyarrow", purpose="a sweep", extra="sweep")
    from ibsym.sweeping.sweep import sweep

    read = load(spec)
    progress = Quiet() if quiet or form == "json" else Progress()
    try:
        result = sweep(
            read,
            over,
            out=folder if folder is not None else Path("sweeps") / read.module_name,
            seeds=seeds,
            seed=seed,
            jobs=jobs or os.cpu_count() or 1,
            options=options(trained),
            overwrite=overwrite,
            told=progress.told,
            start=progress.start,
        )
    finally:
        progress.stop()
    if form == "json":
        files = {what: str(path) for what, path in result.files.items()}
        failed = {point.name: why for point, why in result.failed.items()}
        show({"name": read.name, "runs": len(result.found), "before": result.before, "failed": failed, "files": files})
        return NO if failed else DONE
    say(f"{read.name}: {len(result.found)} runs, {result.before} of them done before")
    for point, why in result.failed.items():
        say(f"  {point.name}: {why.splitlines()[0]}")
    for what, path in result.files.items():
        say(f"{what:<18} {path}")
    return NO if result.failed else DONE


sweep_command.params[-1:-1] = [p for p in train_command.params if p.name not in OWN]


def options(trained: Mapping[str, Any]) -> dict[str, Any]:
    """What a run takes, of what the command line says."""
    from ibsym.training.settings import assignments

    machine = {k: trained[k] for k in ("device", "precision", "strategy", "accumulate", "clip")} | {
        "compile": trained["compiled"]
    }
    data = trained["data"] if trained["data"] == "digits" else str(Path(trained["data"]).resolve())
    found = {"data": data, "epochs": trained["epochs"], "labelled": trained["labelled"], "dtype": trained["dtype"]}
    sets, rises = assignments(trained["settings"], "--set"), assignments(trained["warmup"], "--warmup")
    return {**found, "settings": sets, "warmup": rises, "machine": machine}


class Quiet:
    """Says nothing."""

    def start(self, points: int, before: int) -> None:
        """Nothing."""

    def told(self, point: Any, entry: Mapping[str, Any]) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


class Progress(Quiet):
    """A bar for all runs on a terminal, else a line a run."""

    def start(self, points: int, before: int) -> None:
        """How many runs there are."""
        self.points, self.ended = points, before
        self.bar: Any = None
        console = terminal()
        if console is None:
            say(f"{points} runs, {before} done before")
            return
        from rich import progress

        columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TextColumn("{task.fields[runs]}"))
        self.bar = progress.Progress(*columns, progress.TimeRemainingColumn(), console=console)
        self.task = self.bar.add_task("training", total=float(points), completed=before, runs=f"{before}/{points} runs")
        self.share: dict[Any, float] = {}
        self.bar.start()

    def told(self, point: Any, entry: Mapping[str, Any]) -> None:
        """An epoch, or the end of a run."""
        if entry["kind"] != "epoch":
            self.ended += 1
        if self.bar is not None:
            self.share[point] = entry["epoch"] / entry["of"] if entry["kind"] == "epoch" else 1.0
            done = sum(self.share.values()) + self.ended - sum(s == 1.0 for s in self.share.values())
            self.bar.update(self.task, completed=done, runs=f"{self.ended}/{self.points} runs")
        elif entry["kind"] == "result":
            held = entry["history"][-1]["held_out"]
            shown = {"loss": held["loss"]["loss"]} | held["metrics"]
            say(f"{self.ended}/{self.points} {point.name}: " + ", ".join(f"{n} {v:.4g}" for n, v in shown.items()))
        elif entry["kind"] != "epoch":
            say(f"{self.ended}/{self.points} {point.name}: {entry['message'].splitlines()[0]}")

    def stop(self) -> None:
        """The terminal as it was."""
        if getattr(self, "bar", None) is not None:
            self.bar.stop()
