"""Emitted modules of every spec, and random arguments for them; compiled passes are kept in build/, between runs."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

import ibsym
from ibsym.codegen.c.source import one_pass
from ibsym.codegen.emit import files
from ibsym.conformance import constraint_of
from ibsym.families.facts import Constraint
from ibsym.lowering.lower import lower
from ibsym.lowering.program import LossProgram

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "native-cache"
ZOO = {path.stem: path for path in sorted(ROOT.glob("ibsym/zoo/*.toml"))}
SPECS = (
    ZOO
    | {path.stem: path for path in sorted(ROOT.glob("tests/specs/*.toml"))}
    | {path.stem: path for path in sorted((ROOT / "tests" / "native" / "specs").glob("*.toml"))}
)
SIZES = {"S": 2, "B": 9, "L": 3, "L1": 3, "L2": 4, "D": 131, "D1": 37, "D2": 5, "K": 6, "M": 5, "T": 3}


@cache
def program(name: str) -> LossProgram:
    return lower(ibsym.audit(ibsym.derive(SPECS[name]), worlds=1))


@cache
def fused(name: str) -> bool:
    """Whether any of its terms has a pass."""
    return one_pass(program(name)) is not None


@cache
def module(name: str) -> ModuleType:
    """The emitted module, loaded from a file of its own, as a user would."""
    folder = CACHE / "emitted"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"emitted_{name.replace('-', '_')}"
    written = files(program(name))
    for file, text in written.items():
        path = folder / (f"{stem}.py" if file == next(iter(written)) else file)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    path = folder / f"{stem}.py"
    spec = importlib.util.spec_from_file_location(stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[stem] = found  # so that its classes can be pickled
    spec.loader.exec_module(found)
    return found


def compiled(name: str, dtype: torch.dtype = torch.float32) -> object:
    """The library of a module's pass, or None."""
    run = module(name)._one_pass()
    return None if run is None else run.library(dtype)


def source(name: str) -> str:
    """The C source of a module's pass."""
    return module(name)._one_pass().source


def arguments(
    name: str,
    *,
    sizes: dict[str, int] | None = None,
    draws: bool = True,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    spread: float = 1.0,
) -> dict[str, Tensor]:
    """Random arguments; ``draws`` leaves the Monte-Carlo axis in, ``spread`` widens logits and log-variances."""
    generator = torch.Generator().manual_seed(seed)
    known = SIZES | (sizes or {})
    spec = ibsym.load(SPECS[name])
    variables = spec.variables
    result = {}
    for entry in module(name).Loss.INPUTS:
        shape = entry.shape if draws or entry.shape[:1] != ("S",) else entry.shape[1:]
        lengths = [int(a) if a.isdigit() else known.get(a, known["B"] - 2 if a.startswith("B_") else 3) for a in shape]
        kind = variables[entry.of].kind if entry.of in variables else ""
        if entry.name in getattr(module(name).Loss, "SYMBOLS", ()) or (
            entry.role == "value" and kind == "categorical" and shape[-1].split("_")[0] == "B"
        ):
            first = variables[entry.of].dims[0]
            classes = int(first) if first.isdigit() else known.get(first, 3)
            result[entry.name] = torch.randint(0, classes, lengths, generator=generator)
            continue
        noise = torch.randn(lengths, generator=generator, dtype=torch.float64)
        result[entry.name] = _shaped(entry.role, kind, constraint_of(spec, entry), noise, spread).to(dtype)
    return result


def _shaped(role: str, kind: str, constraint: Constraint, noise: Tensor, spread: float) -> Tensor:
    if role in ("value", "sample", "sample_reference"):
        match kind:
            case "binary":
                return (noise > 0).double() if role == "value" else noise.sigmoid()
            case "unit":
                return noise.sigmoid()
            case "positive":
                return (spread * noise).exp()
            case "count":
                return (3 * noise.abs()).floor()
            case "categorical" | "simplex":
                return noise.softmax(-1)
            case "sphere":
                return noise / noise.norm(dim=-1, keepdim=True)
        return noise
    if constraint is Constraint.POSITIVE:
        return torch.nn.functional.softplus(noise) + 0.1
    if constraint is Constraint.DIRECTION:
        return noise / noise.norm(dim=-1, keepdim=True)
    if constraint is Constraint.TRIANGULAR:
        return noise.tril(-1) * 0.3 + torch.diag_embed(noise.diagonal(dim1=-2, dim2=-1).exp())
    return noise * (2 * spread if role in ("logits", "critic", "critic_reference", "scores") else spread)


def learning(given: dict[str, Tensor], names: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """The same as leaves that require gradients, all floating ones or those named."""
    return {
        n: t.detach().clone().requires_grad_(t.is_floating_point() and (names is None or n in names)) for n, t in given.items()
    }


def gradients(loss: Tensor, given: dict[str, Tensor], **options: object) -> dict[str, Tensor | None]:
    """Gradients by name, None where the loss does not depend on an argument."""
    names = [n for n, t in given.items() if t.requires_grad]
    return dict(zip(names, torch.autograd.grad(loss, [given[n] for n in names], allow_unused=True, **options), strict=True))
