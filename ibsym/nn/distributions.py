"""z ~ q(z|x): a family and its parameters as a distribution; draws, with and without gradient, and their relaxations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, assert_never, cast

import numpy as np
import sympy
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as td

from ibsym.errors import EmissionError
from ibsym.families.facts import Constraint, FamilyUse
from ibsym.nn import laws
from ibsym.nn.quantised import Quantised
from ibsym.nn.samples import Value

# relaxed: as the model learns, with the spec's relaxations; exact: as the joint says; typical: no noise where there is a centre.
Mode = Literal["relaxed", "exact", "typical"]

UNEVALUATED = frozenset({"von-mises-fisher", "uniform-sphere", "vector-quantised"})  # log-densities that are not needed here


class Spherical:
    """von Mises-Fisher on the unit sphere of R^n (Wood 1994; Figurnov et al. 2018); no concentration means uniform."""

    has_rsample = True

    def __init__(self, mean: Tensor, concentration: Tensor | None = None):
        self.mean, self.concentration = mean, concentration

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draws without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draws through which gradients flow to the parameters."""
        shape = (*sample_shape, *self.mean.shape)
        noise = torch.randn(shape, dtype=self.mean.dtype, device=self.mean.device)
        if self.concentration is None:
            return F.normalize(noise, dim=-1)
        mean = self.mean.expand(shape)
        tangent = F.normalize(noise - (noise * mean).sum(-1, keepdim=True) * mean, dim=-1)
        along = self._cosine(shape[:-1]).unsqueeze(-1)
        return along * mean + (1 - along**2).clamp_min(1e-12).sqrt() * tangent

    def _cosine(self, shape: tuple[int, ...]) -> Tensor:
        """<z, mean>, by Wood's rejection, with the gradient of its distribution function: dw/dk = -(dF/dk) / f."""
        assert self.concentration is not None
        kappa, n = self.concentration.expand(shape), self.mean.shape[-1]
        with torch.no_grad():
            w = self._accepted(kappa, n)
            slope = cosine_slope(w, kappa, n).to(w.dtype) if self.concentration.requires_grad else torch.zeros_like(w)
        return w + slope * (kappa - kappa.detach())

    @staticmethod
    def _accepted(kappa: Tensor, n: int) -> Tensor:
        b = (n - 1) / (2 * kappa + (4 * kappa**2 + (n - 1) ** 2).sqrt())
        x0 = (1 - b) / (1 + b)
        c = kappa * x0 + (n - 1) * torch.log1p(-(x0**2))
        half = kappa.new_tensor((n - 1) / 2)
        beta, found, open_places = (
            td.Beta(half, half, validate_args=False),
            x0.clone(),
            torch.ones_like(kappa, dtype=torch.bool),
        )
        for _ in range(100):
            if not open_places.any():
                break
            tried = beta.sample(kappa.shape)
            w = (1 - (1 + b) * tried) / (1 - (1 - b) * tried)
            level = kappa * w + (n - 1) * torch.log1p(-x0 * w) - c
            accepted = open_places & (level >= torch.rand_like(kappa).log())
            found, open_places = torch.where(accepted, w, found), open_places & ~accepted
        return found.clamp(-1 + 1e-7, 1 - 1e-7)


def cosine_slope(w: Tensor, kappa: Tensor, n: int) -> Tensor:
    """-(dF/dk) / f at w, for the density f(w) ~ exp(k w) (1 - w^2)^((n-3)/2) on [-1, 1], by quadrature over the angle."""
    nodes, weights = (torch.from_numpy(x).to(w.device) for x in np.polynomial.legendre.leggauss(96))
    w, kappa = w.double().unsqueeze(-1), kappa.double().unsqueeze(-1)

    def integral(start: Tensor, shift: Tensor | float) -> Tensor:
        angle = start + (math.pi - start) * (nodes + 1) / 2
        density = (kappa * (angle.cos() - 1)).exp() * angle.sin() ** (n - 2)
        return ((angle.cos() - shift) * density * weights).sum(-1, keepdim=True) * (math.pi - start) / 2

    zero = torch.zeros_like(w)
    mass = integral(zero, -1.0) - integral(zero, 0.0)
    mean = integral(zero, 0.0) / mass
    here = (kappa * (w - 1)).exp() * (1 - w**2) ** ((n - 3) / 2)
    # From w's angle to pi the cosine runs from w down to -1: the integral is that of the distribution function.
    return (-integral(w.acos(), mean) / here).squeeze(-1)


