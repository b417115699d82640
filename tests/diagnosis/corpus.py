"""Losses as people write them, with the spec that they are of and what is to be said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import ibsym
from ibsym.diagnosis.diagnose import diagnose

SPECS = Path(__file__).parent / "specs"


@dataclass(frozen=True)
class Case:
    """``kinds`` are findings that a wrong loss must have; ``weights`` coefficients that must be told exactly."""

    name: str
    spec: str
    function: Callable[..., Any]
    inputs: dict[str, Any] = field(default_factory=dict)
    output: str | None = None
    kinds: tuple[str, ...] = ()
    weights: dict[str, str] = field(default_factory=dict)


RIGHT: list[Case] = []
WRONG: list[Case] = []


def right(spec, inputs=None, output=None):
    """Registers a loss that is right."""

    def put(function):
        RIGHT.append(Case(function.__name__, spec, function, inputs or {}, output))
        return function

    return put


def wrong(spec, *kinds, inputs=None, output=None, **weights):
    """Registers a loss that is wrong, with what is to be found; ``weights`` are R (the relative entropy), D (the log-density)."""
    names = {"R": "KL(q(z|x)||p(z))", "D": "E_q[log p(x|z)]", "C": "E_q[log p(c|z)]"}

    def put(function):
        told = {names.get(k, k): v for k, v in weights.items()}
        WRONG.append(Case(function.__name__, spec, function, inputs or {}, output, kinds, told))
        return function

    return put


@cache
def derivation(name):
    """The derivation of a spec of this folder, or of the zoo."""
    file = SPECS / f"{name}.toml"
    return ibsym.derive(file if file.exists() else name)


@cache
def loss_class(name):
    """The emitted loss of a spec."""
    return ibsym.compile(derivation(name))


def diagnosed(case):
    """The report of a case."""
    return diagnose(case.function, derivation(case.spec), loss_class(case.spec), case.inputs, output=case.output)
