"""The arguments of a loss: what is declared of each, and the checks of what is given.

Emission copies what a module uses, comments and all: these functions stand here once, typed and linted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Input(NamedTuple):
    """An argument of `forward`: its name, what it belongs to, its role and shape, the joint that draws it.

    The axis B is the batch; a leading S, a Monte-Carlo axis, may be left out.
    """

    name: str
    of: str
    role: str
    shape: tuple[str, ...]
    joint: str


class Output(NamedTuple):
    """`loss` is what the model minimises; `terms` holds each term's unweighted, detached value, in nats."""

    loss: Tensor
    terms: dict[str, Tensor]


def _checked(declared: tuple[Input, ...], tensors: list[Tensor]) -> list[Tensor]:
    """The tensors, half precision raised to float32; an error that names the first that is not as it was declared."""
    sizes: dict[str, int] = {}
    result = []
    for entry, tensor in zip(declared, tensors, strict=True):
        shape = entry.shape
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{_expected(entry)}, a tensor, not {type(tensor).__name__}")
        if entry.role == "value" and shape[-1].split("_")[0] == "B":
            if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
                raise TypeError(f"{_expected(entry)}, integer class indices, not {tensor.dtype}")
        elif not tensor.is_floating_point():
            raise TypeError(f"{_expected(entry)}, floating point, not {tensor.dtype}")
        if shape[:1] == ("S",) and tensor.dim() == len(shape) - 1:
            shape = shape[1:]
        if tensor.dim() != len(shape):
            raise ValueError(f"{_expected(entry)}, got {tuple(tensor.shape)}")
        for axis, size in zip(shape, tensor.shape, strict=True):
            known = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            if size != known:
                raise ValueError(f"{_expected(entry)}, got {tuple(tensor.shape)}, and {axis} is {known}")
        result.append(tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor)
    return result


def _expected(entry: Input) -> str:
    """What an error says first: the input's name and shape."""
    optional = " with S optional" if entry.shape[:1] == ("S",) else ""
    return f"{entry.name}: expected shape ({', '.join(entry.shape)}){optional}"


def _codes(declared: tuple[Input, ...]) -> tuple[Input, ...]:
    """A critic's inputs without its logits."""
    return tuple(entry for entry in declared if entry.role not in ("critic", "critic_reference"))


def _by_name(declared: tuple[Input, ...], given: dict[str, Tensor], name: str) -> list[Tensor]:
    """The keyword inputs of one critic, in the order in which they were declared; its logits have no part in a rate."""
    names = [entry.name for entry in _codes(declared)]
    beside = {entry.name for entry in declared} - set(names)
    if sorted(set(given) - beside) != sorted(names):
        raise TypeError(f"the critic of {name} takes {', '.join(names) or 'no inputs'}, not {', '.join(given) or 'nothing'}")
    return [given[n] for n in names]


def _logits(
    declared: tuple[Input, ...], critic: Tensor | None, critic_reference: Tensor | None, inputs: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """A critic's logits on both sides, given as such or, taken out of `inputs`, under their names in CRITIC_INPUTS."""
    named = {entry.role: inputs.pop(entry.name, None) for entry in declared if entry.role in ("critic", "critic_reference")}
    critic = named.get("critic") if critic is None else critic
    critic_reference = named.get("critic_reference") if critic_reference is None else critic_reference
    if critic is None or critic_reference is None:
        raise TypeError("critic_loss takes the logits critic and critic_reference")
    return critic, critic_reference


def _ascended(multiplier: float | Tensor, value: float | Tensor, budget: float | Tensor, step: float) -> float | Tensor:
    """max(0, multiplier + step * (value - budget)), a number or a 0-d tensor as the multiplier was."""
    if isinstance(multiplier, Tensor):
        with torch.no_grad():
            return (multiplier + step * (value - budget)).clamp(min=0)
    value, budget = (x.detach().item() if isinstance(x, Tensor) else x for x in (value, budget))
    return max(0.0, multiplier + step * (value - budget))
