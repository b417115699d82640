"""What a run says while it goes: nothing, lines in a pipe, or a bar with a table of its terms on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ibsym.training.units import Unit

Entry = Mapping[str, Any]


class Reporter(Protocol):
    """Told of the start, of every epoch and of the end."""

    def start(self, title: str, notes: Sequence[str], epochs: int, done: int) -> None:
        """The title, what the data are bound to, how many epochs there will be and are done."""

    def epoch(self, entry: Entry) -> None:
        """The numbers of an epoch."""

    def stop(self) -> None:
        """Whatever ended the run, the last call."""


class Silent:
    """Says nothing."""

    def start(self, title: str, notes: Sequence[str], epochs: int, done: int) -> None:
        """Nothing."""

    def epoch(self, entry: Entry) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


def headline(entry: Entry, unit: Unit) -> str:
    """The loss, the metrics and the critics' losses on held-out rows, in one line."""
    held = entry["held_out"]
    parts = [f"loss {unit.value(held['loss']['loss']):.4g}"]
    parts += [f"{name} {number(name, value, unit)}" for name, value in held["metrics"].items()]
    parts += [f"critic of {name} {unit.value(value):.4g}" for name, value in held["critics"].items()]
    return ", ".join(parts)


def summary(result: Any, unit: Unit | None = None) -> Iterator[str]:
    """The last numbers on held-out images, and where the files are."""
    unit = unit or Unit()
    unit.dimensions = result.dimensions
    yield f"{result.name}: {len(result.history)} epochs, {result.seconds:.0f} s; on held-out images{'' if unit.plain else f', {unit}'}"
    rows = [(name, unit.term(name, value, ".4f")) for name, value in result.terms.items()]
    rows += [(f"critic of {name}", f"{unit.value(value):.4f}") for name, value in result.critics.items()]
    rows += [(name, number(name, value, unit)) for name, value in result.metrics.items()]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"  {name:<{width}}  {text:>10}"
    for what, path in result.files.items():
        yield f"{what:<10}  {path}"


def number(name: str, value: float, unit: Unit) -> str:
    """A share as per cent, anything else in the unit."""
    return f"{100 * value:.1f} %" if name.startswith("accuracy") else f"{unit.value(value):.4g}"


class Lines:
    """Plain lines, some twenty in a run and one more for every ten seconds without one."""

    def __init__(self, say: Callable[[str], None], unit: Unit | None = None):
        self.say, self.epochs, self.last, self.unit = say, 1, 0.0, unit or Unit()

    def start(self, title: str, notes: Sequence[str], epochs: int, done: int) -> None:
        """The title and the notes, a line each."""
        self.epochs = epochs
        for line in (title, *notes):
            self.say(line)

    def epoch(self, entry: Entry) -> None:
        """One line, if it is time for one."""
        step, now = max(1, self.epochs // 20), time.monotonic()
        if entry["epoch"] in (1, self.epochs) or entry["epoch"] % step == 0 or now - self.last > 10:
            self.last = now
            terms = ", ".join(f"{name} {self.unit.term(name, value)}" for name, value in entry["held_out"]["terms"].items())
            self.say(f"epoch {entry['epoch']}/{self.epochs}: {headline(entry, self.unit)}; {terms}")

    def stop(self) -> None:
        """Nothing: the last epoch has had its line."""


class Bar:
    """A progress bar over a table of the running terms."""

    def __init__(self, console: Console, unit: Unit | None = None):
        self.console, self.unit = console, unit or Unit()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console)
        self.live: Live | None = None

    def start(self, title: str, notes: Sequence[str], epochs: int, done: int) -> None:
        """The title, the notes and an empty bar."""
        self.console.print(title, style="bold", markup=False, highlight=False)
        for note in notes:
            self.console.print(f"  {note}", style="dim", markup=False, highlight=False)
        self.task = self.progress.add_task("training", total=epochs, completed=done)
        self.live = Live(self.progress, console=self.console, refresh_per_second=8)
        self.live.start()

    def epoch(self, entry: Entry) -> None:
        """The bar and the table brought up to date."""
        assert self.live is not None
        self.progress.update(self.task, completed=entry["epoch"])
        self.live.update(Group(self.table(entry), self.progress))

    def table(self, entry: Entry) -> Table:
        """Loss, terms, critics, multipliers and metrics of an epoch."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("", "training", "held out"):
            table.add_column(column, justify="right" if column else "left")
        train, held, unit = entry["train"], entry["held_out"], self.unit
        table.add_row("loss", f"{unit.value(train['loss']['loss']):.4f}", f"{unit.value(held['loss']['loss']):.4f}")
        for name, value in held["terms"].items():
            table.add_row(escape(name), f"{unit.value(train['terms'][name]):.4f}", unit.term(name, value, ".4f"), style="cyan")
        for name, value in held["critics"].items():
            figures = (f"{unit.value(v):.4f}" for v in (train["critics"][name], value))
            table.add_row(f"critic of {escape(name)}", *figures, style="yellow")
        for name, value in entry["multipliers"].items():
            table.add_row(f"multiplier {name}", f"{value:.4f}", "", style="yellow")
        for name, value in held["metrics"].items():
            table.add_row(escape(name), "", number(name, value, unit), style="green")
        return table

    def stop(self) -> None:
        """The terminal as it was."""
        if self.live is not None:
            self.live.stop()
            self.live = None
