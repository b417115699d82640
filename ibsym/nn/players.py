"""Who minimises what: the model the emitted loss, each critic its own; every input found by (of, role, joint).

The model's step differentiates through the critics and moves the model only; a critic's step sees detached samples. Gradients
are taken with respect to one player's parameters at a time, so that none can reach another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ibsym.errors import EmissionError, TrainingError
from ibsym.nn.classes import as_declared
from ibsym.nn.draws import Draws, System, ancestors, compared, detached, scope
from ibsym.nn.samples import Value
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec

Key = tuple[str, str, str]
Substitute = Callable[..., tuple[Tensor, Mapping[str, Tensor]]]
SAMPLES = ("value", "sample", "sample_reference")
CRITIC_SIDES = ("critic", "critic_reference")


def key_of(entry: Any) -> Key:
    """What an input is, whatever its name."""
    return entry.of, entry.role, entry.joint


@dataclass
class Player:
    """A name, the parameters it moves, its optimiser."""

    name: str
    parameters: list[nn.Parameter]
    optimiser: torch.optim.Optimizer

    def step(self, loss: Tensor) -> None:
        """One step down the loss in the player's own parameters."""
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        for parameter in self.parameters:
            parameter.grad = None


class Players:
    """The model and the critics of one emitted loss."""

    def __init__(self, spec: Spec, loss: Any, system: System, rates: Mapping[str, float], substitute: Substitute | None = None):
        self.spec, self.loss, self.system, self.substitute = spec, loss, system, substitute
        self.inputs = tuple(loss.INPUTS)
        self.critic_inputs: dict[str, tuple[Any, ...]] = {
            n: tuple(i for i in e if not i.role.startswith("critic")) for n, e in getattr(loss, "CRITIC_INPUTS", {}).items()
        }
        self.first_joints = {name: compared(spec, name)[0].head for name in loss.CRITICS}
        self.first_joints |= {i.of: i.joint for i in self.inputs if i.role == "critic"}
        self.build(rates)

    def build(self, rates: Mapping[str, float]) -> None:
        """Networks for what the inputs need and nothing else; a factor that only a critic needs is that critic's."""
        names = tuple(self.loss.CRITICS)
        owned = {name: self.owned(name) for name in names}
        needed = set().union(*(self.needs(i) for i in self.inputs))
        needed |= set().union(*(self.needs_of_side(name, role) for name in names for role in CRITIC_SIDES))
        groups = {"model": needed.difference(*owned.values()), **owned}
        parameters: dict[str, list[nn.Parameter]] = {}
        for player, factors in groups.items():
            parameters[player] = []
            for factor in sorted((f for f in factors if f.learned and f.text not in self.system.factors), key=str):
                self.system.add_factor(factor)
                parameters[player] += self.system.factors[factor.text].parameters()
        for entry in self.inputs:
            if entry.role == "scores":
                self.system.add_scores(entry.of)
                parameters["model"] += self.system.scores[entry.of].parameters()
        for name in names:
            self.system.add_critic(name)
            parameters[name] += self.system.critics[name].parameters()
        if not parameters["model"]:
            raise EmissionError("nothing in the loss is learned, so there is nothing to train")
        betas = (0.5, 0.9) if self.loss.CRITICS else (0.9, 0.999)
        self.players = {
            name: Player(name, own, torch.optim.Adam(own, lr=rates["lr" if name == "model" else "critic_lr"], betas=betas))
            for name, own in parameters.items()
        }

    def owned(self, name: str) -> set[Factor]:
        """The factors that belong to a critic: the one it looks through, and those of its constraint that the loss does not take."""
        if name not in self.system.through:
            return set()
        taken = set().union(*(self.needs(i) for i in self.inputs))
        rate = {self.spec.factors[i.of] for i in self.critic_inputs.get(name, ()) if i.of in self.spec.factors}
        return {self.system.through[name]} | (rate - taken)

    def needs(self, entry: Any) -> set[Factor]:
        """The factors that an input is made of."""
        spec = self.spec
        if entry.role in CRITIC_SIDES:
            return self.needs_of_side(entry.of, entry.role)
        if entry.role == "scores":
            return self.above(entry.joint, [v for g in self.system.groups(entry.of) for v in g])
        if entry.role in SAMPLES and entry.of in spec.variables:
            return self.above(entry.joint, [entry.of])
        if entry.role in SAMPLES:
            return self.above(entry.joint, spec.factors[entry.of].of)
        factor = spec.factors[entry.of]
        return {factor} | self.above(entry.joint, factor.given)

    def needs_of_side(self, name: str, role: str) -> set[Factor]:
        """The factors that a critic's samples are made of."""
        seen, (_, densities) = scope(self.spec, name), compared(self.spec, name)
        if role == "critic":
            return self.above(self.first_joints[name], seen)
        drawn = {v for d in densities for v in d.of}
        found = self.above(self.first_joints[name], [v for v in seen if v not in drawn])
        for density in densities:
            found |= {self.spec.factors[str(density)]} if density.given else self.above(density.head, density.of)
        return found

    def above(self, joint: str, variables: Iterable[str]) -> set[Factor]:
        """The factors that a draw of the variables needs under a joint."""
        return ancestors(self.spec, joint, list(variables))

    def tensor(self, entry: Any, draws: Draws, *, apart: bool = False) -> Tensor:
        """The value of one input; ``apart`` cuts every sample from the network that drew it."""
        match entry.role:
            case "critic" | "critic_reference":
                return self.judge(entry.of, entry.role, draws, apart=apart)
            case "scores":
                first, second = ([draws.value(entry.joint, v).pooled() for v in g] for g in self.system.groups(entry.of))
                rows = draws.rows(entry.joint)
                found: Tensor = self.system.scores[entry.of](
                    [v.take(slice(rows)) for v in first], [v.take(slice(rows)) for v in second]
                )
                return found
            case "value" | "sample" | "sample_reference":
                return self.sample(entry, draws, apart)
            case "log_prob":
                return draws.log_prob(self.spec.factors[entry.of], entry.joint)
        factor = self.spec.factors[entry.of]
        found = draws.parameters(factor, entry.joint, detached=apart)[entry.role]
        if entry.shape and entry.shape[0].split("_")[0] in ("B", "S") and not factor.given:
            found = found.expand(draws.rows(entry.joint), *found.shape)
        return found

    def judge(self, name: str, role: str, draws: Draws, *, apart: bool) -> Tensor:
        """The critic's logits on one side of its divergence."""
        joint = self.first_joints[name]
        side = draws.first(name, joint) if role == "critic" else draws.second(name, joint)
        return self.system.judge(name, detached(side) if apart else side, draws.mode)

    def sample(self, entry: Any, draws: Draws, apart: bool) -> Tensor:
        """Draws of a variable (or of a factor's only one); an index where a categorical value is asked for."""
        variable = entry.of if entry.of in self.spec.variables else self.spec.factors[entry.of].of[0]
        value = draws.value(entry.joint, variable)
        if entry.role == "sample_reference":
            value = self.reference(variable, entry.joint, draws)
        if entry.role == "value":
            return value.index if value.index is not None else value.code.detach()
        return value.code.detach() if apart else value.code

    def reference(self, variable: str, joint: str, draws: Draws) -> Value:
        """A draw from a divergence's second argument; the parts of a product are shuffled apart."""
        for use in self.spec.estimators:
            densities = use.term.second
            for place, density in enumerate(densities):
                if len(densities) > 1 and variable in density.of and density.head == joint:
                    return draws.apart({variable: draws.value(joint, variable)}, use.key, place)[variable].pooled()
        return draws.value(joint, variable)

    def evaluate(self, draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """The emitted loss and its terms on one draw."""
        tensors = {i.name: as_declared(self.tensor(i, draws), i, self.spec) for i in self.inputs}
        if self.substitute is not None:
            keyed = {key_of(i): tensors[i.name] for i in self.inputs}
            loss, terms = self.substitute(keyed, **{p: getattr(self.loss, p) for p in self.spec.parameters})
            return loss, dict(terms)
        output = self.loss(**tensors)
        return output.loss, dict(output.terms)

    def critic_loss(self, name: str, draws: Draws) -> Tensor:
        """What the critic minimises, on samples that are cut from the model."""
        sides = (self.judge(name, role, draws, apart=True) for role in CRITIC_SIDES)
        return self.loss.critic_loss(name, *sides, **self.constraint_inputs(name, draws))

    def constraint_inputs(self, name: str, draws: Draws) -> dict[str, Tensor]:
        """What the critic's constraint is measured on, by name."""
        return {i.name: self.tensor(i, draws, apart=True) for i in self.critic_inputs.get(name, ())}

    def critic_step(self, name: str, draws: Draws, dual_step: float) -> float:
        """One step of one critic, and of its multiplier where it has one: up by what the rate exceeds its budget."""
        loss = finite(self.critic_loss(name, draws), f"the loss of the critic of {name}")
        self.players[name].step(loss)
        if self.critic_inputs.get(name):
            with torch.no_grad():
                rate = self.loss.constraint_value(name, **self.constraint_inputs(name, draws))
                self.loss.dual_step(name, float(rate), dual_step)
        return float(loss.detach())

    def model_step(self, draws: Draws) -> tuple[float, dict[str, float]]:
        """One step of the model, critics frozen."""
        loss, terms = self.evaluate(draws)
        numbers = {name: float(t) for name, t in terms.items()}
        self.players["model"].step(finite(loss, "the loss", numbers))
        return float(loss.detach()), numbers


def finite(loss: Tensor, what: str, terms: Mapping[str, float] | None = None) -> Tensor:
    """The loss, if it is a number; else an error that names the terms that are not."""
    if bool(torch.isfinite(loss)):
        return loss
    guilty = [name for name, value in (terms or {}).items() if not torch.isfinite(torch.tensor(value))]
    where = f" ({', '.join(guilty)})" if guilty else ""
    raise TrainingError(f"{what} is {float(loss.detach())}{where}\n  write: --set lr=3e-4, or a smaller weight on that term")
