"""[LossProgram] -> [Module text]: one file that imports torch and the standard library."""

from __future__ import annotations

import re

from ibsym.codegen.c.source import native as one_pass
from ibsym.codegen.templating import render
from ibsym.codegen.torch import context, vehicle
from ibsym.codegen.torch.copying import definitions
from ibsym.codegen.torch.text import quoted
from ibsym.lowering.program import LossProgram


def emit(program: LossProgram) -> str:
    """The text of a PyTorch module that computes the program. Equal programs give equal text, in every process."""
    native = one_pass(program)
    methods = [render("forward.py.j2", context.forward(program))] if native is None else vehicle.methods(program, native)
    methods.append(_critic_loss(program))
    if program.limits:
        methods.append(render("constraints.py.j2", context.constraints(program)))
    settings: tuple[str, ...] = ()
    if any("self._unit_directions(" in m for m in methods):
        methods.append(render("directions.py.j2", {}))
        settings = ("self.directions: dict[str, Tensor] = {}  # by term; fixed here, or drawn afresh at every call",)
    helpers = _helpers(program, "\n".join(methods))
    code = "\n".join((*methods, *helpers))
    if native is not None:
        helpers.append(vehicle.helpers(program, native))
    imports = _imports(code, native is not None)
    return render("module.py.j2", context.module(program, settings, tuple(methods), tuple(helpers), tuple(imports)))


def _imports(code: str, native: bool) -> list[str]:
    plain = [*(vehicle.IMPORTS if native else ()), *(["math"] if re.search(r"\bmath\.", code) else [])]
    abstract = [n for n in ("Callable", "Mapping", "Sequence") if f"{n}[" in code or (native and n == "Callable")]
    return [
        *(f"import {name}" for name in sorted(plain)),
        *([f"from collections.abc import {', '.join(abstract)}"] if abstract else []),
        *(["from pathlib import Path"] if native else []),
        "from typing import NamedTuple",
        "",
        "import torch",
        *(["import torch.nn.functional as F"] if re.search(r"\bF\.", code) else []),
        "from torch import Tensor",
        *(["from torch.autograd import forward_ad"] if native else []),
    ]


def _critic_loss(program: LossProgram) -> str:
    blocks = context.critics(program)
    if not program.critics:
        return render("no_critic_loss.py.j2", {})
    return render("held_critic_loss.py.j2" if program.through else "critic_loss.py.j2", blocks)


def _helpers(program: LossProgram, code: str) -> list[str]:
    """The functions that the code calls, copied from the runtime, in the order of their first call."""
    runtime = definitions()
    if program.rows is not None:
        variants = {name: runtime[f"{name}_rows"].replace(f"{name}_rows", name, 1) for name in ("_reduction", "_reduced")}
    else:
        why = quoted(f"reduction 'none' needs per-row averages over one batch: {context.why_no_rows(program)}")
        variants = {
            "_reduction": render("reduction.py.j2", {"why": why}).rstrip("\n"),
            "_reduced": runtime["_reduced_mean"].replace("_reduced_mean", "_reduced", 1),
        }
    found: dict[str, str] = {}
    pending = ["_reduction", *called(code)]
    while pending:
        name = pending.pop(0)
        if name not in found and name not in vehicle.NAMES and not code_has_method(code, name):
            found[name] = variants[name] if name in variants else runtime[name]
            pending += called(found[name])
    return [f"{text}\n" for text in found.values()]


def code_has_method(code: str, name: str) -> bool:
    """Whether the name is one of the class's own methods."""
    return re.search(rf"def {name}\(\s*self\b", code) is not None


def called(code: str) -> list[str]:
    """The helpers that a piece of code calls.

    >>> called("x = _pick(table, index) + self._own(1) + _pick(a, b)")
    ['_pick']
    """
    return list(dict.fromkeys(re.findall(r"(?<![\w.])(_[a-z]\w*)\(", code)))