EDGES = {"unit": (1e-20, 1 - 1e-7), "simplex": (1e-20, 1.0), "positive": (1e-20, 1e20)}
"""Between which numbers draws of a space stay."""

Law = td.Distribution | Spherical | Quantised
Relaxation = Literal["mean", "concrete", "straight-through"]


@cache
def function_of(expression: sympy.Expr) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """A formula of a family's parameters as a function of tensors, and the names that it takes, in order."""
    names = tuple(sorted(s.name for s in expression.free_symbols))
    torches = {"exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt}
    return names, sympy.lambdify([sympy.Symbol(n) for n in names], _plain(expression), modules=[torches])


def _plain(expression: sympy.Expr) -> sympy.Expr:
    """The formula in symbols that are known by their names alone."""
    return expression.xreplace({s: sympy.Symbol(s.name) for s in expression.free_symbols})


class LawOf:
    """The distribution of one factor as a function of its parameters; what its family alone decides is decided once."""

    def __init__(self, family: FamilyUse, kind: str):
        self.family, self.name, self.kind, self.made = family, family.name, kind, None
        self.ranks = {r.name: r.rank for r in family.roles if not r.shared}
        self.temperature = number(family, "temperature") if self.name == "relaxed-categorical" else 0.0
        if family.facts.draws is None:
            return
        declared = (n for n, o in family.facts.options.items() if not o.spaces or kind in o.spaces)
        self.numbers = {o: number(family, o) for o in declared if isinstance(family.option(o), int | float)}
        known = {*self.ranks, *self.numbers}
        functions = {k: function_of(e) for k, e in family.facts.draws.arguments.items()}
        self.functions = {k: found for k, found in functions.items() if {*found[0]} <= known}
        name = family.facts.draws.distribution
        self.made = getattr(td, name, None) or getattr(laws, name)

    def __call__(self, event: tuple[int, ...], given: Mapping[str, Tensor], lead: tuple[int, ...], like: Tensor) -> Law:
        """The law with batch axes ``lead``; ``like`` has the type and the device of what is drawn."""
        n, shape = len(event), (*lead, *event)
        p = {
            role: t.expand(*lead, *t.shape[t.dim() - self.ranks[role](n) :]) for role, t in given.items() if role in self.ranks
        }

        def constant(value: float) -> Tensor:
            return like.new_full(shape, value)

        def independent(inner: td.Distribution) -> td.Distribution:
            return td.Independent(inner, n, validate_args=False)

        if self.made is not None:
            known = p | {name: constant(value) for name, value in self.numbers.items()}
            arguments = {k: f(*[known[name] for name in names]) for k, (names, f) in self.functions.items()}
            arguments = {k: v if isinstance(v, Tensor) else constant(float(v)) for k, v in arguments.items()}
            made = self.made(**arguments, validate_args=False)
            return td.Independent(made, n - len(made.event_shape), validate_args=False)
        match self.name:
            case "vector-quantised":
                return Quantised(p["code"], given["codebook"], n - 1)
            case "full-normal":
                return td.MultivariateNormal(p["mean"], scale_tril=p["cholesky"], validate_args=False)
            case "categorical" if self.family.headed:  # of draws, for which every class is needed
                logits = F.linear(p["hidden"], given["weight"], given["bias"])
                return td.Independent(td.OneHotCategorical(logits=logits, validate_args=False), n - 1, validate_args=False)
            case "categorical":
                return td.Independent(td.OneHotCategorical(logits=p["logits"], validate_args=False), n - 1, validate_args=False)
            case "relaxed-categorical":
                return td.RelaxedOneHotCategorical(like.new_tensor(self.temperature), logits=p["logits"], validate_args=False)
            case "normal-mixture":
                parts = independent(td.Normal(p["mean"], (0.5 * p["logvar"]).exp(), validate_args=False))
                return td.MixtureSameFamily(td.Categorical(logits=p["logits"], validate_args=False), parts, validate_args=False)
            case "von-mises-fisher":
                return Spherical(p["mean"], p["concentration"])
            case "uniform-sphere":
                return Spherical(constant(0))
            case "uniform":
                match self.kind:
                    case "binary":
                        return independent(td.Bernoulli(logits=constant(0), validate_args=False))
                    case "categorical":
                        symbol = td.OneHotCategorical(logits=constant(0), validate_args=False)
                        return td.Independent(symbol, n - 1, validate_args=False)
                    case "simplex":
                        return td.Dirichlet(constant(1), validate_args=False)
                return independent(td.Uniform(constant(0), constant(1), validate_args=False))
            case _:
                raise EmissionError(
                    f"nothing here draws from a {self.name} factor\n  write: another family, or a training loop of your own"
                )


def number(family: FamilyUse, option: str) -> float:
    """An option that is a number."""
    value = family.option(option)
    assert isinstance(value, (int, float))
    return float(value)


def draw(family: FamilyUse, kind: str, event: int, source: Law, mode: Mode, copies: int = 1) -> Value:
    """One draw a row, or ``copies`` of them along a leading axis."""
    shape = torch.Size((copies,)) if copies > 1 else torch.Size()
    if mode == "typical":
        return as_value(typical(family, kind, source), kind, event)
    relax = family.option("relax") if mode == "relaxed" else None
    if relax in (None, "none"):
        code = source.rsample(shape) if source.has_rsample else source.sample(shape)
        if source.has_rsample and kind in EDGES:  # single precision reaches the edges, where a density may be none
            code = code.clamp(*EDGES[kind])
        return as_value(code, kind, event)
    base = source.base_dist if isinstance(source, td.Independent) else source
    logits, temperature = base.logits.expand(*shape, *base.logits.shape), number(family, "temperature")  # type: ignore[union-attr]
    soft = logits.softmax(-1) if kind == "categorical" else logits.sigmoid()
    how = cast(Relaxation, relax)
    match how:
        case "mean":
            return as_value(soft, kind, event)
        case "concrete":
            warm = logits.new_tensor(temperature)
            relaxed: td.Distribution = td.RelaxedBernoulli(warm, logits=logits, validate_args=False)
            if kind == "categorical":
                relaxed = td.RelaxedOneHotCategorical(warm, logits=logits, validate_args=False)
            return as_value(relaxed.rsample(), kind, event)
        case "straight-through":
            return as_value(source.sample(shape) + soft - soft.detach(), kind, event)
        case _:
            assert_never(how)


def typical(family: FamilyUse, kind: str, source: Law) -> Tensor:
    """The centre of a law: a mean, the likelier bit, the likeliest class; a draw where there is none."""
    if isinstance(source, Quantised):
        return source.mean
    if isinstance(source, Spherical):
        return source.mean if source.concentration is not None else source.sample()
    if kind == "categorical":
        return F.one_hot(source.mean.argmax(-1), source.mean.shape[-1]).to(source.mean.dtype)
    if kind == "binary":
        return (source.mean > 0.5).to(source.mean.dtype)
    if kind == "count":
        return source.mean.round()
    if family.name == "relaxed-categorical":
        assert isinstance(source, td.RelaxedOneHotCategorical)
        return source.logits.softmax(-1)
    return source.mean


def as_value(code: Tensor, kind: str, event: int) -> Value:
    """A code with the class that it stands for."""
    return Value(code, event, code.detach().argmax(-1) if kind == "categorical" else None)


def positive(raw: Tensor) -> Tensor:
    """softplus, away from zero."""
    return F.softplus(raw) + 1e-4


def shaped(constraint: Constraint, raw: Tensor) -> Tensor:
    """What a network puts out, within a parameter's domain."""
    match constraint:
        case Constraint.REAL:
            return raw
        case Constraint.LOGARITHM:
            return 8 * torch.tanh(raw / 8)
        case Constraint.POSITIVE:
            return positive(raw)
        case Constraint.TRIANGULAR:
            size = raw.shape[-1]
            return raw.tril(-1) / math.sqrt(size) + torch.diag_embed(positive(raw.diagonal(dim1=-2, dim2=-1)))
        case Constraint.DIRECTION:
            return F.normalize(raw, dim=-1)
    assert_never(constraint)
