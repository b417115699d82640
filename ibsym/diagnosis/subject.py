"""loss = sum coefficient(parameters) * part(inputs): a spec's own loss, taken apart into differentiable parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation
    from ibsym.diagnosis.worlds import World

Part = Callable[["World"], Tensor]
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Term:
    """A term of the bound as the report prints it, with the weight that the spec gives it."""

    text: str
    coefficient: sympy.Expr
    estimator: str


class Attached(TorchFunctionMode):
    """``detach`` is the identity, so that the values that a loss reports of its terms keep their gradients."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.detach:
            return args[0]
        return func(*args, **(kwargs or {}))


@dataclass
class Subject:
    """A spec's loss: inputs, parameters, terms, and for each term the part of the loss that stands for it."""

    derivation: Derivation
    loss_class: type[Any]
    terms: tuple[Term, ...] = field(init=False)

    def __post_init__(self) -> None:
        sign = -1 if self.derivation.spec.sense == "maximize" else 1
        self.terms = tuple(Term(b.text, bare(sign * b.coefficient), b.estimator) for b in self.derivation.bound)

    @property
    def spec(self) -> Any:
        """The spec that the loss was derived from."""
        return self.derivation.spec

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What the spec's loss takes, in order."""
        return tuple(self.loss_class.INPUTS)

    @property
    def critics(self) -> tuple[str, ...]:
        """The divergences that need a critic."""
        return tuple(self.loss_class.CRITICS)

    @property
    def players(self) -> tuple[str, ...]:
        """The model, and each critic."""
        return "model", *(f"critic of {name}" for name in self.critics)

    def player(self, name: str) -> str:
        """Who learns by an input's gradient alone: a critic by its logits on samples that nothing else moves, else the model."""
        entry = next(i for i in self.inputs if i.name == name)
        sides = [b.model_side for b in self.derivation.bound if b.text == entry.of and b.model_side is not None]
        if entry.of not in self.critics or not sides:
            return "model"
        moved = sides[0].second if entry.role == "critic_reference" else sides[0].first
        return "model" if moved else f"critic of {entry.of}"

    def interval(self, parameter: str) -> tuple[float, float, float]:
        """Default, least and greatest value of a parameter."""
        entry = self.spec.parameters[parameter]
        return float(entry.default), *entry.interval

    def output(self, world: World) -> Any:
        """Loss and terms at a world."""
        made = self.loss_class(**world.parameters)
        if not hasattr(made, "expression"):
            return made(**{i.name: world.inputs[i.name] for i in self.inputs})
        return made.expression(*(world.inputs[i.name] for i in self.inputs))

    def loss(self, world: World) -> Tensor:
        """What the model minimises."""
        value: Tensor = self.output(world).loss
        return value

    def part(self, text: str) -> Part:
        """A term's value, its gradient attached."""

        def value(world: World) -> Tensor:
            with Attached():
                found: Tensor = self.output(world).terms[text]
            return found

        return value

    def weight(self, term: Term, world: World) -> float:
        """The coefficient at the world's parameters."""
        return float(term.coefficient.subs(dict(world.parameters.items())))

    def parts(self, worlds: list[World]) -> dict[str, Part]:
        """For each term the part of the loss that stands for it: its value, or where a critic's term has a surrogate, that.

        Where no known surrogate fits, what is left of the loss after the others is the part.
        """
        plain = {t.text: self.part(t.text) for t in self.terms}
        critics = [t.text for t in self.terms if t.text in self.critics]
        for choice in itertools.product(*([plain[c], *self._surrogates(c)] for c in critics)):
            parts = {**plain, **dict(zip(critics, choice, strict=True))}
            if all(self._adds_up(parts, world) for world in worlds):
                return parts
        if len(critics) == 1 or len(self.terms) == 1:
            odd = critics[0] if critics else self.terms[0].text
            return {**plain, odd: self._rest(odd, plain)}
        return plain

    def _adds_up(self, parts: dict[str, Part], world: World) -> bool:
        loss = self.loss(world)
        total = sum((self.weight(t, world) * parts[t.text](world) for t in self.terms), torch.zeros((), dtype=torch.float64))
        if not close(loss, total):
            return False
        leaves = list(world.leaves.values())
        pairs = zip(gradients(loss, leaves), gradients(total, leaves), strict=True)
        return all(close(a, b) for a, b in pairs)

    def _rest(self, text: str, plain: dict[str, Part]) -> Part:
        odd = next(t for t in self.terms if t.text == text)

        def value(world: World) -> Tensor:
            others = [self.weight(t, world) * plain[t.text](world) for t in self.terms if t is not odd]
            return (self.loss(world) - sum(others, torch.zeros((), dtype=torch.float64))) / self.weight(odd, world)

        return value

    def _surrogates(self, text: str) -> Iterator[Part]:
        """What a model may minimise in place of a critic's value (CONTRIBUTING, "Estimators")."""
        first = next((i.name for i in self.inputs if i.of == text and i.role == "critic"), None)
        second = next((i.name for i in self.inputs if i.of == text and i.role == "critic_reference"), None)
        soft = torch.nn.functional.softplus

        def made(on_first: Callable[[Tensor], Tensor] | None, on_second: Callable[[Tensor], Tensor] | None) -> Part:
            def value(world: World) -> Tensor:
                total = torch.zeros((), dtype=torch.float64)
                if on_first is not None:
                    total = total + on_first(world.inputs[str(first)]).mean()
                if on_second is not None:
                    total = total + on_second(world.inputs[str(second)]).mean()
                return total

            return value

        if second is not None:
            yield made(None, lambda f: soft(-f))
            yield made(None, lambda f: 0.5 * soft(-f))
            yield made(None, lambda f: -0.5 * soft(f))
            yield made(None, lambda f: -f.exp())
        if first is not None:
            yield made(soft, None)
            yield made(lambda f: 0.5 * soft(f), None)
        if first is not None and second is not None:
            yield made(lambda f: 0.5 * soft(f), lambda f: 0.5 * soft(-f))
            yield made(soft, lambda f: soft(-f))
            yield made(lambda f: f, lambda f: -f.exp())
            yield made(lambda f: f, lambda f: soft(-f))


def bare(expression: sympy.Expr) -> sympy.Expr:
    """Symbols by name alone, whatever the spec assumes of them."""
    return expression.xreplace({s: sympy.Symbol(s.name) for s in expression.free_symbols})


def close(a: Tensor, b: Tensor) -> bool:
    """Equal to nine digits of the larger."""
    a, b = a.detach(), b.detach()
    size = float(torch.maximum(a.abs().max(), b.abs().max())) if a.numel() else 0.0
    return a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * (1 + size)) if a.numel() else True


def gradients(value: Tensor, leaves: list[Tensor], keep: bool = False) -> list[Tensor]:
    """d value / d leaf for each leaf; zero where the value does not depend on it."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=keep)
    return [torch.zeros_like(leaf) if g is None else g.detach() for g, leaf in zip(found, leaves, strict=True)]
