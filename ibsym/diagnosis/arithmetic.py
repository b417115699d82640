"""``exp(z_logvar/2)``: arithmetic in a spec's inputs, its parameters, sizes and noise, read as syntax and never executed as Python."""

from __future__ import annotations

import ast
import functools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributions

from ibsym.diagnosis.worlds import DATA_SIZE, World, axes, length
from ibsym.errors import SpecError

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject

F = torch.nn.functional


def _one_hot(value: Tensor, world: World, classes: int) -> Tensor:
    return F.one_hot(value, classes).to(world.dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": lambda t: torch.exp(t) if isinstance(t, Tensor) else math.exp(t),
    "log": lambda t: torch.log(t) if isinstance(t, Tensor) else math.log(t),
    "sqrt": lambda t: torch.sqrt(t) if isinstance(t, Tensor) else math.sqrt(t),
    "abs": abs,
    "square": lambda t: t * t,
    "expm1": torch.expm1,
    "log1p": torch.log1p,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "logit": torch.logit,
    "logsigmoid": F.logsigmoid,
    "softmax": lambda t: torch.softmax(t, -1),
    "log_softmax": lambda t: torch.log_softmax(t, -1),
    "detach": lambda t: t.detach(),
    "flatten": lambda t: t.flatten(1),
    "transpose": lambda t: t.transpose(-1, -2),
    "mean": lambda t: t.mean(),
    "sum": lambda t: t.sum(),
    "long": lambda t: t.long(),
    "float": lambda t: t.to(torch.float64),
    "stack": lambda *t: torch.stack(t, 1),
    "cat": lambda *t: torch.cat(t, -1),
    "list": lambda *t: list(t),
    "diag_embed": torch.diag_embed,
    "ones_like": torch.ones_like,
    "zeros_like": torch.zeros_like,
    "unsqueeze": lambda t: t.unsqueeze(-1),
}
LAWS = (
    *("Normal", "Bernoulli", "Categorical", "OneHotCategorical", "Laplace", "Independent", "MultivariateNormal", "LogNormal"),
    *("Beta", "Gamma", "Dirichlet", "Poisson", "StudentT", "Uniform", "ContinuousBernoulli", "NegativeBinomial"),
)
CONST = "const"
_OF = re.compile(r"\s*(\w+)\s+of\s+(\w+\([^()]*\))\s*")
_AXES = re.compile(r"\s*([A-Za-z_]\w*)\s*\(\s*([A-Z0-9]\w*(?:\s*,\s*[A-Z0-9]\w*)*)\s*,?\s*\)\s*")
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}


