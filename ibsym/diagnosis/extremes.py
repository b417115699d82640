"""f(+-20) against what the middle says: where a loss saturates, is clamped, loses its gradient or overflows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ibsym.diagnosis.report import NOTE, WRONG, Finding
from ibsym.diagnosis.subject import gradients
from ibsym.diagnosis.worlds import EXACT, World, draw

if TYPE_CHECKING:
    from ibsym.diagnosis.design import Sampler
    from ibsym.diagnosis.features import Feature
    from ibsym.diagnosis.worlds import Setting

FAR = 20.0
ORDINARY = {"logits": 8.0, "critic": 8.0, "critic_reference": 8.0, "scores": 8.0, "logvar": 5.0, "mean": 5.0}
NAMES = {
    "logits": "logit",
    "logvar": "log-variance",
    "mean": "mean",
    "scores": "score",
    "critic": "critic",
    "critic_reference": "critic",
}
TOLERANCE = {torch.float64: 1e-4, torch.float32: 2e-3}
KEPT = 1e-3  # of the greatest entry: what is smaller may be lost


@dataclass(frozen=True)
class Bite:
    """What goes wrong at a value of one input."""

    what: str
    at: float


def compared(
    sampler: Sampler, features: Sequence[Feature], coefficients: Sequence[float], setting: Setting
) -> Iterator[Finding]:
    """Findings about inputs of +-20: in float64, and in float32 where float64 is right."""
    for entry in sampler.subject.inputs:
        if entry.role not in ORDINARY:
            continue
        for sign in (1.0, -1.0) if entry.role == "logvar" else (1.0,):
            probe = Probe(sampler, features, tuple(coefficients), setting, entry, sign)
            found = probe.first(EXACT)
            if found is not None:
                yield _told(entry, sign, found, "")
            elif (single := probe.first(torch.float32)) is not None:
                yield _told(entry, sign, single, " in float32")


def _told(entry: Any, sign: float, bite: Bite, precision: str) -> Finding:
    severity = WRONG if bite.at < ORDINARY[entry.role] and not precision else NOTE
    side = "-" if sign < 0 and entry.role == "logvar" else ""
    kind = {"gradient": "saturation", "value": "clamp", "overflow": "overflow"}[bite.what]
    words = {
        "gradient": f"right in the middle, loses gradients beyond {NAMES[entry.role]} {side}{bite.at:.3g}{precision}",
        "value": f"right in the middle, another value beyond {NAMES[entry.role]} {side}{bite.at:.3g}{precision}",
        "overflow": f"right in the middle, not finite beyond {NAMES[entry.role]} {side}{bite.at:.3g}{precision}",
    }[bite.what]
    remedy = "the form on logits" if entry.role == "logits" else ""
    return Finding(kind, words, entry.name, severity, remedy)


@dataclass(frozen=True)
class Probe:
    """One input pushed outwards, the others as they are."""

    sampler: Sampler
    features: Sequence[Feature]
    coefficients: tuple[float, ...]
    setting: Setting
    entry: Any
    sign: float

    def first(self, dtype: torch.dtype) -> Bite | None:
        """The least value at which the loss is not what the middle says, if that is below 20."""
        what = self.at(FAR, dtype)
        if what is None:
            return None
        low, high = 1.0, FAR
        for _ in range(7):
            middle = (low + high) / 2
            low, high = (low, middle) if self.at(middle, dtype) == what else (middle, high)
        return Bite(what, high)

    def at(self, size: float, dtype: torch.dtype) -> str | None:
        """What is wrong at a size: overflow, gradient, value, or nothing."""
        far, near = self._world(size, dtype), self._world(1e-3, dtype)
        called = self.sampler.called
        value = called.value(far)
        found = called.gradients(far, value)[self._place(far)].double()
        rise = float(value.detach()) - float(called.value(near).detach())
        exact_far, exact_near = self._world(size, EXACT), self._world(1e-3, EXACT)
        wanted = self._predicted(exact_far)
        slope = gradients(wanted, list(exact_far.leaves.values()))[self._place(exact_far)]
        expected = float(wanted.detach()) - float(self._predicted(exact_near).detach())
        if not (math.isfinite(float(value.detach())) and bool(torch.isfinite(found).all())):
            return "overflow" if math.isfinite(expected) else None
        size_of = max(abs(expected), 1e-12)
        top = float(slope.abs().max())
        lost = (slope.abs() > KEPT * top) & ((found - slope).abs() > 0.05 * slope.abs())
        if top > 0 and bool(lost.any()):
            return "gradient"
        return "value" if abs(rise - expected) > TOLERANCE[dtype] * (size_of + abs(float(wanted.detach()))) else None

    def _place(self, world: World) -> int:
        return list(world.leaves).index(self.entry.name)

    def _predicted(self, world: World) -> Tensor:
        parts = [c * f.call(world) for c, f in zip(self.coefficients, self.features, strict=True)]
        return sum(parts, torch.zeros((), dtype=EXACT))

    def _world(self, size: float, dtype: torch.dtype) -> World:
        world = draw(self.sampler.subject, self.setting, self.sampler.layout, 41, 0.3, dtype)
        plain = world.inputs[self.entry.name].detach()
        signs = self.sign * (1 if self.entry.role == "logvar" else torch.where(plain >= 0, 1.0, -1.0))
        pushed = (plain * 0 + size * signs).to(dtype)
        pushed = pushed.requires_grad_()
        world.inputs[self.entry.name] = pushed
        world.leaves[self.entry.name] = pushed
        return world
