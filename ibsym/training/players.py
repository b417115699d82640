"""min over the model of the emitted loss, min over each critic of its own: an optimiser for every player of a system.

Gradients are taken with respect to one player's parameters at a time, so that none can reach another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ibsym.errors import TrainingError
from ibsym.nn.accumulating import accumulate, accumulate_critic
from ibsym.nn.draws import Draws
from ibsym.nn.samples import Rows
from ibsym.nn.system import System
from ibsym.training.engine import Engine
from ibsym.training.monitoring import fault


@dataclass
class Player:
    """A name, the parameters it moves, its optimiser."""

    name: str
    parameters: list[nn.Parameter]
    optimiser: torch.optim.Optimizer

    def step(self, loss: Tensor, engine: Engine) -> None:
        """One step down the loss in the player's own parameters."""
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.move(engine)

    def move(self, engine: Engine) -> None:
        """One step along the gradients that are there."""
        engine.averaged(self.parameters)
        engine.clipped(self.parameters)
        self.optimiser.step()
        for parameter in self.parameters:
            parameter.grad = None


class Players:
    """The model and the critics of one system, as they are trained."""

    def __init__(self, system: System, rates: Mapping[str, float], engine: Engine | None = None):
        self.engine = engine or Engine()
        self.system, self.wiring, self.spec, self.loss = system, system.wiring, system.spec, system.loss
        if self.engine.machine.compile:
            self.wiring.compile()
        self.players = {
            name: Player(name, own, system.adam(name, rates["lr" if name == "model" else "critic_lr"]))
            for name, own in system.players.items()
        }

    def critic_step(self, name: str, draws: Draws, dual_step: float) -> float:
        """One step of one critic, and of its multiplier where it has one: up by what the rate exceeds its budget."""
        with self.engine.autocast():
            loss = self.wiring.critic_loss(name, draws)
        self.critic_finite(name, loss, draws)
        self.players[name].step(loss, self.engine)
        self.system.dual_step(name, draws, dual_step)
        return float(loss.detach())

    def critic_steps(self, name: str, batches: Sequence[Mapping[str, Rows]], dual_step: float) -> float:
        """One step of one critic on several batches, as if they were one."""
        with self.engine.autocast():
            loss, draws = accumulate_critic(self.wiring, name, batches, self.system.copies)
        self.critic_finite(name, loss, draws)
        self.players[name].move(self.engine)
        self.system.dual_step(name, draws, dual_step)
        return float(loss)

    def critic_finite(self, name: str, loss: Tensor, draws: Draws) -> None:
        """Stops the run where a critic's loss is none, with the input and the row that are not finite."""
        if not bool(torch.isfinite(loss)):
            with torch.no_grad():
                where = fault(self.wiring, self.wiring.tensors(draws), {})
            finite(loss, f"the loss of the critic of {name}", where=where)

    def model_step(self, draws: Draws) -> tuple[float, dict[str, float]]:
        """One step of the model, critics frozen."""
        with self.engine.autocast():
            loss, terms = self.wiring.evaluate(draws)
        numbers = {name: float(t) for name, t in terms.items()}
        if not bool(torch.isfinite(loss)):
            finite(loss, "the loss", numbers, fault(self.wiring, self.wiring.tensors(draws), numbers))
        self.players["model"].step(loss, self.engine)
        return float(loss.detach()), numbers

    def model_steps(self, batches: Sequence[Mapping[str, Rows]]) -> tuple[float, dict[str, float]]:
        """One step of the model on several batches, as if they were one."""
        with self.engine.autocast():
            loss, terms = accumulate(self.wiring, batches, self.system.copies)
        numbers = {name: float(t) for name, t in terms.items()}
        if not bool(torch.isfinite(loss)):
            finite(loss, "the loss", numbers, self.fault_among(batches, numbers))
        self.players["model"].move(self.engine)
        return float(loss), numbers

    @torch.no_grad()
    def fault_among(self, batches: Sequence[Mapping[str, Rows]], terms: Mapping[str, float]) -> str:
        """The first of several batches in which an input or a term is no number, drawn once more, and where in it."""
        for k, rows in enumerate(batches):
            where = fault(self.wiring, self.wiring.tensors(Draws(self.system.bank, rows, copies=self.system.copies)), terms)
            if where:
                return f"{where}, in batch {k} of {len(batches)}"
        return ""


def finite(loss: Tensor, what: str, terms: Mapping[str, float] | None = None, where: str = "") -> Tensor:
    """The loss, if it is a number; else an error that names the terms that are not, and the row and the input where they are known."""
    if bool(torch.isfinite(loss)):
        return loss
    guilty = [name for name, value in (terms or {}).items() if not torch.isfinite(torch.tensor(value))]
    named = (f" ({', '.join(guilty)})" if guilty else "") + (f": {where}" if where else "")
    raise TrainingError(f"{what} is {float(loss.detach())}{named}\n  write: --set lr=3e-4, or a smaller weight on that term")
