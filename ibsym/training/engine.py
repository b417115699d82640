"""Where a run computes: devices, processes, precision and loggers are Lightning Fabric's."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ibsym.errors import MissingDependencyError, TrainingError, unknown
from ibsym.nn.bank import safe_names
from ibsym.training.checkpoint import written
from ibsym.training.failures import need, refused

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
LOGGERS = ("csv", "tensorboard")
DEVICES = ("auto", "cpu", "cuda", "gpu", "mps")
STRATEGIES = ("auto", "ddp")
SHARDING = ("fsdp", "fsdp2", "deepspeed", "model_parallel")


@dataclass(frozen=True)
class Machine:
    """What a run computes with, as it is asked for."""

    device: str = "auto"
    precision: str = "32-true"
    strategy: str = "auto"
    nproc: int = 1
    logger: str | None = None
    accumulate: int = 1
    clip: float | None = None
    compile: bool = False

    @staticmethod
    def of(options: Mapping[str, object]) -> Machine:
        """The options by name, each held against what it may be."""
        known = [f.name for f in fields(Machine)]
        for name in options:
            if name not in known:
                raise unknown("option of a machine", name, known, key="machine")
        found = Machine(**options)  # type: ignore[arg-type]
        found.check()
        return found

    def check(self) -> None:
        """Raises where an option is none."""
        for option, value, known in (("--device", self.device, DEVICES), ("--precision", self.precision, PRECISIONS)):
            if value not in known:
                raise unknown(option.strip("-"), value, known, key=option)
        if self.logger is not None and self.logger not in LOGGERS:
            raise unknown("logger", self.logger, LOGGERS, key="--logger")
        self.check_strategy()
        for option, number in (("--nproc", self.nproc), ("--accumulate", self.accumulate)):
            if number < 1:
                raise refused(f"{number} is too few", option=option, remedy="a positive whole number")
        if self.clip is not None and not self.clip > 0:
            raise refused(f"{self.clip} is not positive", option="--clip", remedy="--clip 1.0")
        if self.device in ("cuda", "gpu") and not torch.cuda.is_available():
            raise refused("PyTorch finds no GPU", option="--device", remedy="--device cpu, or a build of PyTorch for your GPU")
        if self.device == "mps" and not torch.backends.mps.is_available():
            raise refused("PyTorch finds no Apple GPU", option="--device", remedy="--device cpu")
        if self.logger == "tensorboard" and not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
            raise MissingDependencyError(
                "--logger tensorboard needs tensorboard\n  write: pip install tensorboard, or --logger csv"
            )

    def check_strategy(self) -> None:
        """Raises where processes would work together otherwise than they do here: each has all the networks, and a share of the rows."""
        if self.strategy.split("_")[0] in SHARDING or self.strategy in SHARDING:
            raise refused(
                f"{self.strategy} shards the networks of one loss, and players of several share theirs",
                option="--strategy",
                remedy="--strategy ddp, or a loop of your own: fully_shard(network), System(spec, networks, group=...)",
            )
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES, key="--strategy")


def first_process() -> bool:
    """Whether this is the process that was started by hand, and not one that it or torchrun started beside it."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "RANK", "NODE_RANK"))


class Engine:
    """One process of a run. Without Fabric: this process alone, on the CPU."""

    def __init__(self, machine: Machine | None = None, fabric: Fabric | None = None):
        self.machine, self.fabric = machine or Machine(), fabric

    @staticmethod
    def launched(machine: Machine, folder: Path | None) -> Engine:
        """Fabric, with as many processes as were asked for."""
        need("lightning_fabric")
        from lightning_fabric import Fabric
        from lightning_fabric.loggers.csv_logs import CSVLogger
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        loggers: list[Any] = []
        if machine.logger is not None and folder is not None:
            kind = CSVLogger if machine.logger == "csv" else TensorBoardLogger
            loggers = [kind(root_dir=str(folder), name="logs", version="")]
        strategy = machine.strategy if machine.strategy != "auto" or machine.nproc == 1 else "ddp"
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # what it is about to use is what it was asked for
        try:
            fabric = Fabric(
                accelerator=machine.device,
                devices=machine.nproc,
                strategy=strategy,
                precision=machine.precision,  # type: ignore[arg-type]
                loggers=loggers,
            )
        except (RuntimeError, ValueError, ImportError) as error:
            asked = f"--device {machine.device} --nproc {machine.nproc} --strategy {strategy} --precision {machine.precision}"
            raise TrainingError(
                f"Lightning Fabric refuses {asked}: {str(error).splitlines()[0]}\n  write: --device cpu --nproc 1, or what it asks for"
            ) from None
        fabric.launch()
        return Engine(machine, fabric)

    @property
    def rank(self) -> int:
        """This process's number."""
        return self.fabric.global_rank if self.fabric is not None else 0

    @property
    def world(self) -> int:
        """How many processes there are."""
        return self.fabric.world_size if self.fabric is not None else 1

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.fabric.device if self.fabric is not None else torch.device("cpu")

    @property
    def group(self) -> Any:
        """The processes that a batch is spread over, or None where there is one."""
        return torch.distributed.group.WORLD if self.world > 1 else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of networks; losses raise what they get."""
        return self.fabric.autocast() if self.fabric is not None else nullcontext()

    def placed(self, module: nn.Module) -> None:
        """A module where this process computes."""
        module.to(self.device)

    def averaged(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every gradient, as the mean over the processes."""
        if self.world == 1 or self.fabric is None:
            return
        for parameter in parameters:
            gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            found = self.fabric.all_reduce(gradient, reduce_op="mean")
            assert isinstance(found, Tensor)
            parameter.grad = found

    def clipped(self, parameters: list[nn.Parameter]) -> None:
        """Gradients whose norm is no more than the run's limit."""
        if self.machine.clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.machine.clip)

    def random_states(self) -> list[Tensor]:
        """The random state of every process; on a GPU that device's too."""
        states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else [])]
        if self.world == 1:
            return states
        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, states)
        return [state for process in found for state in process]

    def restore_random(self, states: list[Tensor]) -> None:
        """Takes up the random state of this process."""
        each = len(states) // self.world
        own = states[self.rank * each : (self.rank + 1) * each]
        torch.set_rng_state(own[0])
        if len(own) > 1 and self.device.type == "cuda":
            torch.cuda.set_rng_state(own[1], self.device)

    def log(self, entry: Mapping[str, Any]) -> None:
        """An epoch's numbers for the loggers, under names that are safe as keys."""
        if self.fabric is None or not self.fabric.loggers:
            return
        found: dict[str, Any] = {}
        for part in ("train", "held_out"):
            for group, numbers in entry[part].items():
                names = safe_names(numbers)
                found |= {f"{part}/{group}/{names[n]}": v for n, v in numbers.items()}
        with warnings.catch_warnings(), self.logging():
            warnings.simplefilter("ignore")  # that earlier logs in the folder are replaced
            self.fabric.log_dict(found, step=entry["epoch"])

    def wait(self) -> None:
        """Until all processes are here."""
        if self.fabric is not None and self.world > 1:
            self.fabric.barrier()

    def finish(self) -> None:
        """What loggers have not written yet."""
        if self.fabric is not None and self.fabric.loggers:
            with self.logging():
                for logger in self.fabric.loggers:
                    logger.finalize("success")

    def logging(self) -> AbstractContextManager[None]:
        """What the system says of logs that cannot be written."""
        assert self.fabric is not None
        return written(Path(str(self.fabric.loggers[0].root_dir)))
