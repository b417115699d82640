"""(loss, dloss/dinputs) in one pass of compiled C: who computes a loss, the loading of libraries, and autograd's view of them.

Written by ibsym beside the losses that use it, the same for all of them. A loss that finds this file and its own C source calls
:func:`one_pass`; whatever stands in the way of compiled code, the loss runs as its tensor expression, with one notice that says why.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import hashlib
import linecache
import operator
import os
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .libraries import for_one_process, library_path, tell

GPU = "cuda"
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HALVES = (torch.float16, torch.bfloat16)
Way = torch.dtype | str  # who computes a loss: C in one precision, or kernels on a GPU

THREADED = [True]  # a forked child has no threads but its own
os.register_at_fork(after_in_child=THREADED.clear)
PLAIN = (Tensor, torch.nn.Parameter)
KIND = operator.attrgetter("__class__", "shape", "dtype", "layout", "device", "requires_grad")
IS_DENSE, IS_NEGATED, IS_INFERENCE = Tensor.is_contiguous, Tensor.is_neg, Tensor.is_inference
ACTIVE = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
MODES = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
DISTRIBUTED = torch.distributed.is_initialized if torch.distributed.is_available() else lambda: False
Check = Callable[..., list[Tensor]]
Made = Callable[[Tensor, dict[str, Tensor]], Any]
TOLD: list[Any] = []  # whose rows are not the whole batch, and that was said


def one_pass(where: Path, digests: Mapping[str, str], inputs: Sequence[Any], output: Made) -> OnePass:
    """The pass of the C source beside a module; ``inputs`` as it declares them, ``output`` makes its result.

    Where the module names no source, a pass that always leaves the loss to its expression.
    """
    kernels = functools.partial(_beside, where, digests, ".triton.py")
    return OnePass(_beside(where, digests, ".c"), where.stem, inputs, output, kernels)


def bundled_pass(files: Mapping[str, str], inputs: Sequence[Any], output: Made) -> OnePass:
    """The pass of the C source among the texts that a module holds, if there is one."""
    stem = next(iter(files)).partition(".")[0]
    held = {name.removeprefix(stem): text for name, text in files.items()}
    return OnePass(held.get(".c", ""), stem, inputs, output, lambda: held.get(".triton.py", ""))


def _beside(where: Path, digests: Mapping[str, str], ending: str) -> str:
    """The text beside a module whose name ends so, which must be as it was written; nothing where the module names none."""
    name = next((name for name in digests if name.endswith(ending)), "")
    if not name:
        return ""
    path = where.with_name(name)
    text = path.read_text("utf-8") if path.is_file() else ""
    if hashlib.sha256(text.encode()).hexdigest()[:16] != digests[name]:
        raise ImportError(f"{path} is missing, damaged or from another version")
    return text


class OnePass:
    """A loss's output, by compiled code or its expression; ``right`` holds kinds and sizes of what was checked, and who computes it.

    What is done around a pass takes as long as the pass of a small batch: calls of a kind are prepared once, as `Ready`.
    """

    launches: Any = None  # what runs kernels on a GPU
    graphs: Any = None  # what stands for kernels where torch.compile or torch.export traces

    def __init__(self, source: str, stem: str, inputs: Sequence[Any], output: Made, kernels: Callable[[], str] = lambda: ""):
        self.source, self.stem, self.output, self.kernels = source, stem, output, kernels
        self.inputs = tuple((i.name, tuple(i.shape)) for i in inputs)
        self.known: dict[Way, Any] = {}
        self.right: dict[Any, Way | Ready | None] = {}
        self.in_graph = self.graphs() if self.graphs and (INTERPRETED or torch.cuda.is_available()) else None

    def __call__(self, loss: Any, given: list[Tensor], checked: Check) -> Any:
        """The output, differentiable."""
        if self.in_graph is not None and torch.compiler.is_compiling():
            return self.in_graph(loss, given, checked)
        if loss.BATCH_COUPLED and DISTRIBUTED():
            warn_alone(loss)
        if torch._C._get_tracing_state() is not None:
            return loss.expression(*checked(loss.INPUTS, given, None, getattr(loss, "SYMBOLS", ())))
        kind = None
        try:
            known = self.right[kind := tuple(map(KIND, given))]
        except (AttributeError, KeyError):  # of kinds and sizes that were not here before, or no tensors
            given, known = self.known_now(loss, given, checked)
        if known is None:
            return self.by_expression(loss, given)
        if type(known) is Ready and (output := known(loss, given)) is not None:
            return output
        way = known.precision if isinstance(known, Ready) else known
        output = self.passed(loss, given, way)
        if isinstance(known, torch.dtype) and kind in self.right:
            if (library := self.known.get(known, self)) is None:
                self.right[kind] = None  # nothing was compiled: such go to the expression at once
            elif output is not None and not hasattr(loss, "_rest"):
                self.right[kind] = Ready(library, known, given, self.output)
        if output is None and way == GPU:
            given = checked(loss.INPUTS, given, None, getattr(loss, "SYMBOLS", ()))
        return self.by_expression(loss, given) if output is None else output

    def by_expression(self, loss: Any, given: Sequence[Tensor]) -> Any:
        """The output of the expression; an error that names the input that holds no class."""
        try:
            return loss.expression(*given)
        except (IndexError, RuntimeError) as error:
            held = {name: t for (name, _), t in zip(self.inputs, given, strict=True) if not t.is_floating_point()}
            if not held or "out of bounds" not in str(error):
                raise
            said = ", ".join(f"{name} has classes from {t.min()} to {t.max()}" for name, t in held.items())
            raise IndexError(f"{said}, and {error}\n  write: classes from 0 to K - 1, of rows that have one") from error

    def known_now(self, loss: Any, given: list[Tensor], checked: Check) -> tuple[list[Tensor], Way | None]:
        """The arguments, checked, and who computes the loss of such; plain ones are known from then on. Kernels raise half precision."""
        found = checked(loss.INPUTS, given, None, getattr(loss, "SYMBOLS", ()))
        together(self.inputs, given)
        way = GPU if _on_gpu(given) else _precision(found) if self.source else None
        found = given if way == GPU else found
        kept = all(map(operator.is_, found, given)) and all(type(t) in PLAIN for t in given)
        if kept and len(self.right) < 1000 and not _transformed():
            self.right[tuple(map(KIND, given))] = way
        return found, way

    def passed(self, loss: Any, given: Sequence[Tensor], way: Way) -> Any:
        """The output of the pass; None where compiled code may not run or declines."""
        total, each = loss.reduction == "sum", loss.reduction == "none"
        if self.known.get(way, self) is None or not (total or each or loss.reduction == "mean") or _transformed():
            return None
        learning = torch.is_grad_enabled()
        if any(map(IS_NEGATED, given)) or (learning and any(map(IS_INFERENCE, given))):
            return None  # autograd keeps no tensor of inference; the expression may not need to
        library = self.known[way] if way in self.known else self.library(way)
        parameters = [] if library is None else [getattr(loss, name) for name in library.parameters]
        if library is None or any(isinstance(p, Tensor) and p.requires_grad for p in parameters):
            return None  # a parameter that learns
        values = [float(p) for p in parameters]
        dense = [t if t.is_contiguous() else t.contiguous() for t in given]
        learning = learning and any(dense[k].requires_grad for k in library.differentiated)
        if each and (learning or way == GPU or not library.rows):
            return None
        if learning:
            for k in library.passive:
                dense[k] = dense[k].detach() if dense[k].requires_grad else dense[k]
            call = [library, loss, values, total, [t.requires_grad for t in dense], None]
            value = _Differentiable.apply(call, *dense)
            terms = call[-1]
        elif each:
            value, terms = library.each(dense, values)
        else:
            value, terms, _ = library.run(dense, values, total, ())
        if value is None:
            return None
        named = dict(zip(library.terms, terms, strict=True))
        if (others := getattr(library, "left", None) or getattr(type(loss), "_rest", None)) is not None:
            rest = by_name(others, loss, given)
            value, named = value + rest.loss, {**named, **rest.terms}
        return self.output(value, named)

    def library(self, way: Way) -> Any:
        """The compiled pass in one precision, built at first use, or the kernels; None, and a notice, where that cannot be."""
        try:
            if os.environ.get("IBSYM_NATIVE") == "0":
                found = None
            elif isinstance(way, str):
                text = self.kernels()
                found = self.launches(defined(text, f"{self.stem}.triton.py"), [n for n, _ in self.inputs]) if text else None
            else:
                real = "float" if way is torch.float32 else "double"
                found = loaded(self.source, self.stem, real, self.inputs)
        except Exception as error:
            tell(f"no compiled code of {self.stem}: {error}".rstrip())
            found = None
        self.known[way] = found
        return found


class Ready:
    """The output of a pass in memory for tensors of one kind and size, whose gradients are wanted alike; None where a call is unusual."""

    def __init__(self, library: Library, precision: torch.dtype, given: Sequence[Tensor], output: Made):
        self.library, self.precision, self.output = library, precision, output
        self.sizes = library.sizes(given)
        self.wanted = tuple(t.requires_grad for t in given)
        self.learns = any(self.wanted)
        self.usual = not any(self.wanted[k] for k in library.passive)

    def __call__(self, loss: Any, given: Sequence[Tensor]) -> Any:
        library, reduction = self.library, loss.reduction
        if not self.usual or (reduction != "mean" and reduction != "sum") or _transformed():
            return None
        if not all(map(IS_DENSE, given)) or any(map(IS_NEGATED, given)):
            return None
        parameters = [getattr(loss, name) for name in library.parameters] if library.parameters else ()
        if parameters and any(isinstance(p, Tensor) for p in parameters):
            return None
        if self.learns and torch.is_grad_enabled():
            call = [library, loss, parameters, reduction == "sum", self.wanted, self.sizes]
            try:
                value = AT_ONCE(call, *given)
            except RuntimeError:  # tensors of inference, or those that torch.func has left behind
                return None
            terms = call[-1]
        else:
            value, terms, _ = library.run(given, parameters, reduction == "sum", (), self.sizes)
        return None if value is None else self.output(value, dict(zip(library.terms, terms, strict=True)))


def by_name(function: Any, loss: Any, given: Sequence[Tensor]) -> Any:
    """What a function of a loss makes of those arguments that it takes; half precision is raised."""
    found = {entry.name: t.float() if t.dtype in HALVES else t for entry, t in zip(loss.INPUTS, given, strict=True)}
    return function(loss, *(found[name] for name in function.__code__.co_varnames[1 : function.__code__.co_argcount]))


def defined(text: str, name: str) -> dict[str, Any]:
    """What a text of Python defines; kept where kernels are read from."""
    place = f"<{name} {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
    exec(compile(text, place, "exec"), space := {"__name__": name.partition(".")[0]})
    return space


def together(inputs: Sequence[tuple[str, tuple[str, ...]]], given: Sequence[Any]) -> None:
    """An error that names the first tensor that is elsewhere than those before it; a number on the CPU goes with all."""
    seen: dict[torch.device, str] = {}
    for (name, _), tensor in zip(inputs, given, strict=True):
        if isinstance(tensor, Tensor) and (tensor.dim() or not tensor.is_cpu):
            seen.setdefault(tensor.device, name)
    if len(seen) > 1:
        (there, other), (here, own) = list(seen.items())[:2]
        raise ValueError(f"{own} is on {here}, and {other} is on {there}\n  write: {own}.to({other}.device)")


def warn_alone(loss: Any) -> None:
    """One warning, where each of several ranks takes its own rows for the whole batch."""
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    ranks = torch.distributed.get_world_size() if several else 1
    if ranks > 1 and not TOLD:
        TOLD.append(loss)
        why = f"{', '.join(loss.BATCH_COUPLED)} compares the rows of one of {ranks} ranks alone"
        warnings.warn(f"{why}\n  write: {type(loss).__name__}(group=torch.distributed.group.WORLD)", stacklevel=6)


# ------------------------------------------------------------------------------------------------ calls


def _precision(given: Sequence[Tensor]) -> torch.dtype | None:
    """float32 or float64, where compiled code may take these: plain tensors in memory, of one precision."""
    if any(type(t) not in PLAIN or not t.is_cpu or t.layout is not torch.strided or not t.numel() for t in given):
        return None
    kinds = {t.dtype for t in given} - {torch.int64}
    return kinds.pop() if kinds in ({torch.float32}, {torch.float64}) else None


def _on_gpu(given: Sequence[Tensor]) -> bool:
    """Whether kernels may take these: plain tensors on one GPU, or on this machine where Triton interprets."""
    place = given[0].device
    if not (place.type == GPU or (place.type == "cpu" and INTERPRETED)):
        return False
    for tensor in given:
        if type(tensor) not in PLAIN or tensor.device != place or tensor.layout is not torch.strided or not tensor.numel():
            return False
        if tensor.is_floating_point() and tensor.dtype is not torch.float32 and tensor.dtype not in HALVES:
            return False
    return True


def _transformed() -> bool:
    """Whether torch.func, forward-mode differentiation or a dispatch mode is at work; True where torch does not tell."""
    return bool(forward_ad._current_level >= 0 or ACTIVE() or MODES() > 0)


class Library:
    """A compiled pass in one precision. It says itself what it takes, in two strings. What it leaves is a method of the loss.

    ``fields`` are those of its structure of arguments, in order: inputs, their gradients, their numbers of elements, lengths of
    axes, parameters, where each row's loss is added; then whether the loss is a sum, the number of threads, and where the loss and
    its terms go.
    """

    def __init__(self, compiled: ctypes.CDLL, precision: torch.dtype, inputs: Sequence[tuple[str, tuple[str, ...]]]):
        fields, terms = (ctypes.c_char_p.in_dll(compiled, name).value for name in ("fields", "terms"))
        assert fields is not None and terms is not None  # noqa: PT018  of one library
        self.terms = tuple(terms.decode().split("\n"))
        place = {name: k for k, (name, _) in enumerate(inputs)}
        words = fields.decode().split()
        self.pointers = [place[w[3:]] for w in words if w.startswith("in_")]
        self.differentiated = [place[w[2:]] for w in words if w.startswith("d_")]
        self.passive = [k for k in range(len(inputs)) if k not in self.differentiated]
        self.counted = [place[w[2:]] for w in words if w.startswith("n_")]
        self.axes = [_axis(w[5:], inputs) for w in words if w.startswith("size_")]
        self.parameters = [w[10:] for w in words if w.startswith("parameter_")]
        self.rows = [_axis(w[5:], inputs) for w in words if w.startswith("each_")]
        pointers = len(self.pointers) + len(self.differentiated)
        self.none, self.numbers = (False,) * len(inputs), range(1 + len(self.terms))
        layout = (
            f"{pointers}P{len(self.counted) + len(self.axes)}q{len(self.parameters)}d{len(self.rows)}P2q{len(self.numbers)}P"
        )
        self.pack = struct.Struct(layout).pack
        self.number = torch.empty((), dtype=precision, device="cpu")
        self.function = compiled["fused"]
        self.function.argtypes, self.function.restype = [ctypes.c_char_p], ctypes.c_int

    def sizes(self, given: Sequence[Tensor]) -> tuple[int, ...]:
        """Numbers of elements and lengths of axes."""
        return (*[given[k].numel() for k in self.counted], *[given[k].size(axis) for k, axis in self.axes])

    def run(
        self,
        given: Sequence[Tensor],
        parameters: Sequence[float],
        total: bool,
        wanted: Sequence[bool],
        sizes: Sequence[int] | None = None,
        each: Tensor | None = None,
    ) -> tuple[Tensor | None, Sequence[Tensor], list[Tensor | None]]:
        """Loss, terms and a gradient for each tensor that wants one; no loss where the code declines, as the expression then says why.

        ``each`` is the place of each row's loss, where that is wanted.
        """
        gradients = [torch.empty_like(t) if w else None for t, w in zip(given, wanted or self.none, strict=True)]
        numbers = [torch.empty_like(self.number) for _ in self.numbers]
        arguments = self.pack(
            *[given[k].data_ptr() for k in self.pointers],
            *[0 if (g := gradients[k]) is None else g.data_ptr() for k in self.differentiated],
            *(sizes or self.sizes(given)),
            *parameters,
            *[0 if each is None else each.data_ptr() for _ in self.rows],
            total,
            torch.get_num_threads() if THREADED else 1,
            *map(Tensor.data_ptr, numbers),
        )
        return (None if self.function(arguments) else numbers[0]), numbers[1:], gradients

    def each(self, given: Sequence[Tensor], parameters: Sequence[float]) -> tuple[Tensor | None, Sequence[Tensor]]:
        """The loss of each row, and the terms' means; no gradients."""
        k, axis = self.rows[0]
        each = torch.zeros(given[k].size(axis), dtype=torch.float64)
        loss, terms, _ = self.run(given, parameters, False, (), None, each)
        return None if loss is None else each.to(loss.dtype), terms

    def slopes(
        self, given: Sequence[Tensor], parameters: Sequence[float], total: bool, wanted: Sequence[bool], upstream: Tensor
    ) -> list[Tensor | None]:
        """The gradients once more, times what comes from above."""
        return self.scaled(self.run(given, parameters, total, wanted)[2], upstream)

    def scaled(self, gradients: list[Tensor | None], upstream: Tensor) -> list[Tensor | None]:
        """Gradients times what comes from above."""
        return gradients if _is_one(upstream) else [None if g is None else g * upstream for g in gradients]


