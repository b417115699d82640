"""low <= estimate <= high: what an estimate can be, in which unit it is told, and where a number came from that is none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ibsym.estimators import ESTIMATORS
from ibsym.nn.accumulating import axis
from ibsym.nn.scoring import scores_of_rows
from ibsym.nn.wiring import Wiring
from ibsym.spec.model import Spec
from ibsym.training.units import NEVER_NEGATIVE, Unit


def largest(spec: Spec, rows: int) -> dict[str, float]:
    """Of each term whose estimate has a largest value whatever the quantity is, that value, in nats."""
    return {use.key: math.log(max(1, rows)) for use in spec.estimators if _within_rows(use.estimator)} | {
        use.key: math.log(2) for use in spec.estimators if use.key.startswith("JS(")
    }


def _within_rows(estimator: str) -> bool:
    value = ESTIMATORS[estimator].value
    return value is not None and value.within_rows


def ranges(spec: Spec, rows: int, unit: Unit) -> Iterator[str]:
    """Of each term that is estimated, what its estimate can be whatever the quantity is."""
    limits = largest(spec, rows)
    for use in spec.estimators:
        most: list[str] = []
        if _within_rows(use.estimator):
            most.append(f"at most log B = {unit.told(limits[use.key])} with {rows} rows, however large the quantity is")
        if use.key.startswith("JS("):
            most.append(f"at most log 2 = {unit.told(limits[use.key])}")
        if use.key.startswith(NEVER_NEGATIVE):
            most.append("below zero it is an estimate, and no quantity")
        if most:
            yield f"{use.key} by {use.estimator}: {'; '.join(most)}"


def fault(wiring: Wiring, tensors: Mapping[str, Tensor], terms: Mapping[str, float]) -> str:
    """The input and the row that are no numbers; where all inputs are numbers, the row at which a term is none, and its largest input."""
    for entry in wiring.inputs:
        bad = ~torch.isfinite(tensors[entry.name].detach())
        if bool(bad.any()):
            return f"input {entry.name}{_row(bad, axis(entry, bad))} is {float(tensors[entry.name].detach()[bad][0])}"
    for text in (name for name, value in terms.items() if not math.isfinite(value)):
        try:
            rows = scores_of_rows(wiring, {n: t.detach() for n, t in tensors.items()}, {text: "B"})[text]
        except (RuntimeError, KeyError, ValueError, IndexError):  # a term that compares rows, or of another batch
            continue
        bad = ~torch.isfinite(rows)
        if bool(bad.any()):
            row = int(bad.nonzero()[0, 0])
            name, value = max(_at(wiring, tensors, row), key=lambda found: abs(found[1]))
            return f"{text} is {float(rows[row])} at row {row}; its largest input there is {name} = {value:.4g}"
    return ""


def _row(bad: Tensor, place: int | None) -> str:
    return f", row {int(bad.nonzero()[0, place])} of the batch," if place is not None else ""


def _at(wiring: Wiring, tensors: Mapping[str, Tensor], row: int) -> Iterator[tuple[str, float]]:
    """Each input's largest number at a row."""
    for entry in wiring.inputs:
        tensor = tensors[entry.name].detach().double()
        place = axis(entry, tensor)
        part = (tensor.select(place, row) if place is not None else tensor).flatten()
        if part.numel():
            yield entry.name, float(part[part.abs().argmax()])
