"""min E[loss], step by step: the players of one run, their data, and the history of the epochs so far."""

from __future__ import annotations

import inspect
import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch

from ibsym.errors import Place, TrainingError, unknown
from ibsym.nn.draws import Draws
from ibsym.nn.samples import Rows
from ibsym.nn.system import System
from ibsym.nn.wiring import Substitute
from ibsym.spec.model import Spec
from ibsym.training.binding import Batches, Binding
from ibsym.training.datasets import Loaded
from ibsym.training.engine import Engine
from ibsym.training.metrics import Meter
from ibsym.training.players import Players
from ibsym.training.settings import Choices, whole

DTYPES = {"float32": torch.float32, "float64": torch.float64}
T = TypeVar("T")


def batched(several: Iterable[T], number: int) -> Iterator[list[T]]:
    """So many at a time; fewer at the end."""
    rest = iter(several)
    while found := list(islice(rest, number)):
        yield found


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
    meter: Meter | None = field(default=None, repr=False)
    dimensions: int = 1


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
        networks: Mapping[str, Callable[..., Any]] | None = None,
        engine: Engine | None = None,
        dataset: Any = None,
        workers: int = 0,
    ):
        self.engine = engine or Engine()
        self.spec, self.binding, self.settings, self.seed = spec, binding, choices.settings, seed
        torch.manual_seed(seed)
        self.loader = torch.Generator().manual_seed(seed)
        options = choices.parameters | self.across(loss_class)
        module = loss_class(**options) if isinstance(loss_class, type) else loss_class
        self.system = System.around(
            spec,
            module,
            networks,
            sizes=binding.sizes,
            draws=choices.settings.draws or None,
            hidden=choices.settings.hidden,
            dtype=DTYPES[dtype],
            substitute=loss,
        )
        self.engine.placed(self.system)
        held_out = binding.held_out
        if dataset is not None:
            batches: Any = Loaded(spec, dataset, choices.settings.batch, workers, self.loader)
            held_out = batches.known_to(self.system)
            self.engine.placed(self.system)  # what was made of the first rows is where those are
            binding.sizes.update(self.system.sizes.known)
        else:
            batches = Batches(binding.train, choices.settings.batch, self.loader)
        rates = {"lr": choices.settings.lr, "critic_lr": choices.settings.critic_lr}
        self.players = Players(self.system, rates, self.engine)
        if self.engine.rank:  # the same networks everywhere, and noise of its own in every process
            torch.manual_seed(seed + self.engine.rank)
        self.batches = batches
        held_out = {s: {v: x.to(self.engine.device) for v, x in rows.items()} for s, rows in held_out.items()}
        self.meter = Meter(self.players, held_out, choices.settings.batch)
        self.multipliers = tuple(c.multiplier for c in spec.critics if c.multiplier is not None)
        self.warmup = self.read_warmup(warmup)
        self.goals = {name: float(getattr(module, name)) for name in self.warmup}
        self.history: list[dict[str, Any]] = []
        self.random = self.engine.random_states()

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
        steps = math.ceil(self.batches.steps / self.engine.machine.accumulate)
        for several in batched(self.batches, self.engine.machine.accumulate):
            for group, numbers in self.step([self.part(b) for b in several]).items():
                for name, value in numbers.items():
                    total[group][name] = total[group].get(name, 0.0) + value / steps
        self.check_parameters(number)
        multipliers = {name: float(getattr(self.players.loss, name)) for name in self.multipliers}
        entry = {"epoch": number, "train": total, "held_out": self.measured(), "multipliers": multipliers}
        self.history.append(entry)
        self.engine.log(entry)
        if self.engine.world > 1:  # asked of all processes at once: only the first one writes
            self.random = self.engine.random_states()
        return entry

    def check_parameters(self, epoch: int) -> None:
        """Raises before a checkpoint is written that nothing could go on from."""
        for name, player in self.players.players.items():
            if not all(bool(torch.isfinite(p).all()) for p in player.parameters):
                raise TrainingError(
                    f"after epoch {epoch} the {name} has parameters that are not finite\n  write: --set lr=3e-4, or --clip 1"
                )

    @property
    def rows(self) -> int:
        """How many rows of a batch are compared with one another."""
        return min(self.batches.sizes.values()) if isinstance(self.batches, Batches) else self.batches.batch

    @property
    def dimensions(self) -> int:
        """How many numbers a row of what is observed has, labels aside."""
        observed = {v for f in self.spec.sources.values() for v in f.of if self.spec.variables[v].kind != "categorical"}
        return max(1, sum(math.prod(self.system.sizes.shape(v)) for v in observed if self.system.sizes.whole(v)))

    def measured(self) -> dict[str, dict[str, float]]:
        """Held-out numbers: every process has all of these rows, so that each takes the loss for itself."""
        loss, group = self.players.loss, getattr(self.players.loss, "group", None)
        if group is None:
            return self.meter.measure(self.seed)
        loss.group = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.meter.measure(self.seed)
        finally:
            loss.group = group

    def step(self, batches: Sequence[Mapping[str, Rows]]) -> dict[str, dict[str, float]]:
        """One step of every player: critics first, on the same draws, cut from the model; of several batches, as of one."""
        players, critics, dual = self.players, self.players.wiring.critics, self.settings.dual_step
        losses: dict[str, float] = {}
        if len(batches) > 1:
            for name in critics:
                for _ in range(self.settings.critic_steps):
                    losses[name] = players.critic_steps(name, batches, dual)
            loss, terms = players.model_steps(batches)
        else:
            (batch,) = batches
            for name in critics:
                for _ in range(self.settings.critic_steps - 1):
                    players.critic_step(name, self.draws(batch), dual)
            draws = self.draws(batch)
            losses = {name: players.critic_step(name, draws, dual) for name in critics}
            loss, terms = players.model_step(draws)
        return {"loss": {"loss": loss}, "terms": terms, "critics": losses}

    def part(self, batch: Mapping[str, Rows]) -> dict[str, Rows]:
        """This process's rows of a batch, where it computes."""
        rank, world, device = self.engine.rank, self.engine.world, self.engine.device
        return {s: {v: x.take(slice(rank, None, world)).to(device) for v, x in rows.items()} for s, rows in batch.items()}

    def across(self, loss_class: Any) -> dict[str, Any]:
        """What the loss must know of the other processes."""
        if self.engine.world == 1:
            return {}
        if "group" in inspect.signature(loss_class.__init__).parameters:
            return {"group": self.engine.group}
        raise TrainingError(f"{self.spec.name}: its loss is for one process\n  write: --nproc 1")

    def draws(self, batch: Any) -> Draws:
        """Draws of every variable for one batch."""
        return Draws(self.system.bank, batch, copies=self.system.copies)

    def describe(self) -> str:
        """The dimensions, and who learns how many numbers."""
        sizes = ", ".join(f"{name} = {size}" for name, size in self.binding.sizes.items())
        counts = ", ".join(f"{n} {sum(p.numel() for p in player.parameters):,}" for n, player in self.players.players.items())
        return f"{sizes}; learned numbers: {counts}"

    def described(self) -> dict[str, Any]:
        """What the networks are of: the spec as JSON, sizes, images' height and width."""
        views = {v: list(view) for v, view in self.binding.views.items()}
        keys = json.dumps(dict(self.spec.keys), default=dict)
        return {"spec": keys, "sizes": dict(self.binding.sizes), "views": views, "hidden": self.settings.hidden}

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        players = self.players.players
        return {
            "system": self.system.state_dict(),
            "optimisers": {name: player.optimiser.state_dict() for name, player in players.items()},
            "parameters": {name: float(getattr(self.players.loss, name)) for name in self.spec.parameters},
            "random": self.random if self.engine.world > 1 else self.engine.random_states(),
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
        self.engine.restore_random(state["random"])
        self.loader.set_state(state["loader"])
        self.history = list(state["history"])
        for entry in self.history:
            _ = entry["epoch"], entry["train"]["loss"], entry["held_out"]["loss"]  # an error here, not in an epoch
        for entry in self.history:  # loggers begin their files anew
            self.engine.log(entry)

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
            self.meter,
            self.dimensions,
        )
