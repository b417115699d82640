"""The arguments of a loss: what is declared of each, and the checks of what is given.

Emission copies what a module uses, comments and all: these functions stand here once, typed and linted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Input(NamedTuple):
    """An argument of `forward`."""

    name: str
    of: str  # a factor, a variable or a divergence
    role: str
    shape: tuple[str, ...]  # S, the axis of draws, may be left out
    joint: str

    def __str__(self) -> str:
        return f"{self.name}: expected shape ({', '.join(self.shape)}){' with S optional' * (self.shape[:1] == ('S',))}"


class Output(NamedTuple):
    """What the model minimises, and each term's unweighted, detached value, in nats."""

    loss: Tensor
    terms: dict[str, Tensor]


def _checked(declared: tuple[Input, ...], tensors: list[Tensor], group: Any = None, symbols: Any = ()) -> list[Tensor]:
    """The tensors, half precision raised to float32; an error that names the first that is not as it was declared."""
    sizes: dict[str, int] = {}
    for entry, tensor in zip(declared, tensors, strict=True):
        shape, index = entry.shape, entry.name in symbols or (entry.role == "value" and entry.shape[-1].split("_")[0] == "B")
        if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided:
            raise TypeError(f"{entry}, a tensor, not {getattr(tensor, 'layout', type(tensor).__name__)}")
        if tensor.is_floating_point() is index or tensor.is_complex() or tensor.dtype is torch.bool:
            raise TypeError(f"{entry}, {'integer class indices' if index else 'floating point'}, not {tensor.dtype}")
        got, shape = tuple(tensor.shape), shape[1:] if shape[:1] == ("S",) and tensor.dim() < len(shape) else shape
        shape = (shape[0], "columns of all ranks") if group and entry.role == "scores" else shape
        known = [int(a) if a.isdigit() else sizes.setdefault(a, n) for a, n in zip(shape, got, strict=False)]
        if len(shape) != len(got) or list(got) != known:
            unlike = ((k, f"{shape[k]} = {m}".removeprefix(f"{m} = ")) for k, m in enumerate(known) if got[k] != m)
            raise ValueError(f"{entry}, got {got}" + "".join(f"; axis {k} is {got[k]}, not {m}" for k, m in unlike))
    return [t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in tensors]


def _checked_as_given(declared: tuple[Input, ...], tensors: list[Tensor], *rest: Any) -> list[Tensor]:
    """The same, but that halves on a GPU that are multiplied as they are stay so: one number stands for each while it is checked."""
    products = [
        isinstance(t, Tensor) and t.is_cuda and e.role in ("hidden", "weight", "bias", "embedding")
        for e, t in zip(declared, tensors, strict=True)
    ]
    kept = [k and t.dtype in (torch.float16, torch.bfloat16) for k, t in zip(products, tensors, strict=True)]
    shown = [t.new_empty((), dtype=torch.float32).expand(t.shape) if k else t for k, t in zip(kept, tensors, strict=True)]
    found = _checked(declared, shown, *rest)
    return [t if k else f for k, t, f in zip(kept, tensors, found, strict=True)]


def _above_zero(name: str, number: Tensor) -> None:
    """An error where a temperature is not above 0, or not finite; nobody looks where there is no number yet."""
    if not isinstance(number, Tensor) or number.dim() or torch.compiler.is_compiling():
        return
    if not torch._C._are_functorch_transforms_active() and not 0 < (value := number.detach().item()) < torch.inf:
        raise ValueError(
            f"{name} is {value:g}, and a temperature is above 0 and finite\n  write: {name} = log_temperature.exp()"
        )


def _codes(declared: tuple[Input, ...], given: dict[str, Tensor], name: str, symbols: Any = ()) -> list[Tensor]:
    """The inputs of one critic, checked, in the order in which they were declared; its logits have no part in a rate."""
    own = tuple(entry for entry in declared if entry.role not in ("critic", "critic_reference"))
    names = [entry.name for entry in own]
    if not set(names) <= set(given) <= {entry.name for entry in declared}:
        raise TypeError(f"the critic of {name} takes {', '.join(names) or 'no inputs'}, not {', '.join(given) or 'nothing'}")
    return _checked(own, [given[n] for n in names], None, symbols)


def _logits(declared: tuple[Input, ...], inputs: dict[str, Tensor], *given: Tensor | None) -> list[Tensor]:
    """A critic's logits on both sides, given as such or, taken out of `inputs`, under their names in CRITIC_INPUTS."""
    roles = ("critic", "critic_reference")
    named = {entry.role: inputs.pop(entry.name, None) for entry in declared if entry.role in roles}
    found = [named.get(role) if logit is None else logit for role, logit in zip(roles, given, strict=True)]
    if any(logit is None for logit in found):
        raise TypeError("critic_loss takes the logits critic and critic_reference")
    return [logit for logit in found if logit is not None]


def _ascended(multiplier: float | Tensor, value: float | Tensor, budget: float | Tensor, step: float) -> float | Tensor:
    """max(0, multiplier + step * (value - budget)), a number or a 0-d tensor as the multiplier was."""
    if isinstance(multiplier, Tensor):
        with torch.no_grad():
            return (multiplier + step * (value - budget)).clamp(min=0)
    value, budget = (x.detach().item() if isinstance(x, Tensor) else x for x in (value, budget))
    return max(0.0, multiplier + step * (value - budget))
