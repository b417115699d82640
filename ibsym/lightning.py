"""min over every player of a system, as a LightningModule: manual optimisation, one optimiser for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from ibsym.errors import MissingDependencyError, TrainingError

try:
    from lightning.pytorch import LightningModule
    from lightning.pytorch.strategies import DDPStrategy
except ModuleNotFoundError as error:
    raise MissingDependencyError("ibsym.lightning needs Lightning\n  write: pip install 'ibsym[train]'") from error

import torch
from torch import Tensor, nn

from ibsym.nn.accumulating import accumulate_critic
from ibsym.nn.bank import safe_names
from ibsym.nn.batches import by_variable
from ibsym.nn.system import System
from ibsym.nn.wiring import MODEL

__all__ = ["Module"]

Optimiser = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class Module(LightningModule):
    """A system, trained by Lightning: critics step first, on samples that are cut from the model, then the model.

    A batch is a system's, or a tuple whose members are the observed variables in the order of the source's text; what a tuple has
    beyond them is left alone. ``optimizer`` makes an optimiser of a player's parameters. ``accumulate`` batches make a step as if they
    were one; at the end of an epoch, those that are left. Under ``strategy="ddp"`` every player's gradient is that of the batches of all
    processes together, accumulated or not, whoever has a part in it. Systems whose networks are not all given are prepared first:
    ``system.prepare(batch)``.
    """

    def __init__(
        self,
        system: System,
        *,
        lr: float = 1e-3,
        critic_lr: float = 1e-3,
        critic_steps: int = 1,
        dual_step: float = 1e-2,
        accumulate: int = 1,
        clip: float | None = None,
        optimizer: Optimiser | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.system = system
        self.rates = {MODEL: lr, **dict.fromkeys(system.wiring.critics, critic_lr)}
        self.critic_steps, self.step_of_multipliers, self.clip = critic_steps, dual_step, clip
        self.pieces, self.optimizer = accumulate, optimizer
        self._waiting: list[Mapping[str, Any]] = []

    def setup(self, stage: str) -> None:
        """A loss that is spread over processes knows them."""
        strategy = self.trainer.strategy
        if self.trainer.world_size > 1:
            if not isinstance(strategy, DDPStrategy):
                raise TrainingError(
                    f"{type(strategy).__name__} spreads the networks of one loss, and players of several share theirs\n"
                    '  write: Trainer(strategy="ddp")'
                )
            if hasattr(self.system.loss, "group"):
                self.system.loss.group = torch.distributed.group.WORLD
        if (self.pieces > 1 or self.clip is not None) and getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            raise TrainingError(
                "gradients that are accumulated or clipped here are those of the loss, not of its multiple that float16 takes\n"
                '  write: Trainer(precision="bf16-mixed")'
            )

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One for every player, in the order of ``system.players``."""
        if self.optimizer is not None:
            return [self.optimizer(own) for own in self.system.players.values()]
        return [self.system.adam(name, self.rates[name]) for name in self.system.players]

    def batch(self, batch: Any) -> Mapping[str, Any]:
        """A batch of a loader, by variable."""
        return by_variable(self.system.spec, batch)

    def forward(self, batch: Any) -> Any:
        """The model's loss and its terms."""
        return self.system(self.batch(batch))

    def training_step(self, batch: Any, index: int) -> None:
        """A step of every critic, then of the model, once enough batches are here: as of one batch."""
        self._waiting.append(self.batch(batch))
        if len(self._waiting) < self.pieces and not self.trainer.is_last_batch:
            return
        rows, self._waiting = self._waiting, []
        strategy = self.trainer.strategy
        with strategy.block_backward_sync() if isinstance(strategy, DDPStrategy) else nullcontext():
            self.steps(rows)

    def steps(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """A step of every player on several batches, as of one."""
        system = self.system
        found = self.optimizers()
        optimisers = dict(zip(system.players, found if isinstance(found, list) else [found], strict=True))
        for name in system.wiring.critics:
            for _ in range(self.critic_steps):
                loss = self.critic_step(name, rows, optimisers[name])
            self.told("train/critics", {name: loss})
        if len(rows) == 1:
            out = system(rows[0])
            self.move(MODEL, optimisers[MODEL], out.loss)
        else:
            optimisers[MODEL].zero_grad()
            out = system.accumulate(rows)
            self.move(MODEL, optimisers[MODEL], None)
        self.log("train/loss", out.loss.detach(), prog_bar=True)
        self.told("train/terms", out.terms)

    def critic_step(self, name: str, batches: Sequence[Mapping[str, Any]], optimiser: Any) -> Tensor:
        """One step of one critic, and of its multiplier where it has one."""
        system = self.system
        if len(batches) == 1:
            draws = system.drawn(batches[0], still=True)
            loss = system.wiring.critic_loss(name, draws)
            self.move(name, optimiser, loss)
        else:
            optimiser.zero_grad()
            loss, draws = accumulate_critic(system.wiring, name, [system.rows(b) for b in batches], system.copies)
            self.move(name, optimiser, None)
        system.dual_step(name, draws, self.step_of_multipliers)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        """The loss and its terms on held-out rows."""
        rows = self.batch(batch)
        out = self.system(rows)
        self.log("val/loss", out.loss, prog_bar=True, sync_dist=True)
        self.told("val/terms", out.terms, together=True)

    def move(self, name: str, optimiser: Any, loss: Tensor | None) -> None:
        """One step of one player, down a loss or along gradients that are there."""
        if loss is not None:
            optimiser.zero_grad()
            self.manual_backward(loss)
        if self.trainer.world_size > 1:  # in the order of players: not every loss reaches every parameter
            for parameter in self.system.players[name]:
                gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                torch.distributed.all_reduce(gradient)
                parameter.grad = gradient / self.trainer.world_size
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.system.players[name], self.clip)
        optimiser.step()

    def told(self, group: str, numbers: Mapping[str, Tensor], *, together: bool = False) -> None:
        """Numbers for the logger, under names that are safe as keys and as files."""
        names = safe_names(numbers)
        self.log_dict({f"{group}/{names[n]}": v.detach() for n, v in numbers.items()}, sync_dist=together)