@dataclass(frozen=True)
class Formula:
    """What one argument of the user's function is made of."""

    argument: str
    text: str
    tree: ast.expr

    @property
    def constant(self) -> bool:
        """The argument keeps its own default."""
        return isinstance(self.tree, ast.Name) and self.tree.id == CONST

    @functools.lru_cache(maxsize=4096)  # noqa: B019  as small as the formulas that are alive
    def names(self) -> frozenset[str]:
        """Names that occur in it, functions left out."""
        called = {id(n.func) for n in ast.walk(self.tree) if isinstance(n, ast.Call)}
        inputs = {n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name) and id(n) not in called}
        laid = {n.func.id for n in ast.walk(self.tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        return frozenset(inputs | laid - set(FUNCTIONS) - set(LAWS) - {"one_hot", "namespace", "dict"})

    def asks_for_draws(self) -> bool:
        """Whether an input is asked for with its Monte-Carlo axis, as in ``x_logits(S,B,D)``."""
        return any(
            isinstance(n, ast.Call) and any(isinstance(a, ast.Name) and a.id == "S" for a in n.args)
            for n in ast.walk(self.tree)
        )

    def splits(self, subject: Subject) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Axes asked for in place of one of the spec's: ``x(B,C,H,W)`` for (B, D)."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                entry = next((i for i in subject.inputs if i.name == node.func.id), None)
                asked = tuple(_axis(a) for a in node.args)
                if entry is None or None in asked:
                    continue
                own = [str(a) for a in entry.shape]
                new = tuple(str(a) for a in asked if a not in own)
                lost = [a for a in own if a not in asked and a != "S"]
                if len(lost) == 1 and new:
                    yield lost[0], new


def _axis(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=int(number)):
            return str(number)
    return None


def read(argument: str, text: str, subject: Subject) -> Formula:
    """The formula of an argument, every name in it known."""
    key = f"inputs[{argument!r}]"
    said = _OF.fullmatch(text)
    if said and said[1] in ("draw", "draws", "sample", "samples"):
        text = _drawn(subject, said[2])
    elif said:
        text = _named(subject, said[1], said[2], key)
    elif re.fullmatch(r"\s*(size of the data|dataset size)\s*", text):
        text = "N"
    spaced = _AXES.fullmatch(text)
    if spaced and spaced[1] in {i.name for i in subject.inputs}:
        text = f"{spaced[1]}({spaced[2]})"
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SpecError(
            f"{text!r} is not arithmetic", key=key, remedy='"exp(z_logvar/2)", or one of ' + known(subject)
        ) from None
    formula = Formula(argument, text, tree)
    names = {i.name for i in subject.inputs} | set(subject.spec.parameters) | {"noise", CONST, "N", "pi"}
    names |= {str(a) for i in subject.inputs for a in i.shape}
    splits = {axis for _, new in formula.splits(subject) for axis in new}
    for name in sorted(formula.names() - names - splits):
        raise SpecError(f"unknown input {name!r} of {subject.spec.name}", key=key, remedy="one of " + known(subject))
    return formula


def _drawn(subject: Subject, factor: str) -> str:
    """Draws of a factor: an input of that role, or mean and noise."""
    plain = factor.replace(" ", "")
    of = subject.spec.factors[plain].of if plain in subject.spec.factors else ()
    reference = "sample_reference" if plain.startswith("p(") and "|" not in plain else "sample"
    found = [i.name for i in subject.inputs if i.of in of and i.role == reference]
    roles = {i.role: i.name for i in subject.inputs if i.of == plain}
    if found:
        return found[0]
    return f"{roles['mean']} + exp({roles['logvar']}/2)*noise" if {"mean", "logvar"} <= set(roles) else "noise"


def _named(subject: Subject, role: str, factor: str, key: str) -> str:
    plain = factor.replace(" ", "")
    found = [i.name for i in subject.inputs if i.of == plain and role in (i.role, i.name)]
    found = found or [i.name for i in subject.inputs if i.of == plain and role.endswith(i.role)]
    if len(found) != 1:
        raise SpecError(f"{plain} has no {role!r} of its own here", key=key, remedy="one of " + known(subject))
    return found[0]


def known(subject: Subject) -> str:
    """The names that a formula may use."""
    return ", ".join([*(i.name for i in subject.inputs), *subject.spec.parameters, "noise", CONST])


class Evaluator:
    """A formula's value at a world."""

    def __init__(self, subject: Subject, world: World, formula: Formula):
        self.subject, self.world, self.formula = subject, world, formula
        self.shapes = [world.inputs[n].shape for n in formula.names() if n in world.inputs]

    def value(self) -> Any:
        """What the user's argument receives."""
        return self._value(self.formula.tree)

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value) if isinstance(value, int | float | str | bool) or value is None:
                return value
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _BINARY[type(op)](self._value(left), self._value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._value(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._value(operand)
            case ast.Tuple(elts=elements):
                return tuple(self._value(e) for e in elements)
            case ast.List(elts=elements):
                return [self._value(e) for e in elements]
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return {self._value(k): self._value(v) for k, v in zip(keys, values, strict=True) if k is not None}
            case ast.Attribute(value=inner, attr="T"):
                return self._value(inner).transpose(-1, -2)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=options):
                return self._call(name, arguments, {str(o.arg): self._value(o.value) for o in options})
        raise self._refuse(ast.unparse(node))

    def _refuse(self, text: str) -> SpecError:
        return SpecError(
            f"{text!r} is not understood",
            key=f"inputs[{self.formula.argument!r}]",
            remedy="arithmetic in " + known(self.subject) + " and in " + ", ".join(FUNCTIONS),
        )

    def _name(self, name: str) -> Any:
        world = self.world
        if name in world.inputs:
            value = world.inputs[name].clone()  # so that what the user's code does in place stays its own
            return self._split(name, value, set())[0] if world.layout.images else value
        if name in world.parameters:
            return world.parameters[name]
        if name in world.sizes:
            return world.sizes[name]
        match name:
            case "noise":
                shape = torch.broadcast_shapes(*self.shapes) if self.shapes else latent_shape(self.subject, world)
                return world.noise(tuple(shape))
            case "N":
                return DATA_SIZE
            case "pi":
                return math.pi
        raise self._refuse(name)

    def _call(self, name: str, arguments: list[ast.expr], options: dict[str, Any]) -> Any:
        if name in self.world.inputs:
            return self._laid_out(name, [_axis(a) for a in arguments])
        if name == "one_hot" and len(arguments) == 1 and isinstance(arguments[0], ast.Name):
            entry = next(i for i in self.subject.inputs if i.name == arguments[0].id)
            classes = length(str(self.subject.spec.variables[entry.of].dims[0]), self.world.sizes)
            return _one_hot(self._value(arguments[0]), self.world, classes)
        values = [self._value(a) for a in arguments]
        if name == "namespace" and not values:
            return SimpleNamespace(**options)
        if name == "dict" and not values:
            return options
        if name in LAWS:
            return getattr(distributions, name)(*values, **options, validate_args=False)
        if name in FUNCTIONS and not options:
            try:
                return FUNCTIONS[name](*values)
            except TypeError:
                pass
        raise self._refuse(f"{name}(...)")

    def _split(self, name: str, value: Tensor, asked: set[str | None]) -> tuple[Tensor, list[str]]:
        """An input with the axes that its layout splits split, but for those that are asked for whole; its axes then."""
        entry = next(i for i in self.subject.inputs if i.name == name)
        own = list(axes(entry.shape, self.world.layout))
        for axis, parts in dict(self.world.layout.splits).items():
            if axis in own and axis not in asked:
                place = own.index(axis)
                sizes = [length(p, self.world.sizes) for p in parts]
                value = value.reshape(*value.shape[:place], *sizes, *value.shape[place + 1 :])
                own[place : place + 1] = list(parts)
        return value, own

    def _laid_out(self, name: str, asked: list[str | None]) -> Tensor:
        """An input with its axes in another order, split or with further axes of size one."""
        value, own = self._split(name, self.world.inputs[name].clone(), set(asked))
        wanted = [a for a in asked if a is not None]
        left = list(enumerate(own))
        order: list[int | None] = []
        for axis in wanted:
            hit = next((k for k, (_, a) in enumerate(left) if a == axis), None)
            order.append(left.pop(hit)[0] if hit is not None else None)
        if left or any(k is None and a != "1" for k, a in zip(order, wanted, strict=True)):
            raise self._refuse(f"{name}({','.join(wanted)}), whose axes are {','.join(own)}")
        value = value.permute([k for k in order if k is not None])
        for place, source in enumerate(order):
            if source is None:
                value = value.unsqueeze(place)
        return value


def latent_shape(subject: Subject, world: World) -> tuple[int, ...]:
    """The shape of a draw of the first latent: of the mean of the first factor whose variable is not observed."""
    observed = {i.of for i in subject.inputs if i.role == "value"}
    for entry in subject.inputs:
        factor = subject.spec.factors.get(entry.of)
        if entry.role == "mean" and factor is not None and factor.of[0] not in observed:
            return tuple(world.inputs[entry.name].shape)
    for entry in subject.inputs:
        if entry.role in ("sample", "sample_reference"):
            return tuple(world.inputs[entry.name].shape)
    return (world.sizes.get("B", 1),)
