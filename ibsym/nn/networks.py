"""A small default network for each factor, each critic and each table of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ibsym.families.facts import Axes, Constraint, Role
from ibsym.nn.distributions import positive, shaped
from ibsym.nn.samples import Value, beside
from ibsym.nn.sizes import seen, shape_of, size_of
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec

NOISE = 16
EMBEDDING = 64


def mlp(inputs: int, outputs: int, hidden: int, *, slope: float = 0.0) -> nn.Sequential:
    """Two hidden layers of rectified (or leaky) units."""

    def unit() -> nn.Module:
        return nn.LeakyReLU(slope) if slope else nn.ReLU()

    return nn.Sequential(nn.Linear(inputs, hidden), unit(), nn.Linear(hidden, hidden), unit(), nn.Linear(hidden, outputs))


def width(spec: Spec, variables: Sequence[str], sizes: Mapping[str, int]) -> int:
    """How many numbers the variables' codes have together."""
    return sum(math.prod(seen(spec, v, sizes)) for v in variables)


class FactorNetwork(nn.Module):
    """The parameters of a factor's family at its conditioners' values; free parameters where there is no conditioner."""

    def __init__(self, spec: Spec, factor: Factor, sizes: Mapping[str, int], hidden: int):
        super().__init__()
        assert factor.family is not None
        self.family, (self.variable,) = factor.family, factor.of
        self.kind = spec.variables[self.variable].kind
        self.event = shape_of(spec, self.variable, sizes)
        length = size_of(self.family.length, sizes) if self.family.length is not None else 0
        shapes = {role: role.shape(self.event, length) for role in self.family.roles}
        self.shapes = {role: shape for role, shape in shapes.items() if not role.shared}
        total = sum(math.prod(s) for s in self.shapes.values())
        self.shared = nn.ParameterDict({role.name: self.start(role, shape) for role, shape in shapes.items() if role.shared})
        if factor.given:
            self.body: nn.Module | None = mlp(width(spec, factor.given, sizes), total, hidden)
        else:
            self.body = None
            self.free = nn.Parameter(torch.cat([self.start(role, shape).flatten() for role, shape in self.shapes.items()]))

    def start(self, role: Role, shape: tuple[int, ...]) -> Tensor:
        """Means of a mixture start apart, and so do vectors, on the scale of what they meet; everything else near zero."""
        if role.axes is Axes.VECTOR_OF_CLASS:
            return torch.randn(shape) / (math.sqrt(shape[-1]) if self.family.headed else 1.0)
        apart = role.axes is Axes.COMPONENT_EVENTS and role.constraint is Constraint.REAL
        return (1.0 if apart else 0.01) * torch.randn(shape)

    def forward(self, given: list[Value]) -> dict[str, Tensor]:
        """Each parameter by its role, at the conditioners' values."""
        raw = self.free if self.body is None else self.body(beside(given))
        parts = raw.split([math.prod(s) for s in self.shapes.values()], -1)
        lead = raw.shape[:-1]
        return {
            role.name: shaped(role.constraint, part.reshape(*lead, *shape))
            for (role, shape), part in zip(self.shapes.items(), parts, strict=True)
        } | dict(self.shared.items())

    def axes(self, role: str) -> int:
        """How many axes one value of the parameter has."""
        return self.family.role(role).rank(len(self.event))


class Generator(nn.Module):
    """A factor known by its samples: its variables as a function of the conditioners, and of noise where nothing else is random."""

    def __init__(self, spec: Spec, factor: Factor, sizes: Mapping[str, int], hidden: int, *, noise: bool):
        super().__init__()
        self.noise = NOISE if noise else 0
        self.shapes = {v: shape_of(spec, v, sizes) for v in factor.of}
        self.kinds = {v: spec.variables[v].kind for v in factor.of}
        self.body = mlp(width(spec, factor.given, sizes) + self.noise, width(spec, factor.of, sizes), hidden)

    def forward(self, given: list[Value], rows: int, dtype: torch.dtype) -> dict[str, Value]:
        """A draw of each variable."""
        seen = [v.flat for v in given] and [beside(given)]
        if self.noise:
            lead = seen[0].shape[:-1] if seen else (rows,)
            seen.append(torch.randn(*lead, self.noise, dtype=dtype, device=next(self.parameters()).device))
        raw = self.body(torch.cat(seen, -1)).to(dtype)
        parts = raw.split([math.prod(s) for s in self.shapes.values()], -1)
        return {v: on_space(part, shape, self.kinds[v]) for (v, shape), part in zip(self.shapes.items(), parts, strict=True)}


def on_space(raw: Tensor, shape: tuple[int, ...], kind: str) -> Value:
    """A network's output as a point of a space; discrete ones are relaxed."""
    match kind:
        case "unit" | "binary":
            raw = raw.sigmoid()
        case "positive" | "count":  # relaxed counts are any number above 0
            raw = positive(raw)
        case "sphere":
            raw = F.normalize(raw, dim=-1)
        case "categorical" | "simplex":
            raw = raw.softmax(-1)
    code = raw.reshape(*raw.shape[:-1], *shape)
    return Value(code, len(shape), code.detach().argmax(-1) if kind == "categorical" else None)


class Critic(nn.Module):
    """A logit on the variables of a divergence, one a row."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.body = mlp(inputs, 1, hidden, slope=0.2)

    def forward(self, values: list[Value]) -> Tensor:
        """One logit a row."""
        return self.body(beside(values)).squeeze(-1)


class LinearHead(nn.Module):
    """The parameters of a categorical factor with ``head = "linear"``: what ``body`` makes of the conditioners, and a row for each class.

    >>> found = LinearHead(nn.Linear(3, 5), 5, 7)(torch.zeros(2, 3))
    >>> {role: tuple(tensor.shape) for role, tensor in found.items()}
    {'hidden': (2, 5), 'weight': (7, 5), 'bias': (7,)}
    """

    def __init__(self, body: nn.Module, features: int, classes: int):
        super().__init__()
        self.body, self.head = body, nn.Linear(features, classes)

    def forward(self, *given: Tensor) -> dict[str, Tensor]:
        """Each parameter by its role."""
        return {"hidden": self.body(*given), "weight": self.head.weight, "bias": self.head.bias}


class Embedding(nn.Module):
    """What inner products are taken of: the code itself, or, where codes are not of one width, a function of it."""

    def __init__(self, width: int, outputs: int | None, hidden: int):
        super().__init__()
        self.body: nn.Module = nn.Identity() if outputs is None else mlp(width, outputs, hidden)

    def forward(self, code: Tensor) -> Tensor:
        """(B, E)."""
        return self.body(code)


class Temperature(nn.Module):
    """A number above 0 that is learned by its logarithm."""

    def __init__(self, start: float):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self) -> Tensor:
        """The number."""
        return self.log_temperature.exp()


class Scores(nn.Module):
    """<g(a_i), h(b_j)> / sqrt(E): a separable critic on all pairs of a batch."""

    def __init__(self, first: int, second: int, hidden: int):
        super().__init__()
        self.first, self.second = mlp(first, EMBEDDING, hidden), mlp(second, EMBEDDING, hidden)

    def forward(self, first: list[Value], second: list[Value]) -> Tensor:
        """(B, B): every first with every second."""
        return self.first(beside(first)) @ self.second(beside(second)).T / math.sqrt(EMBEDDING)
