"""Kernels inside compiled graphs: a loss as a registered operator, which torch.compile and torch.export see through."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ._ibsym_runtime import GPU, INTERPRETED, OnePass
from .kernels import Kernels
from .tables import WIDEST


def in_graphs(run: OnePass) -> Callable[..., Any]:
    """What computes the loss of a pass where a graph is traced: an operator, or the expression where kernels would decline."""
    _importable()

    @torch.compiler.assume_constant_result
    def known() -> Any:
        """The operator's name, terms, parameters and the places of inputs that have gradients; None without kernels."""
        kernels = run.known[GPU] if GPU in run.known else run.library(GPU)
        if kernels is None:
            return None
        name = f"{run.stem}_{hashlib.sha256(run.kernels().encode()).hexdigest()[:16]}"
        if not hasattr(torch.ops.ibsym, name):
            register(kernels, name)
        return name, tuple(kernels.terms), tuple(kernels.parameters), tuple(kernels.differentiated)

    def in_graph(loss: Any, given: list[Tensor], checked: Any) -> Any:
        found = checked(loss.INPUTS, given, None, getattr(loss, "SYMBOLS", ()))
        constants = known() if loss.reduction in ("mean", "sum") and all(map(_taken, given)) else None
        if constants is None:
            return loss.expression(*found)
        name, terms, names, differentiated = constants
        parameters = [getattr(loss, p) for p in names]
        if any(isinstance(p, Tensor) for p in parameters):
            return loss.expression(*found)
        wanted = [torch.is_grad_enabled() and k in differentiated and t.requires_grad for k, t in enumerate(given)]
        room = getattr(torch.ops.ibsym, name)(given, [float(p) for p in parameters], loss.reduction == "sum", wanted)[0]
        told = room.detach()
        return run.output(room[0], {term: told[k + 1] for k, term in enumerate(terms)})

    return in_graph


def _importable() -> None:
    """What is traced is found again by its module's name: where this is no module, it becomes one under a name of its own."""
    space = globals()
    if getattr(sys.modules.get(__name__), "__dict__", None) is not space:
        space["__name__"] = f"{__name__}_{id(space):x}"
        sys.modules[__name__] = ModuleType(__name__, "What losses share, as their file has it.")
        sys.modules[__name__].__dict__.update(space)


def _taken(tensor: Tensor) -> bool:
    """Whether kernels take a tensor; gradients of float16 wait for their scale, which a graph does not know."""
    rows = math.prod(tensor.shape[:-1])
    kind = tensor.dtype in (torch.float32, torch.bfloat16, torch.int64) and tensor.layout is torch.strided
    return (tensor.is_cuda or INTERPRETED) and kind and (tensor.dim() < 2 or 2 <= rows <= WIDEST)


def register(kernels: Kernels, name: str) -> None:
    """Makes the operator: the loss and its terms in one tensor, then a gradient for each input that wants one."""

    @torch.library.custom_op(f"ibsym::{name}", mutates_args=())
    def operator(given: list[Tensor], parameters: list[float], total: bool, wanted: list[bool]) -> list[Tensor]:
        dense = [t.contiguous() for t in given]
        value, terms, gradients = kernels.run(dense, parameters, total, wanted if any(wanted) else ())
        if value is None:
            raise RuntimeError(f"the kernels of {name} do not take these sizes")
        assert gradients is not None
        return [torch.cat((value[None], terms)), *(g.clone() for g in gradients if g is not None)]

    @operator.register_fake
    def _(given: Sequence[Tensor], parameters: Sequence[float], total: bool, wanted: Sequence[bool]) -> list[Tensor]:
        room = given[0].new_empty(1 + len(kernels.terms), dtype=torch.float32)
        return [room, *(t.new_empty(t.shape) for t, is_wanted in zip(given, wanted, strict=True) if is_wanted)]

    def kept(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
        ctx.wanted = inputs[3]
        ctx.save_for_backward(*output[1:])

    def slopes(ctx: Any, upstream: list[Tensor]) -> Any:
        left = iter(ctx.saved_tensors)
        return [next(left) * upstream[0][0] if is_wanted else None for is_wanted in ctx.wanted], None, None, None

    operator.register_autograd(slopes, setup_context=kept)


OnePass.graphs = in_graphs
