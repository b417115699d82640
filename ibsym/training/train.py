"""min E[loss]: trains small default networks for every factor and critic of a spec, with the emitted loss, on real data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ibsym.errors import Place, SpecError, unknown
from ibsym.spec.model import Spec
from ibsym.training.failures import DataError, need, refused

need("torch")  # before any module that imports it, so that the error says what to install

import torch  # noqa: E402

from ibsym.nn.draws import Draws  # noqa: E402
from ibsym.nn.system import System  # noqa: E402
from ibsym.nn.wiring import Substitute  # noqa: E402
from ibsym.training.binding import Batches, Binding, bind  # noqa: E402
from ibsym.training.checkpoint import (  # noqa: E402
    Sparing,
    check_folder,
    held,
    load_checkpoint,
    save_checkpoint,
    save_metrics,
    written,
)
from ibsym.training.data import load  # noqa: E402
from ibsym.training.external import standing  # noqa: E402
from ibsym.training.metrics import Meter  # noqa: E402
from ibsym.training.players import Players  # noqa: E402
from ibsym.training.plots import save_samples, save_terms  # noqa: E402
from ibsym.training.progress import Reporter, Silent  # noqa: E402
from ibsym.training.settings import Choices, default_epochs, plain, sort_out, whole  # noqa: E402

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass
class Result:
    """What a run found: the last epoch's held-out numbers, every epoch's, where the files are, and the networks."""

    name: str
    metrics: dict[str, float]
    terms: dict[str, float]
    critics: dict[str, float]
    history: list[dict[str, Any]]
    sizes: dict[str, int]
    notes: tuple[str, ...]
    seconds: float
    files: dict[str, Path] = field(default_factory=dict)
    players: Players | None = field(default=None, repr=False)


def run(
    spec: Spec,
    loss_class: Any,
    *,
    data: str | Path = "digits",
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    labelled: int | None = None,
    settings: Mapping[str, object] | None = None,
    warmup: Mapping[str, object] | None = None,
    dtype: str = "float32",
    loss: Substitute | None = None,
    report: Reporter | None = None,
) -> Result:
    """Train ``spec`` with the emitted class; one seed, one result.

    ``data`` is ``"digits"`` or a folder of IDX files. ``settings`` sets dimensions (``L``), parameters of the spec (``beta``) and
    settings of the run (``batch``, ``lr``, ``critic_lr``, ``critic_steps``, ``dual_step``, ``hidden``, ``draws``); ``warmup`` maps
    a parameter to the number of epochs in which it rises to its value. ``loss`` stands in for the emitted forward pass: it takes
    a mapping from ``(of, role, joint)`` to tensors, the parameters by keyword, and returns the loss and its terms.

    With ``out`` the checkpoint is written at the start and after every epoch, the numbers and their curves as the run goes, so
    that a run that is killed leaves them. ``resume`` goes on from there, ``overwrite`` begins anew; a folder that holds a run
    is refused without either, and one that another run is at work in always.
    """
    began = time.monotonic()
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES, key="--dtype", place=Place(file="--dtype"))
    if epochs is not None and not 0 < epochs <= 1_000_000:
        raise refused(f"{epochs} epochs", option="--epochs", remedy="a positive number")
    if resume and out is None:
        raise DataError("nothing to resume: no folder is named\n  write: -o DIR, the folder of the earlier run")
    folder = Path(out) if out is not None else None
    if folder is not None:
        need("matplotlib", purpose="the plot of the terms")
        check_folder(folder, resume=resume, overwrite=overwrite)
    choices = sort_out(spec, settings or {})
    images = load(data)
    try:
        binding = bind(spec, images, sizes=choices.sizes, labelled=labelled, seed=seed, dtype=DTYPES[dtype])
    except SpecError as error:
        raise spec.located(error) if error.place.file == Place().file else error from None
    with torch.random.fork_rng(devices=[]), one_thread():
        networks, stand_ins = standing(spec)
        trainer = Trainer(networks, loss_class, binding, choices, dict(warmup or {}), seed=seed, dtype=dtype, loss=loss)
        total = epochs or default_epochs(trainer.batches.steps)
        fingerprint = {
            "spec": repr(spec.keys),
            "data": images.name,
            "seed": seed,
            "sizes": binding.sizes,
            "labelled": labelled,
            "dtype": dtype,
        }
        fingerprint |= {"settings": plain(choices.settings), "parameters": choices.parameters, "warmup": trainer.warmup}
        title = f"{spec.title}: {spec.objective_text}"
        keeper = Keeper(trainer, folder, title, fingerprint, total)
        with nullcontext() if folder is None else held(folder, resume=resume, overwrite=overwrite):
            if resume and folder is not None:
                trainer.restore(load_checkpoint(folder, fingerprint))
            reporter = report or Silent()
            reporter.start(title, (*binding.notes, *stand_ins, trainer.describe()), total, len(trainer.history))
            try:
                keeper.begin()
                while len(trainer.history) < total:
                    entry = trainer.epoch()
                    keeper.epoch()
                    reporter.epoch(entry)
            finally:
                reporter.stop()
                keeper.end()
            return trainer.result(began, keeper.finish())


class Keeper:
    """What a run leaves in its folder, as it goes; nothing where there is no folder."""

    def __init__(self, trainer: Trainer, folder: Path | None, title: str, fingerprint: Mapping[str, Any], epochs: int):
        self.trainer, self.folder, self.title, self.fingerprint, self.epochs = trainer, folder, title, fingerprint, epochs
        self.began, self.broken = time.monotonic(), False
        self.files: dict[str, Path] = {}
        self.sparing = {"metrics": Sparing(self.metrics), "plot": Sparing(self.plot)}

    def kept(self, *saves: Callable[[], object]) -> None:
        """Save, where there is a folder; after a failure nothing more is tried, since the first one says why."""
        if self.folder is None or self.broken:
            return
        self.broken = True
        with written(self.folder):
            for save in saves:
                save()
        self.broken = False

    def begin(self) -> None:
        """The first checkpoint, so that a run that is killed in its first epoch can go on as well."""
        self.kept(self.checkpoint)

    def epoch(self) -> None:
        """The checkpoint after every epoch; numbers and curves as often as they are cheap."""
        self.kept(self.checkpoint, *(one.soon for one in self.sparing.values()))

    def end(self) -> None:
        """What an interrupt or an error would leave unsaid."""
        self.kept(*(one.last for one in self.sparing.values()))

    def finish(self) -> dict[str, Path]:
        """The last numbers and pictures; all the files by what they are."""
        self.kept(self.metrics, self.plot, self.samples)
        return self.files

    def checkpoint(self) -> None:
        """The state that the next epoch depends on."""
        assert self.folder is not None
        self.files["checkpoint"] = save_checkpoint(self.folder, {"fingerprint": self.fingerprint, **self.trainer.state()})

    def metrics(self) -> None:
        """The numbers of every epoch so far."""
        assert self.folder is not None
        trainer, done = self.trainer, len(self.trainer.history)
        about = {**self.fingerprint, "spec": trainer.spec.name, "objective": trainer.spec.objective_text}
        about |= {"epochs": done, "finished": done >= self.epochs, "seconds": round(time.monotonic() - self.began, 2)}
        content = {**about, "bound to": list(trainer.binding.notes)}
        held_out = trainer.history[-1]["held_out"]
        self.files["metrics"] = save_metrics(self.folder, {**content, "held_out": held_out, "history": trainer.history})

    def plot(self) -> None:
        """Their curves."""
        assert self.folder is not None
        self.files["plot"] = save_terms(self.folder, self.title, self.trainer.history)

    def samples(self) -> None:
        """What the model generates, where it does."""
        assert self.folder is not None
        found = save_samples(self.folder, self.trainer.meter, self.trainer.binding.views, self.trainer.seed)
        self.files |= {"samples": found} if found is not None else {}


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second thread, and two that wait for each other on a busy machine lose a lot."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Trainer:
    """The players of one run, their data, and the history of the epochs so far."""

    def __init__(
        self,
        spec: Spec,
        loss_class: Any,
        binding: Binding,
        choices: Choices,
        warmup: Mapping[str, object],
        *,
        seed: int,
        dtype: str,
        loss: Substitute | None,
    ):
        self.spec, self.binding, self.settings, self.seed = spec, binding, choices.settings, seed
        torch.manual_seed(seed)
        self.loader = torch.Generator().manual_seed(seed)
        module = loss_class(**choices.parameters) if isinstance(loss_class, type) else loss_class
        self.system = System.around(
            spec,
            module,
            sizes=binding.sizes,
            draws=choices.settings.draws or None,
            hidden=choices.settings.hidden,
            dtype=DTYPES[dtype],
            substitute=loss,
        )
        rates = {"lr": choices.settings.lr, "critic_lr": choices.settings.critic_lr}
        self.players = Players(self.system, rates)
        self.batches = Batches(binding.train, choices.settings.batch, self.loader)
        self.meter = Meter(self.players, binding.held_out, choices.settings.batch)
        self.multipliers = tuple(c.multiplier for c in spec.critics if c.multiplier is not None)
        self.warmup = self.read_warmup(warmup)
        self.goals = {name: float(getattr(module, name)) for name in self.warmup}
        self.history: list[dict[str, Any]] = []

    def read_warmup(self, warmup: Mapping[str, object]) -> dict[str, int]:
        """Parameters that rise, and in how many epochs."""
        for name in warmup:
            if name not in self.spec.parameters or name in self.multipliers:
                rising = [p for p in self.spec.parameters if p not in self.multipliers]
                raise unknown("parameter that can rise", name, rising, key="--warmup", place=Place(file="--warmup"))
        return {name: whole(name, length, option="--warmup") for name, length in warmup.items()}

    def warm(self, epoch: int) -> None:
        """A rising parameter starts from the end of its interval nearest to zero."""
        for name, length in self.warmup.items():
            low, high = self.spec.intervals[name]
            start = min(max(0.0, low), high)
            setattr(self.players.loss, name, start + (self.goals[name] - start) * min(1.0, epoch / length))

    def epoch(self) -> dict[str, Any]:
        """One pass over the data; critics first, on the same draws, cut from the model."""
        number = len(self.history) + 1
        self.warm(number)
        total: dict[str, dict[str, float]] = {"loss": {}, "terms": {}, "critics": {}}
        for batch in self.batches:
            for name in self.players.loss.CRITICS:
                for _ in range(self.settings.critic_steps - 1):
                    self.players.critic_step(name, self.draws(batch), self.settings.dual_step)
            draws = self.draws(batch)
            critics = {
                name: self.players.critic_step(name, draws, self.settings.dual_step) for name in self.players.loss.CRITICS
            }
            loss, terms = self.players.model_step(draws)
            for group, numbers in (("loss", {"loss": loss}), ("terms", terms), ("critics", critics)):
                for name, value in numbers.items():
                    total[group][name] = total[group].get(name, 0.0) + value / self.batches.steps
        multipliers = {name: float(getattr(self.players.loss, name)) for name in self.multipliers}
        entry = {"epoch": number, "train": total, "held_out": self.meter.measure(self.seed), "multipliers": multipliers}
        self.history.append(entry)
        return entry

    def draws(self, batch: Any) -> Draws:
        """Draws of every variable for one batch."""
        return Draws(self.system.bank, batch, copies=self.system.copies)

    def describe(self) -> str:
        """The dimensions, and who learns how many numbers."""
        sizes = ", ".join(f"{name} = {size}" for name, size in self.binding.sizes.items())
        counts = ", ".join(f"{n} {sum(p.numel() for p in player.parameters):,}" for n, player in self.players.players.items())
        return f"{sizes}; learned numbers: {counts}"

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        players = self.players.players
        return {
            "system": self.system.state_dict(),
            "optimisers": {name: player.optimiser.state_dict() for name, player in players.items()},
            "parameters": {name: float(getattr(self.players.loss, name)) for name in self.spec.parameters},
            "random": torch.get_rng_state(),
            "loader": self.loader.get_state(),
            "history": self.history,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that was saved."""
        self.system.load_state_dict(state["system"])
        for name, player in self.players.players.items():
            player.optimiser.load_state_dict(state["optimisers"][name])
        for name, value in state["parameters"].items():
            setattr(self.players.loss, name, value)
        torch.set_rng_state(state["random"])
        self.loader.set_state(state["loader"])
        self.history = list(state["history"])

    def result(self, began: float, files: dict[str, Path]) -> Result:
        """What the caller gets."""
        last = self.history[-1]["held_out"]
        return Result(
            self.spec.name,
            last["metrics"],
            last["terms"],
            last["critics"],
            self.history,
            self.binding.sizes,
            self.binding.notes,
            time.monotonic() - began,
            files,
            self.players,
        )
