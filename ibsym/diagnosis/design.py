"""y_i = f(x_i), F_ik: values of the user's loss and of columns at random worlds of one setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ibsym.diagnosis.fitting import Array, Fit, solve
from ibsym.diagnosis.worlds import Layout, Setting, World, draw

if TYPE_CHECKING:
    from ibsym.diagnosis.calling import Called
    from ibsym.diagnosis.features import Feature
    from ibsym.diagnosis.subject import Subject


@dataclass
class Sampler:
    """Worlds of a layout, and what is measured at them."""

    subject: Subject
    called: Called
    layout: Layout
    scale: float = 1.0

    def worlds(self, setting: Setting, count: int, first: int = 0) -> list[World]:
        """Random worlds, their scales differing a little so that no column is constant."""
        scales = [self.scale * (0.6 + 0.7 * ((3 * i) % 5) / 4) for i in range(count)]
        return [draw(self.subject, setting, self.layout, first + i, s) for i, s in enumerate(scales)]

    def values(self, worlds: Sequence[World]) -> Array:
        """The user's loss."""
        return np.array([float(self.called.value(w).detach()) for w in worlds])

    def columns(self, features: Sequence[Feature], worlds: Sequence[World]) -> Array:
        """A row a world, a column a feature; a column that is not finite is made zero, so that nothing chooses it."""
        with torch.no_grad():
            stack = Stack(worlds)
            table = np.array([stack.values(f) for f in features]).T.reshape(len(worlds), len(features))
        table[:, ~np.isfinite(table).all(0)] = 0.0
        return table

    def fit(self, features: Sequence[Feature], setting: Setting, first: int, more: int = 5) -> Fit:
        """Least squares on all of the features."""
        worlds = self.worlds(setting, len(features) + more, first)
        return solve(self.columns(features, worlds), self.values(worlds), tuple(range(len(features))))


class Stack:
    """Worlds of one setting as one: a column is evaluated at all of them in one call, or one by one where that is not possible."""

    def __init__(self, worlds: Sequence[World]):
        self.worlds = worlds
        self.inputs = {n: torch.stack([w.inputs[n].detach() for w in worlds]) for n in worlds[0].inputs}
        shapes = {tuple(t.shape) for t in worlds[0].inputs.values()}
        self.drawn = {s: torch.stack([w.noise(s) for w in worlds]) for s in shapes}

    def values(self, feature: Feature) -> list[float]:
        """The feature's value at each world."""

        def at(inputs: dict[str, torch.Tensor], drawn: dict[tuple[int, ...], torch.Tensor]) -> torch.Tensor:
            first = self.worlds[0]
            return feature.call(World(first.setting, inputs, {}, first.seed, first.layout, first.dtype, drawn))

        try:
            found = torch.func.vmap(at)(self.inputs, self.drawn).tolist()
        except Exception:  # an operation that cannot be stacked, whatever torch raises for it
            return [_number(feature, w) for w in self.worlds]
        return [float(v) for v in found]


def _number(feature: Feature, world: World) -> float:
    try:
        return float(feature.call(world))
    except (RuntimeError, ValueError, KeyError, IndexError):  # a deformation that this layout of tensors does not have
        return math.nan
