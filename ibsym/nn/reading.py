"""What a network returns, as the parameters of its factor's family: a tensor that is split, a tuple, a mapping, a distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sympy
import torch
from torch import Tensor
from torch import distributions as td

from ibsym.errors import NetworkError
from ibsym.families.facts import Axes, Constraint, Draws, FamilyUse, Role
from ibsym.nn.distributions import function_of, number
from ibsym.nn.sizes import Sizes
from ibsym.spec.graphs import Factor

Wrong = Callable[[str, str], NetworkError]


def shapes(value: object) -> str:
    """What something is, in a message: a tensor's shape, the shapes in a tuple or a mapping, a type."""
    match value:
        case Tensor():
            return str(tuple(value.shape))
        case Mapping():
            return "{" + ", ".join(f"{k}: {shapes(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return f"{len(value)} values: " + ", ".join(shapes(v) for v in value)
        case td.Distribution():
            return f"a {type(value).__name__}"
    return f"a {type(value).__name__}"


class Reading:
    """One factor's outputs; ``rows`` is the number of rows that the network was given, or None where it was given nothing."""

    def __init__(self, factor: Factor, sizes: Sizes):
        assert factor.family is not None
        self.factor, self.family, self.sizes = factor, factor.family, sizes
        (self.variable,) = factor.of
        self.kind = sizes.spec.variables[self.variable].kind
        self.roles = self.family.roles

    def error(self, what: str, remedy: str) -> NetworkError:
        """What is wrong with the factor's network."""
        return NetworkError(f"{self.factor}: {what}\n  write: {remedy}")

    @property
    def wanted(self) -> str:
        """The parameters, as a remedy names them."""
        return f"a network that returns {', '.join(r.name for r in self.roles)}: {self.sizes.told(self.variable)}"

    @property
    def components(self) -> str:
        """The dimension that counts a mixture's components, or is the length of vectors, if there is one."""
        return self.family.length or ""

    def parameters(self, out: object, rows: int | None) -> dict[str, Tensor]:
        """Each parameter by its role, in its own shape behind the rows; sizes that were not known are learned on the way."""
        parts = self.parts(out, rows)
        if rows is None:
            parts = {n: self.without_rows(n, t) for n, t in parts.items()}
        lead = () if rows is None else (rows,)
        for name, part in parts.items():
            if not self.family.role(name).shared and tuple(part.shape[: len(lead)]) != lead:
                raise self.error(
                    f"{name} has shape {shapes(part)}, and there are {rows} rows", f"{name} of shape ({rows}, ...)"
                )
        for role in self.roles:
            self.learn(role, tuple(parts[role.name].shape[0 if role.shared else len(lead) :]))
        return {role.name: self.shaped(role, parts[role.name], () if role.shared else lead) for role in self.roles}

    def without_rows(self, name: str, part: Tensor) -> Tensor:
        """A parameter of a factor without conditioners, which may have a row of its own."""
        rank = self.family.role(name).rank(len(self.sizes.spec.variables[self.variable].axes))
        return part[0] if part.dim() == rank + 1 and part.shape[0] == 1 else part

    def parts(self, out: object, rows: int | None) -> dict[str, Tensor]:
        """The output, one tensor for each role."""
        names = [r.name for r in self.roles]
        match out:
            case td.Distribution():
                return of_distribution(self.family, out, self.error)
            case Tensor() if len(names) == 1:
                found: dict[str, Any] = {names[0]: out}
            case Tensor():
                found = dict(zip(names, self.split(out, rows), strict=True))
            case Mapping():
                if set(out) != set(names):
                    raise self.error(
                        f"the network returns {shapes(out)}, and {self.family.name} has {', '.join(names)}", self.wanted
                    )
                found = dict(out)
            case tuple() if set(getattr(out, "_fields", ())) == set(names):  # a named tuple says itself what is what
                found = {n: getattr(out, n) for n in names}
            case list() | tuple():
                if len(out) != len(names):
                    few = f"{self.family.name} has {len(names)}: {', '.join(names)}"
                    raise self.error(f"the network returns {shapes(out)}, and {few}", self.wanted)
                found = dict(zip(names, out, strict=True))
            case _:
                raise self.error(f"the network returns {shapes(out)}", self.wanted)
        for name, part in found.items():
            if not isinstance(part, Tensor) or not part.is_floating_point():
                kind = str(part.dtype) if isinstance(part, Tensor) else shapes(part)
                raise self.error(f"{name} is {kind}", f"{name} as a tensor of floating point")
        return found

    def split(self, out: Tensor, rows: int | None) -> Sequence[Tensor]:
        """One tensor, split along its last axis into the parameters in their order."""
        if self.family.headed:
            told = self.sizes.told(self.variable)
            raise self.error(
                f"the network returns shape {shapes(out)}, and a linear head has {', '.join(r.name for r in self.roles)}: {told}",
                "ibsym.nn.LinearHead(network, features, classes), which returns all of them",
            )
        if not out.dim():
            raise self.error("the network returns one number", self.wanted)
        width, names = out.shape[-1], ", ".join(r.name for r in self.roles)
        event, dims = self.sizes.event(self.variable), self.sizes.spec.variables[self.variable].axes
        flat = out.dim() == (2 if rows is not None else 1)
        if all(r.axes is Axes.EVENT for r in self.roles):
            share, rest = divmod(width, len(self.roles))
            fits = not rest
            if flat and None not in event:
                fits = fits and share == math.prod(n for n in event if n is not None)
            elif not flat and len(event) > 1:
                fits = fits and event[-1] in (None, share)
            if fits:
                return out.split(share, -1)
        elif flat:
            count = self.sizes.size(self.components) or 0 if self.components else 0
            known = tuple(n for n in event if n is not None)
            for n in [known] if None not in event else [(k,) for k in range(1, width + 1)] if len(dims) == 1 else []:
                widths = [math.prod(r.shape(list(n), count)) for r in self.roles]
                if sum(widths) == width:
                    return out.split(widths, -1)
        told = self.sizes.told(self.variable)
        raise self.error(f"the network returns shape {shapes(out)}, which does not split into {names}: {told}", self.wanted)

    def learn(self, role: Role, axes: tuple[int, ...]) -> None:
        """The sizes that a parameter's axes tell, where they are open."""
        open_ = not self.sizes.whole(self.variable)
        counts = role.axes in (Axes.COMPONENTS, Axes.COMPONENT_EVENTS)
        if counts and axes and self.sizes.size(self.components) is None:
            self.sizes.learn(self.components, axes[0], str(self.factor))
        fits = True
        match role.axes:
            case Axes.EVENT if open_:
                fits = self.sizes.fit(self.variable, axes, str(self.factor))
            case Axes.COMPONENT_EVENTS if open_:
                fits = self.sizes.fit(self.variable, axes[1:], str(self.factor))
            case Axes.VECTORS:
                fits = self.vectors(axes)
            case Axes.VECTOR_OF_CLASS:
                fits = len(axes) == 2 and self.vectors((*self.sizes.event(self.variable)[:-1], axes[1]))
                if fits:
                    self.sizes.learn(self.sizes.spec.variables[self.variable].dims[0], axes[0], str(self.factor))
            case Axes.MATRIX if open_:
                fits = len(axes) == 2 and self.sizes.fit(self.variable, axes[:1], str(self.factor))
        if not fits:
            raise self.error(f"{role.name} has shape {axes} a row: {self.sizes.told(self.variable)}", self.wanted)

    def vectors(self, axes: Sequence[int | None]) -> bool:
        """Learns the axes of an array of symbols and the length of their vectors; axes that are not known tell nothing."""
        named = (*self.sizes.spec.variables[self.variable].event, self.components)
        if len(axes) != len(named):
            return False
        known = [(d, n) for d, n in zip(named, axes, strict=True) if n is not None]
        if any(self.sizes.size(d) not in (None, n) for d, n in known):
            return False
        for dimension, n in known:
            self.sizes.learn(dimension, n, str(self.factor))
        return True

    def shaped(self, role: Role, part: Tensor, lead: tuple[int, ...]) -> Tensor:
        """A parameter in its shape; numbers in another arrangement of axes are an image's, or one axis too many."""
        event = self.sizes.shape(self.variable)
        shape = (*lead, *role.shape(event, self.sizes.size(self.components) or 0 if self.components else 0))
        got = tuple(part.shape)
        flat = (*lead, math.prod(shape[len(lead) :]))
        seen = (*lead, *self.sizes.view(self.variable)) if role.axes is Axes.EVENT else shape
        squeezed = (*lead, 1) if role.axes is Axes.SCALAR else shape
        if got not in (shape, flat, seen, squeezed) and not (
            role.axes is Axes.EVENT and got[: len(lead)] == lead and len(event) == 1 and math.prod(got[len(lead) :]) == event[0]
        ):
            told = self.sizes.told(self.variable)
            raise self.error(f"{role.name} has shape {got}, expected {shape}: {told}", f"{role.name} of shape {shape}")
        return part.reshape(shape)

    def check_domains(self, parameters: Mapping[str, Tensor]) -> None:
        """Positive what must be positive, a unit vector what must be one."""
        for role in self.roles:
            value = parameters[role.name].detach()
            match role.constraint:
                case Constraint.POSITIVE if not bool((value > 0).all()):
                    least = float(value.min())
                    remedy = f"torch.nn.functional.softplus({role.name})"
                    raise self.error(f"{role.name} is {least:.3g} somewhere, and it must be positive", remedy)
                case Constraint.DIRECTION if not torch.allclose(value.norm(dim=-1), value.new_ones(()), atol=1e-3):
                    remedy = f"torch.nn.functional.normalize({role.name}, dim=-1)"
                    raise self.error(f"{role.name} is not a unit vector", remedy)
                case Constraint.TRIANGULAR if not torch.equal(value, value.tril()):
                    raise self.error(f"{role.name} is not lower triangular", f"{role.name}.tril()")


def base_of(distribution: td.Distribution) -> td.Distribution:
    """A distribution without the dimensions that are taken together."""
    return base_of(distribution.base_dist) if isinstance(distribution, td.Independent) else distribution


def of_distribution(family: FamilyUse, distribution: td.Distribution, error: Wrong) -> dict[str, Tensor]:
    """The family's parameters of a distribution that a network returns."""
    draws = family.facts.draws
    if draws is None or not hasattr(td, draws.distribution):
        name = type(base_of(distribution)).__name__
        raise error(f"the network returns a {name}, and {family.name} is none of torch", "the parameters as tensors")
    return _parameters(family, draws, distribution, error, f"the family is {family.name}")


def _parameters(family: FamilyUse, draws: Draws, of: td.Distribution, error: Wrong, why: str) -> dict[str, Tensor]:
    """Those that a distribution, or a part of one, is made of."""
    base, names = base_of(of), {*family.parameters, *family.facts.parameters}
    if type(base).__name__ not in (draws.distribution, *draws.also):
        raise error(
            f"the network returns a {type(base).__name__}, and {why}",
            f"torch.distributions.{draws.distribution}, or the parameters as tensors",
        )
    found: dict[str, Tensor] = {}
    for name, expression in draws.arguments.items():
        value = getattr(base, name)
        if isinstance(expression, Draws):
            found |= _parameters(family, expression, value, error, f"the {name.replace('_', ' ')} of a {family.name} is none")
            continue
        inside = [s.name for s in expression.free_symbols if s.name in names]
        if inside:
            found[inside[0]] = inverted(expression, inside[0], name, value)
        elif expression.free_symbols:
            hold(family, str(next(iter(expression.free_symbols))), value, error)
    return found


def hold(family: FamilyUse, option: str, value: Tensor, error: Wrong) -> None:
    """A number that the spec fixes is the distribution's."""
    fixed = number(family, option)
    first = float(torch.as_tensor(value).detach().flatten()[0])
    if abs(first - fixed) > 1e-6 * max(1.0, abs(fixed)):
        raise error(
            f"{option} is {first:g} in the distribution and {fixed:g} in the spec",
            f"{option} = {first:g} in the spec's families",
        )


def inverted(expression: sympy.Expr, role: str, argument: str, value: Tensor) -> Tensor:
    """The parameter of which a distribution's argument is a function."""
    return function_of(_inverse(expression, role, argument))[1](value)


@cache
def _inverse(expression: sympy.Expr, role: str, argument: str) -> sympy.Expr:
    (symbol,) = (s for s in expression.free_symbols if s.name == role)
    (solution,) = sympy.solve(sympy.Eq(expression, sympy.Symbol(argument, positive=True)), symbol)
    return sympy.expand_log(solution)
