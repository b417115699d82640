"""z ~ q(z|x): a family and its parameters as a distribution; draws, with and without gradient, and their relaxations."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from functools import cache
from typing import Any, Literal, assert_never, cast

import sympy
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as td

from ibsym.errors import EmissionError
from ibsym.families.facts import Constraint, Draws, FamilyUse
from ibsym.nn import laws
from ibsym.nn.quantised import Quantised
from ibsym.nn.samples import Value

# relaxed: as the model learns, with the spec's relaxations; exact: as the joint says; typical: no noise where there is a centre.
Mode = Literal["relaxed", "exact", "typical"]

EDGES = {"unit": (1e-20, 1 - 1e-7), "simplex": (1e-20, 1.0), "positive": (1e-20, 1e20)}
"""Between which numbers draws of a space stay."""

Law = td.Distribution | Quantised
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


def class_of(draws: Draws) -> type[td.Distribution]:
    """The distribution by its name: of torch, or one that torch lacks."""
    found: type[td.Distribution] = getattr(laws, draws.distribution, None) or getattr(td, draws.distribution)
    return found


def scored(family: FamilyUse) -> bool:
    """Whether the law of a factor tells log-densities at its draws."""
    draws = family.facts.draws
    return not family.facts.quantised and (draws is None or class_of(draws).log_prob is not td.Distribution.log_prob)


def together(law: td.Distribution, axes: int) -> td.Distribution:
    """The law of so many axes more."""
    return td.Independent(law, axes, validate_args=False)


class Made:
    """A distribution as a function of parameters and options, by its family's formulas; an argument of what is not known is left out."""

    def __init__(self, draws: Draws, known: Container[str]):
        self.of = class_of(draws)
        self.parts = {k: Made(d, known) for k, d in draws.arguments.items() if isinstance(d, Draws)}
        functions = {k: function_of(e) for k, e in draws.arguments.items() if not isinstance(e, Draws)}
        self.functions = {k: found for k, found in functions.items() if all(name in known for name in found[0])}

    def __call__(self, known: Mapping[str, Tensor], constant: Callable[[float], Tensor], lead: int) -> td.Distribution:
        """With ``lead`` axes in front; what stands behind a part's own axis is one value of it."""
        arguments: dict[str, Any] = {k: f(*[known[name] for name in names]) for k, (names, f) in self.functions.items()}
        arguments = {k: v if isinstance(v, Tensor) else constant(float(v)) for k, v in arguments.items()}
        for name, part in self.parts.items():
            inner = part(known, constant, lead)
            axes = len(inner.batch_shape) - lead - 1
            arguments[name] = together(inner, axes) if axes > 0 else inner
        return self.of(**arguments, validate_args=False)


class LawOf:
    """The distribution of one factor as a function of its parameters; what its family alone decides is decided once."""

    def __init__(self, family: FamilyUse, kind: str):
        self.family, self.made = family, None
        self.ranks = {r.name: r.rank for r in family.roles if not r.shared}
        draws = family.facts.drawn_on(kind)
        if draws is None:
            return
        declared = (n for n, o in family.facts.options.items() if not o.spaces or kind in o.spaces)
        self.numbers = {o: number(family, o) for o in declared if isinstance(family.option(o), int | float)}
        learned = {*self.ranks, *([] if family.product is None else [family.product])}
        self.made, self.whole, self.free = Made(draws, {*learned, *self.numbers}), draws.whole, not learned

    def __call__(self, event: tuple[int, ...], given: Mapping[str, Tensor], lead: tuple[int, ...], like: Tensor) -> Law:
        """The law with batch axes ``lead``; ``like`` has the type and the device of what is drawn."""
        p = {
            role: t.expand(*lead, *t.shape[t.dim() - self.ranks[role](len(event)) :])
            for role, t in given.items()
            if role in self.ranks
        }
        if self.family.facts.quantised:
            return Quantised(p["code"], given["codebook"], len(event) - 1)
        if self.made is None:
            raise EmissionError(
                f"nothing here draws from a {self.family.name} factor\n  write: another family, or a training loop of your own"
            )
        if self.family.product is not None:  # of draws, for which every class is needed
            p[self.family.product] = F.linear(p["hidden"], given["weight"], given["bias"])

        def constant(value: float) -> Tensor:
            return like.new_full((*lead, *event) if self.free else (), value)

        made = self.made(p | {name: constant(value) for name, value in self.numbers.items()}, constant, len(lead))
        axes = len(event) - len(made.event_shape)
        return made if self.whole and axes == 0 else together(made, axes)


def number(family: FamilyUse, option: str) -> float:
    """An option that is a number."""
    value = family.option(option)
    assert isinstance(value, (int, float))
    return float(value)


def draw(family: FamilyUse, kind: str, event: int, source: Law, mode: Mode, copies: int = 1) -> Value:
    """One draw a row, or ``copies`` of them along a leading axis."""
    shape = torch.Size((copies,)) if copies > 1 else torch.Size()
    if mode == "typical":
        return as_value(typical(kind, source), kind, event)
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


def typical(kind: str, source: Law) -> Tensor:
    """The centre of a law: a mean, the likelier bit, the likeliest class; a draw where there is none."""
    if isinstance(source, Quantised):
        return source.mean
    try:
        centre: Tensor = source.mean
    except NotImplementedError:
        return source.sample()
    if kind == "categorical":
        return F.one_hot(centre.argmax(-1), centre.shape[-1]).to(centre.dtype)
    if kind == "binary":
        return (centre > 0.5).to(centre.dtype)
    return centre.round() if kind == "count" else centre


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
