"""min E[loss]: trains small default networks for every factor and critic of a spec, with the emitted loss, on real data."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ibsym.errors import Place, SpecError, unknown
from ibsym.spec.model import Spec
from ibsym.training.failures import DataError, need, refused

need("torch")  # before any module that imports it, so that the error says what to install

import torch  # noqa: E402

from ibsym.nn.randomness import untouched  # noqa: E402
from ibsym.nn.wiring import Substitute  # noqa: E402
from ibsym.training.binding import bind  # noqa: E402
from ibsym.training.checkpoint import (  # noqa: E402
    Sparing,
    check_folder,
    held,
    load_checkpoint,
    save_checkpoint,
    save_metrics,
    taken_up,
    written,
)
from ibsym.training.data import load  # noqa: E402
from ibsym.training.datasets import binding_of  # noqa: E402
from ibsym.training.engine import Engine, Machine, first_process  # noqa: E402
from ibsym.training.external import standing  # noqa: E402
from ibsym.training.monitoring import largest, ranges  # noqa: E402
from ibsym.training.plots import save_samples, save_terms  # noqa: E402
from ibsym.training.progress import Bar, Lines, Reporter, Silent  # noqa: E402
from ibsym.training.settings import default_epochs, plain, sized, sort_out  # noqa: E402
from ibsym.training.trainer import DTYPES, Result, Trainer  # noqa: E402
from ibsym.training.units import Unit  # noqa: E402


def run(
    spec: Spec,
    loss_class: Any,
    *,
    data: Any = "digits",
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
    networks: Mapping[str, Callable[..., Any]] | None = None,
    machine: Mapping[str, object] | None = None,
    workers: int = 0,
) -> Result:
    """Train ``spec`` with the emitted class; one seed, one result.

    ``data`` is ``"digits"``, a folder of IDX files or of images, an ``.npz`` file, or a map-style dataset,
    which a DataLoader with ``workers`` reads. ``settings`` sets dimensions (``L``), parameters of the spec (``beta``) and
    settings of the run (``batch``, ``lr``, ``critic_lr``, ``critic_steps``, ``dual_step``, ``hidden``, ``draws``); ``warmup`` maps
    a parameter to the number of epochs in which it rises to its value. ``loss`` stands in for the emitted forward pass: it takes
    a mapping from ``(of, role, joint)`` to tensors, the parameters by keyword, and returns the loss and its terms.

    With ``out`` the checkpoint is written at the start and after every epoch, the numbers and their curves as the run goes, so
    that a run that is killed leaves them. ``resume`` goes on from there, ``overwrite`` begins anew; a folder that holds a run
    is refused without either, and one that another run is at work in always.
    """
    began = time.monotonic()
    where = Machine.of(machine or {})
    dtype = "float64" if where.precision == "64-true" else dtype
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES, key="--dtype", place=Place(file="--dtype"))
    if epochs is not None and not 0 < epochs <= 1_000_000:
        raise refused(f"{epochs} epochs", option="--epochs", remedy="a positive number")
    if resume and out is None:
        raise DataError("nothing to resume: no folder is named\n  write: -o DIR, the folder of the earlier run")
    folder = Path(out) if out is not None else None
    if folder is not None:
        need("matplotlib", purpose="the plot of the terms")
        if first_process():
            check_folder(folder, resume=resume, overwrite=overwrite)
    choices = sort_out(spec, settings or {})
    try:
        if isinstance(data, str | Path):
            images = load(data)
            binding, name = (
                bind(spec, images, sizes=choices.sizes, labelled=labelled, seed=seed, dtype=DTYPES[dtype]),
                images.name,
            )
            dataset = None
        else:
            binding, name, dataset = binding_of(data, choices.sizes), type(data).__name__, data
        rows = {s: len(next(iter(r.values())).code) for s, r in binding.train.items()}
        choices = sized(spec, choices, rows if dataset is None else dict.fromkeys(spec.sources, len(dataset)))
    except SpecError as error:
        raise spec.located(error) if error.place.file == Place().file else error from None
    engine = Engine.launched(where, folder)
    with untouched(), one_thread(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute")  # torch.compile looks at that of every draw
        usual, stand_ins = standing(spec, set(networks or {}))
        trainer = Trainer(
            usual,
            loss_class,
            binding,
            choices,
            dict(warmup or {}),
            seed=seed,
            dtype=dtype,
            loss=loss,
            networks=networks,
            engine=engine,
            dataset=dataset,
            workers=workers,
        )
        total = epochs or default_epochs(trainer.batches.steps)
        fingerprint = {
            "spec": repr(spec.keys),
            "data": name,
            "seed": seed,
            "sizes": binding.sizes,
            "labelled": labelled,
            "dtype": dtype,
        }
        fingerprint |= {"settings": plain(choices.settings), "parameters": choices.parameters, "warmup": trainer.warmup}
        if engine.world > 1 or where.accumulate > 1 or where.precision == "bf16-mixed":
            fingerprint["machine"] = f"{engine.world} processes, {where.accumulate} batches a step, {where.precision}"
        title = f"{spec.title}: {spec.objective_text}"
        keeper = Keeper(trainer, folder, title, fingerprint, total)
        alone = folder is not None and engine.rank == 0
        with held(folder, resume=resume, overwrite=overwrite) if alone and folder is not None else nullcontext():
            engine.wait()
            if resume and folder is not None:
                state = load_checkpoint(folder, fingerprint)
                with taken_up(folder):
                    trainer.restore(state)
            reporter = report if report is not None and engine.rank == 0 else Silent()
            unit = reporter.unit if isinstance(reporter, Lines | Bar) else Unit()
            unit.dimensions, unit.largest = trainer.dimensions, largest(spec, trainer.rows)
            told = ranges(spec, trainer.rows, unit)
            reporter.start(title, (*binding.notes, *stand_ins, trainer.describe(), *told), total, len(trainer.history))
            try:
                keeper.begin()
                while len(trainer.history) < total:
                    entry = trainer.epoch()
                    keeper.epoch()
                    reporter.epoch(entry)
            finally:
                reporter.stop()
                keeper.end()
                engine.finish()
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
        if self.folder is None or self.broken or self.trainer.engine.rank:
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
        there = (
            (self.metrics, "metrics"),
            (self.plot, "plot"),
        )  # written last of all at the end, unless nothing was left to do
        self.kept(*(save for save, name in there if name not in self.files), self.samples)
        return self.files

    def checkpoint(self) -> None:
        """The state that the next epoch depends on."""
        assert self.folder is not None
        state = {"fingerprint": self.fingerprint, "model": self.trainer.described(), **self.trainer.state()}
        self.files["checkpoint"] = save_checkpoint(self.folder, state)

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
