"""log p(v) per element: a factor's distribution at a world, for the families that torch.distributions has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributions

from ibsym.diagnosis.worlds import World, axes, is_batch, length

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject

Distribution = distributions.Distribution


class Parameters:
    """A factor's parameters among a world's inputs, by role."""

    def __init__(self, subject: Subject, factor: str, joint: str | None = None):
        self.subject, self.factor = subject, factor
        self.entries = {i.role: i for i in reversed(subject.inputs) if i.of == factor and (joint is None or i.joint == joint)}
        declared = subject.spec.factors.get(factor)
        self.family = declared.family.name if declared is not None and declared.family is not None else ""
        self.of = tuple(declared.of) if declared is not None else ()
        self.space = subject.spec.variables[self.of[0]] if self.of else None
        self.use = declared.family if declared is not None else None

    def get(self, world: World, role: str) -> Tensor:
        """The tensor of a role."""
        return world.inputs[self.entries[role].name]

    def has(self, *roles: str) -> bool:
        """Whether all of these roles are inputs."""
        return all(r in self.entries for r in roles)

    def option(self, name: str, default: float) -> float:
        """A number among the family's options."""
        found = self.use.option(name) if self.use is not None else None
        return float(found) if isinstance(found, int | float) else default

    def law(self, world: World, **changed: Tensor) -> Distribution | None:
        """The distribution; ``changed`` replaces parameters by role."""

        def at(role: str) -> Tensor:
            return changed[role] if role in changed else self.get(world, role)

        match self.family:
            case "diagonal-normal" if self.has("mean", "logvar"):
                return distributions.Normal(at("mean"), (at("logvar") / 2).exp(), validate_args=False)
            case "isotropic-normal" if self.has("mean"):
                return distributions.Normal(at("mean"), self.option("scale", 1.0), validate_args=False)
            case "standard-normal":
                zero = torch.zeros((), dtype=world.dtype)
                return distributions.Normal(zero, zero + 1, validate_args=False)
            case "laplace" if self.has("mean"):
                scale = at("scale") if self.has("scale") else torch.tensor(self.option("scale", 1.0), dtype=world.dtype)
                return distributions.Laplace(at("mean"), scale, validate_args=False)
            case "bernoulli" if self.has("logits"):
                return distributions.Bernoulli(logits=at("logits"), validate_args=False)
            case "continuous-bernoulli" if self.has("logits"):
                return distributions.ContinuousBernoulli(logits=at("logits"), validate_args=False)
            case "categorical" if self.has("logits"):
                return distributions.Categorical(logits=at("logits"), validate_args=False)
            case "uniform" if self.space is not None:
                return self._uniform(world)
        return None

    def _uniform(self, world: World) -> Distribution | None:
        zero = torch.zeros((), dtype=world.dtype)
        assert self.space is not None
        match self.space.kind:
            case "categorical":
                classes = length(str(self.space.dims[0]), world.sizes)
                return distributions.Categorical(logits=zero.expand(classes), validate_args=False)
            case "binary":
                return distributions.Bernoulli(logits=zero, validate_args=False)
        return None


def per_row(subject: Subject, value: Tensor, lead: int) -> Tensor:
    """Elements of an event summed; ``lead`` axes stay."""
    return value.flatten(lead).sum(-1) if value.dim() > lead else value


def leading(entry: Any, world: World) -> int:
    """How many axes of an input come before the event's: Monte-Carlo, class and batch axes."""
    own = axes(entry.shape, world.layout)
    places = [place for place, a in enumerate(own) if is_batch(a)]
    return places[-1] + 1 if places else 0