def _axis(name: str, inputs: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[int, int]:
    """An input that has the axis, and its place there, from the right."""
    for k, (_, shape) in enumerate(inputs):
        if name in shape:
            return k, shape.index(name) - len(shape)
    raise LookupError(f"no input has the axis {name}")


class _Differentiable(torch.autograd.Function):
    """The gradients are known once the loss is; a second derivative goes through the expression, so it is never a constant.

    A call tells who computes what: the library, the loss, its parameters, whether it is a sum, which gradients are wanted, sizes where
    they are known; in their place it brings back the terms.
    """

    @staticmethod
    def forward(ctx, call, *given):  # type: ignore[no-untyped-def]
        library, loss, parameters, total, wanted, sizes = call
        known = () if sizes is None else (sizes,)
        value, call[-1], ctx.gradients = library.run(given, parameters, total, wanted, *known)
        if value is not None:  # terms are no output: nothing differentiates them
            ctx.then = library, loss, parameters, total
            ctx.save_for_backward(*given)
        return value

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        given = ctx.saved_tensors
        library, loss, parameters, total = ctx.then
        if torch.is_grad_enabled():
            own = [t.view_as(t) for t in given]  # of this node alone: arguments that depend on one another count once
            function = getattr(library, "kept", None) or type(loss).expression
            value = by_name(function, _at(loss, library, parameters, total), own).loss
            wanted = [k for k, is_needed in enumerate(ctx.needs_input_grad[1:]) if is_needed]
            found = torch.autograd.grad(value, [own[k] for k in wanted], upstream, create_graph=True, allow_unused=True)
            slopes = dict(zip(wanted, found, strict=True))
            return (None, *map(slopes.get, range(len(given))))
        gradients, ctx.gradients = ctx.gradients, None  # given away: whoever has them now may edit them
        if not gradients:
            return (None, *library.slopes(given, parameters, total, ctx.needs_input_grad[1:], upstream))
        return (None, *library.scaled(gradients, upstream))


AT_ONCE = super(torch.autograd.Function, _Differentiable).apply  # does not look at each tensor again


def _at(loss: Any, library: Any, parameters: Sequence[float], total: bool) -> Any:
    """The loss as it was at its forward: parameters, reduction; without the terms that the pass left to others."""
    then = copy.copy(loss)
    then.__dict__.update(zip(library.parameters, parameters, strict=True))
    then.__dict__["reduction"] = "sum" if total else "mean"
    if hasattr(loss, "_rest"):
        nothing = type("Nothing", (), {"loss": 0.0, "terms": dict.fromkeys(library.terms, torch.zeros(()))})
        then.__dict__["_rest"] = lambda *_, **__: nothing
    return then


def _is_one(upstream: Tensor) -> bool:
    """Whether gradients may be given back as they are; a batch of upstream gradients has no single number."""
    try:
        return upstream.item() == 1
    except RuntimeError:
        return False


def loaded(source: str, stem: str, real: str, inputs: Sequence[tuple[str, tuple[str, ...]]]) -> Library:
    """The library of a source in one precision, from the cache or built now."""
    path = library_path(source, stem, real)
    try:
        return Library(ctypes.CDLL(str(path)), torch.float32 if real == "float" else torch.float64, inputs)
    finally:
        if for_one_process(path):  # once loaded, it needs no name
            path.unlink(missing_ok=True)
