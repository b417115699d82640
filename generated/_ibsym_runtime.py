"""(loss, dloss/dinputs) in one pass of compiled C: who computes a loss, the loading of libraries, and autograd's view of them.

Written by ibsym beside the losses that use it, the same for all of them. A loss that finds this file and its own C source calls
:func:`one_pass`; whatever stands in the way of compiled code, the loss runs as its tensor expression, with one notice that says why.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
import hashlib
import importlib
import itertools
import linecache
import logging
import math
import operator
import os
import platform
import shlex
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import forward_ad

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


# -------------------------------------------------------------------------------------------- libraries
#
# C to a library in the cache, built once: whole or not at all, by name and content, and never from where others may write.

SECONDS = float(os.environ.get("IBSYM_BUILD_SECONDS") or 120)
"""How long a compiler may take."""

FLAGS = (
    ("-O3", "-march=native", "-fopenmp", "-DSIMD"),
    ("-O3", "-march=native", "-fopenmp-simd", "-DSIMD"),
    ("-O3",),
)
"""What is tried, in this order: threads and vector instructions, vector instructions, plain C."""

PRIVATE = "ibsym-private-"


@functools.cache
def folder() -> Path:
    """The cache: $IBSYM_CACHE_DIR, $XDG_CACHE_HOME/ibsym or ~/.cache/ibsym; where it cannot be trusted, a private folder and a notice."""
    try:
        chosen = os.environ.get("IBSYM_CACHE_DIR")
        home = os.environ.get("XDG_CACHE_HOME")
        path = Path(chosen) if chosen else (Path(home) if home else Path.home() / ".cache") / "ibsym"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if why := distrusted(path, stat.S_ISDIR):
            raise PermissionError(why)
        return path
    except (OSError, RuntimeError) as error:
        return private(str(error))


@functools.cache
def private(why: str) -> Path:
    """A folder of this process alone, and a notice that says why."""
    path = Path(tempfile.mkdtemp(prefix=PRIVATE))
    logging.getLogger("ibsym").warning(
        "compiled losses are not kept: %s\n  write: IBSYM_CACHE_DIR=<a folder of your own that nobody else may write to>", why
    )
    import atexit

    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def for_one_process(path: Path) -> bool:
    """Whether a library is not kept."""
    return path.parent.name.startswith(PRIVATE)


def distrusted(path: Path, kind: Callable[[int], bool]) -> str:
    """Why code from here may not be run: a link, another's, or writable by others; "" where it may."""
    found = os.lstat(path)
    if not kind(found.st_mode):
        return f"{path} is a link, or not of the kind expected"
    if hasattr(os, "geteuid"):
        if found.st_uid not in (os.geteuid(), 0):
            return f"{path} belongs to another user"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others may write to {path} (chmod go-w)"
    return ""


def library_path(source: str, stem: str, real: str) -> Path:
    """The library's file. Its name tells source, compiler, flags and processor, and what it holds: a damaged one is built again, once."""
    compiler = shlex.split(os.environ.get("CC", "")) or [
        shutil.which("cc") or shutil.which("gcc") or shutil.which("clang") or "cc"
    ]
    version = _printed([*compiler, "--version"])
    trouble: Exception = OSError("no compiler")
    for flags in FLAGS:
        options = [*flags, "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", f"-DREAL={real}"]
        options += ["-DDOUBLE"] if real == "double" else []
        identity = "\0".join((source, *compiler, *options, processor())).encode() + version
        name = f"{stem}_{real}_{hashlib.sha256(identity).hexdigest()[:32]}"
        found = kept(folder(), name)
        if found is not None:
            return found
        try:
            return built(folder(), name, source, [*compiler, *options])
        except PermissionError as error:  # a folder that may be read only
            return built(private(str(error)), name, source, [*compiler, *options])
        except OSError as error:
            if error.errno is not None:  # of the disk, and no word of the compiler
                return built(private(str(error)), name, source, [*compiler, *options])
            trouble = error
    raise trouble


def kept(where: Path, name: str) -> Path | None:
    """The library of this name in the cache, if it is ours and holds what its name says; damaged ones are removed."""
    for path in sorted(where.glob(f"{name}_*.so")):
        try:
            if why := distrusted(path, stat.S_ISREG):
                logging.getLogger("ibsym").warning("a compiled loss is not trusted and built again: %s", why)
            elif digest(path.read_bytes()) == path.stem.rpartition("_")[2]:
                return path
            path.unlink()
        except OSError:
            continue
    return None


def built(where: Path, name: str, source: str, command: Sequence[str]) -> Path:
    """A library compiled into the cache under its name and its content's digest: whole or not at all, several processes at once too."""
    with tempfile.TemporaryDirectory(dir=where) as scratch:
        text, result = Path(scratch) / "loss.c", Path(scratch) / "loss.so"
        text.write_text(source, encoding="utf-8")
        _printed([*command, str(text), "-o", str(result), "-lm"])
        path = where / f"{name}_{digest(result.read_bytes())}.so"
        result.chmod(0o700)
        os.replace(result, path)
    return path


def digest(data: bytes) -> str:
    """A content's name."""
    return hashlib.sha256(data).hexdigest()[:32]


def _printed(command: Sequence[str]) -> bytes:
    """What a command writes; an error with its own words where it fails."""
    with tempfile.TemporaryFile() as words:  # a file: nobody waits for what a command's own children keep open
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT, timeout=SECONDS, check=False
        )
        words.seek(0)
        said = words.read()
    if done.returncode:
        told = said.decode(errors="replace").strip()[:500]
        raise OSError(f"{shlex.join(command)} fails with status {done.returncode}{f': {told}' if told else ''}")
    return said


@functools.cache
def processor() -> str:
    """What tells this machine's instructions from another's."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join(sorted(set(told))) or platform.platform() + platform.processor()


def tell(why: str) -> None:
    """One notice in a process."""
    log = logging.getLogger("ibsym")
    if not getattr(log, "told", False):
        log.told = True  # type: ignore[attr-defined]
        log.warning(
            "losses run as plain PyTorch, which is right and slower: %s\n"
            "  write: CC=<a C compiler> and IBSYM_CACHE_DIR=<a folder of your own>; or IBSYM_NATIVE=0, which asks for no compiled code",
            why,
        )

# --------------------------------------------------------------------------------------------- launches
#
# Launches of kernels that are repeated: the same ones, with the addresses of other tensors.


class Declined(Exception):
    """What kernels do not take; the expression computes it, or says what is wrong."""


class Launch(NamedTuple):
    """A kernel as it was launched: what runs it, and its arguments."""

    run: Any
    values: list[Any]


class Tape(NamedTuple):
    """Launches that are repeated with other tensors of the same kinds: where each argument's address comes from."""

    launches: list[tuple[Any, list[Any], list[tuple[int, int, int]]]]
    scratch: int

    def play(self, places: list[int], room: Tensor) -> None:
        """Runs them all; `places` are the addresses of arguments, gradients, the number above and the results."""
        work = room.new_empty(self.scratch) if self.scratch else room
        stream = torch.cuda.current_stream().cuda_stream
        bases = [*places, work.data_ptr()]
        for run, values, addressed in self.launches:
            arguments = list(values)
            for at, base, offset in addressed:
                arguments[at] = bases[base] + offset
            run(*arguments, stream=stream)


def taped(launches: Sequence[Launch | None], tensors: Sequence[Tensor | None], own: int) -> Tape | None:
    """The launches by where their arguments lie: in one of the first `own` tensors, or in the scratch that follows them.

    None where tensors share memory, since then there is no telling.
    """
    spans: list[tuple[int, int, int, int]] = []  # from, to, base, offset of a byte
    offset = 0
    for k, tensor in enumerate(tensors):
        if tensor is not None and tensor.numel():
            size = tensor.numel() * tensor.element_size()
            spans.append((tensor.data_ptr(), tensor.data_ptr() + size, min(k, own), offset if k >= own else 0))
            if k >= own:
                offset += blocks_of(size, 64) * 64
    spans.sort()
    if any(first[1] > second[0] for first, second in itertools.pairwise(spans)) or any(span[0] % 16 for span in spans):
        return None
    found = []
    for launch in launches:
        if launch is None:
            return None
        addressed = []
        for at, value in enumerate(launch.values):
            if isinstance(value, Tensor):
                place = value.data_ptr()
                span = next((s for s in spans if s[0] <= place < s[1]), None)
                if span is None:
                    return None
                addressed.append((at, span[2], span[3] + place - span[0]))
        found.append((launch.run, [None if isinstance(v, Tensor) else v for v in launch.values], addressed))
    return Tape(found, offset // 4)


def side_by_side(places: Sequence[int], like: Sequence[Tensor], found: list[Tensor | None]) -> None:
    """Room for gradients, side by side for each precision, so that one launch scales them."""
    for dtype in {like[k].dtype for k in places}:
        mine = [k for k in places if like[k].dtype is dtype]
        sizes = [blocks_of(like[k].numel(), 16) * 16 for k in mine]
        room = like[mine[0]].new_empty(sum(sizes))
        for k, part in zip(mine, room.split(sizes), strict=True):
            found[k] = part[: like[k].numel()].view(like[k].shape)


def blocks_of(number: int, block: int) -> int:
    """How many blocks hold a number of things."""
    return -(-number // block)


def power_above(number: int) -> int:
    """The power of two that is not below a number."""
    return 1 << (number - 1).bit_length()

# ---------------------------------------------------------------------------------------------- weighed
#
# Logarithms over draws and exact sums over a class, by kernels: what weighs a cell, then the gradients by its share.
#
# A cell is a draw and a row, or a draw, a class and a row. Of small tables, of numbers for each cell, and in double precision.

MOST_CLASSES = 4096
"""The most classes of a row of logits that one program holds."""
TILE = (1024, 128, 4)
"""Elements that one program takes at a time, at most how many of them of one cell, and its warps."""


class Inside(NamedTuple):
    """A loop over the elements of cells: its kernel, its operands by their axes before the event, and those that learn."""

    kernel: Any
    operands: Mapping[str, Sequence[str]]
    learned: Sequence[str]
    event: int
    factors: Sequence[float]


class Weighed:
    """The part of a pass that weighs."""

    given: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    rows: float
    plain: bool
    upstream: Tensor
    means: list[tuple[Tensor, int, float]]
    run: Callable[..., None]
    parts: Callable[..., Tensor]
    again: Callable[[str], bool]
    add: Callable[[str, Tensor], None]

    def draws(self, kernel: Any, loops: Sequence[tuple[Any, ...]], constant: float, rows: int, weight: float | None) -> None:
        """The mean over rows of log 1/S sum_s e^w; `weight`: of that mean in the loss."""
        inner = [Inside(*loop) for loop in loops]
        lengths = {"draw": self.drawn(inner, {"row": rows}), "row": rows}
        values, shares = (self.parts(math.prod(lengths.values()), torch.float64) for _ in range(2))
        self.cells(inner, lengths, values, shares, constant, None, values_too=True)
        block = 128
        blocks = blocks_of(rows, block)
        sums, draws = self.parts(blocks), lengths["draw"]
        self.run(
            kernel, (blocks, 1), 4, values=values, shares=shares, sums=sums, rows=rows, draws=draws,
            log_draws=math.log(draws), BLOCK=block,
        )  # fmt: skip
        if weight is not None:
            self.cells(inner, lengths, values, shares, constant, weight / rows * self.rows, values_too=False)
        self.means.append((sums, blocks, rows))

    def mixed(
        self,
        softmax: Any,
        kernel: Any,
        logits: str,
        loops: Sequence[tuple[Any, ...]],
        constant: float,
        classes: int,
        rows: int,
        weight: float | None,
    ) -> None:
        """The mean over draws and rows of sum_k softmax(logits)_k w_k; `weight`: of that mean in the loss."""
        if classes > MOST_CLASSES:
            raise Declined("rows that no program holds")
        inner, table = [Inside(*loop) for loop in loops], self.given[logits]
        count = table.numel() // classes
        draws = max(count // rows, self.drawn(inner, {"class": classes, "row": rows}))
        lengths = {"draw": draws, "class": classes, "row": rows}
        values, shares = (self.parts(n, torch.float64) for n in (draws * rows * classes, table.numel()))
        width = power_above(classes)
        block = max(1, min(32, TILE[0] // width))
        blocks = blocks_of(count, block)
        shape: dict[str, Any] = {"count": count, "rows": rows, "classes": classes, "ROWS": block, "WIDTH": width}
        self.run(softmax, (blocks, 1), 4, logits=table, shares=shares, **shape)
        scale = None if weight is None else weight / (draws * rows) * self.rows
        self.cells(inner, lengths, values, shares, constant, scale, values_too=True)
        d = None if weight is None else self.gradients[logits]
        sums = self.parts(blocks)
        self.run(
            kernel, (blocks, 1), 4, shares=shares, values=values, d=table if d is None else d, sums=sums, up=self.upstream,
            draws=draws * rows // count, scale=scale or 0.0, WANTS=d is not None,
            ADDS=d is not None and self.again(logits), **shape,
        )  # fmt: skip
        self.means.append((sums, blocks, draws * rows))

    def drawn(self, loops: Sequence[Inside], others: Mapping[str, int]) -> int:
        """How many draws there are: an operand may lack their axis."""
        return (
            max(
                self.given[name].numel() // (loop.event * math.prod(others[a] for a in axes if a != "draw"))
                for loop in loops
                for name, axes in loop.operands.items()
                if "draw" in axes
            )
            if any("draw" in axes for loop in loops for axes in loop.operands.values())
            else 1
        )

    def cells(
        self,
        loops: Sequence[Inside],
        lengths: Mapping[str, int],
        values: Tensor,
        shares: Tensor,
        constant: float,
        scale: float | None,
        *,
        values_too: bool,
    ) -> None:
        """What weighs every cell, and, where there is a scale, the gradients by its share."""
        number = math.prod(lengths.values())
        sizes = {{"class": "classes", "row": "rows"}[a]: n for a, n in lengths.items() if a != "draw"}
        for first, loop in enumerate(loops):
            block = min(power_above(loop.event), TILE[1])
            each = TILE[0] // block
            arguments: dict[str, Any] = {f"factor_{m}": float(factor) for m, factor in enumerate(loop.factors)}
            repeated: list[tuple[str, Tensor]] = []
            for name, axes in loop.operands.items():
                tensor = self.given[name]
                own = tensor.numel()
                if "draw" in axes:
                    arguments[f"DRAWN_{name}"] = int(own > loop.event * math.prod(lengths[a] for a in axes if a != "draw"))
                arguments |= {f"in_{name}": tensor, f"n_{name}": own}
                if name in loop.learned:
                    d = self.gradients[name] if scale is not None else None
                    wants, repeats = d is not None, own < number * loop.event
                    if d is not None and repeats:
                        d = self.parts(number * loop.event)
                        repeated.append((name, d))
                        self.plain = False
                    arguments |= {f"d_{name}": tensor if d is None else d, f"WANTS_{name}": wants}
                    arguments[f"ADDS_{name}"] = wants and not repeats and self.again(name)
            arguments |= sizes | {"values": values, "shares": shares, "n_shares": shares.numel(), "up": self.upstream}
            arguments |= {"cells": number, "event": loop.event, "constant": 0.0 if first else float(constant)}
            arguments |= {"scale": scale or 0.0, "VALUES": values_too, "ADDS": first > 0, "CELLS": each, "BLOCK": block}
            used = {name: arguments[name] for name in loop.kernel.arg_names}
            self.run(loop.kernel, (blocks_of(number, each), 1), TILE[2], **used)
            for name, d in repeated:
                self.add(name, self.folded(d, name, loop, lengths))

    def folded(self, d: Tensor, name: str, loop: Inside, lengths: Mapping[str, int]) -> Tensor:
        """A gradient by cells, added up over the axes that an operand does not have."""
        axes, own = loop.operands[name], self.given[name].numel()
        without = [k for k, axis in enumerate(lengths) if axis not in axes]
        if "draw" in axes and own == loop.event * math.prod(lengths[a] for a in axes if a != "draw"):
            without = sorted({0, *without})
        d = d.view(*lengths.values(), loop.event)
        return (d.sum(without) if without else d).reshape(-1, own).sum(0)

# ------------------------------------------------------------------------------------------------ small
#
# Means over small tensors, tables of classes and one number a row: by PyTorch's own operations, each with its gradient.

Law = tuple[str, bool] | None
"""Shares of classes: by an input's name, and whether it is a class index; or equal ones."""
Placed = tuple[str, Sequence[str]]
"""A table's name and its axes, its own class last."""


class Small:
    """The part of a pass that needs no kernels of its own."""

    given: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    rows: float
    plain: bool
    upstream: Tensor
    means: list[tuple[Tensor, int, float]]
    add: Callable[[str, Tensor], None]
    parts: Callable[..., Tensor]
    drawn: Callable[..., int]
    cells: Callable[..., None]

    def mean(self, value: Tensor) -> None:
        """One more mean, which is known; the launches before and after it are not all that there is to repeat."""
        self.plain = False
        self.means.append((value.double().reshape(1), 1, 1.0))

    def learned(self, name: str) -> bool:
        """Whether an input wants a gradient."""
        return self.gradients.get(name) is not None

    def by_logits(self, name: str, log_p: Tensor, slopes: Tensor) -> None:
        """Adds a gradient by logits, of that by the logarithms of their softmax."""
        self.add(name, slopes - log_p.exp() * slopes.sum(-1, keepdim=True))

    def law(self, law: Law, classes: int, like: Tensor) -> tuple[Tensor | None, Tensor]:
        """The log-probabilities of every row, where there are any, and the logarithms of the shares."""
        if law is None:
            return None, like.new_full((classes,), -math.log(classes), dtype=torch.float64)
        name, counted = law
        if counted:
            index = self.given[name].view(-1, 1)
            share = (index == torch.arange(classes, device=index.device)).double().mean(0)
            return None, torch.where(share.sum() > 1 - 0.5 / len(index), share, math.nan).log()  # a class that is none
        log_p = self.given[name].view(-1, classes).double().log_softmax(-1)
        return log_p, log_p.logsumexp(0) - math.log(len(log_p))

    def shares(self, classes: int, own: Law, others: Sequence[Law], weights: Sequence[float]) -> None:
        """The means of logarithms of shares under those of one law: sum_c r_c log m_c, 0 log 0 = 0."""
        scale = self.upstream.double() * self.rows
        slope: Any = 0.0
        log_p, log_share = self.law(own, classes, self.upstream)
        share = log_share.exp()
        for law, weight in zip(others, weights, strict=True):
            log_q, log_other = (log_p, log_share) if law == own else self.law(law, classes, self.upstream)
            values = torch.where((share != 0) | (log_other != -math.inf), log_other, 0.0)
            self.mean((share * values).sum())
            slope = slope + weight * values
            if law is not None and law != own and log_q is not None and self.learned(law[0]):
                relative = torch.where(share != 0, share * (log_q - log_other).exp(), 0.0)
                self.by_logits(law[0], log_q, relative * (weight * scale / len(log_q)))
        if own is not None and log_p is not None and self.learned(own[0]):
            self.by_logits(own[0], log_p, log_p.exp() * slope * (scale / len(log_p)))

    def bessel(self, name: str, dimensions: float, log_weight: float, moment_weight: float) -> None:
        """The means of log I_v(t) - v log t and of t I_{v+1}(t) / I_v(t), v = dimensions / 2 - 1.

        Both by the integral of `_bessel` over a grid; the slope of the ratio by the variance under it.
        """
        t, a = self.given[name].double().flatten(), (dimensions + 1) / 2
        t = torch.where(t >= 0, t, math.nan)
        u = torch.linspace(-3.7, 3.7, 96, dtype=torch.float64, device=t.device)
        y = torch.asinh(t / a).unsqueeze(-1) + 2 / math.sqrt(a) * torch.sinh(u)
        far = torch.sigmoid(-y)  # (1 - c) / 2
        exponents = a * (2 * torch.nn.functional.logsigmoid(y) - y) + torch.log(torch.cosh(u)) - 2 * far * t.unsqueeze(-1)
        share = exponents.softmax(-1)
        first = (share * far).sum(-1)
        variance = (share * (far - first.unsqueeze(-1)) ** 2).sum(-1)
        below = dimensions + t * (1 - 2 * first)
        constant = math.log(7.4 / 95 * 2 / math.sqrt(a * math.pi)) + dimensions / 2 * math.log(2) - math.lgamma(a)
        self.mean((t + exponents.logsumexp(-1) + torch.log(below) + constant).mean())
        self.mean((t * t / below).mean())
        if self.learned(name):
            slope = t / below * ((dimensions - 4 * t * t * variance) / below)
            d = (log_weight + moment_weight) * t / below + moment_weight * slope
            self.add(name, d * (self.rows / len(t)) * self.upstream)

    def class_sums(
        self,
        sizes: Mapping[str, int],
        weights: Sequence[Placed],
        logarithms: Sequence[tuple[float, str, Sequence[str]]],
        weight: float | None,
        loops: Sequence[tuple[Any, ...]] = (),
        own: str = "",
    ) -> None:
        """The mean over draws and rows of sum_k1 p(k1) sum_k2 p(k2|k1) ... w.

        ``sizes`` are those of classes, the outermost first, and of rows. w is sum_m f_m log p_m, or what ``loops`` find at draws, rows and
        the class ``own``.
        """
        order = ("draw", *sizes)
        tables: dict[Placed, Tensor] = {}
        for name, axes in (*weights, *((name, axes) for _, name, axes in logarithms)):
            lengths = [sizes.get(axis, -1) for axis in axes]  # of draws, as many as there are
            tables[name, tuple(axes)] = self.given[name].double().reshape(lengths).log_softmax(-1)

        def placed(name: str, axes: Sequence[str]) -> Tensor:
            inner = tables[name, tuple(axes)].permute([axes.index(axis) for axis in order if axis in axes])
            shape = iter(inner.shape)
            return inner.reshape([next(shape) if axis in axes else 1 for axis in order])

        inside = [k for k, axis in enumerate(order) if axis not in ("draw", "row")]
        log_share: Any = sum(placed(*table) for table in weights)
        if loops:
            values = self.at_cells(log_share.exp(), order, sizes, [Inside(*loop) for loop in loops], own, weight)
        else:
            values = sum(factor * placed(name, axes) for factor, name, axes in logarithms)
        share, values = torch.broadcast_tensors(log_share.exp(), values)
        values = torch.where(share > 0, values, 0.0)
        self.mean((share * values).sum(inside).mean())
        if weight is None:
            return
        share = share * (weight * self.rows / (share.shape[0] * share.shape[-1]) * self.upstream.double())
        slopes: dict[Placed, Any] = {}
        for factor, name, axes in (*((None, *table) for table in weights), *logarithms):
            key = name, tuple(axes)
            slopes[key] = slopes.get(key, 0.0) + (share * values if factor is None else factor * share)
        for (name, axes), slope in slopes.items():
            if self.learned(name):
                log_p = tables[name, axes]
                kept = [axis for axis in order if axis in axes]
                inner = slope.sum_to_size(placed(name, axes).shape).reshape([log_p.shape[axes.index(axis)] for axis in kept])
                self.by_logits(name, log_p, inner.permute([kept.index(axis) for axis in axes]))

    def at_cells(
        self,
        share: Tensor,
        order: Sequence[str],
        sizes: Mapping[str, int],
        loops: Sequence[Inside],
        own: str,
        weight: float | None,
    ) -> Any:
        """What loops find at every draw, class and row, by kernels, and their gradients by the share of each."""
        rows, classes, place = sizes["row"], sizes[own], order.index(own)
        draws = max(share.shape[0], self.drawn(loops, {"class": classes, "row": rows}))
        lengths = {"draw": draws, "class": classes, "row": rows}
        others = [k for k in range(1, len(order) - 1) if k != place]
        cell = (share.sum(others) if others else share).expand(-1, classes, rows).contiguous()
        values = self.parts(math.prod(lengths.values()), torch.float64)
        scale = None if weight is None else weight / (draws * rows) * self.rows
        self.cells(loops, lengths, values, cell, 0.0, scale, values_too=True)
        return values.view([{0: draws, place: classes, len(order) - 1: rows}.get(k, 1) for k in range(len(order))])

# ----------------------------------------------------------------------------------------------- tables
#
# Tables of pairs by kernels: their entries by tiles, what is read off their rows, and the gradients by rows and by columns.

WIDEST = 32768
"""The most columns of a table whose rows one program holds."""

TILES = {"table": (32, 64, 4, 4), "apart": (32, 32, 2, 4), "by_row": (32, 64, 1, 4), "by_column": (16, 32, 2, 4)}
"""Rows, columns and coordinates that one program takes at a time, and its warps: the fastest of those that were timed."""


class Tiles:
    """A kernel over tiles of a table of pairs."""

    def __init__(self, run: Any, kernel: Any, shape: tuple[int, int, int, int], rows: int, columns: int, width: int):
        self.run = run
        *tile, self.warps = shape
        tile[2] = min(tile[2], power_above(width))
        even = not (rows % tile[0] or columns % tile[1] or width % tile[2])
        self.kernel, self.tile = kernel, {**dict(zip(("BI", "BJ", "BL"), tile, strict=True)), "EVEN": even}
        down, across, along = (blocks_of(n, b) for n, b in zip((rows, columns, width), tile, strict=True))
        name = kernel.__name__
        self.grid = (down, across) if name.startswith("table") else (along, across if name.startswith("by_column") else down)
        self.number = self.grid[0] * self.grid[1]

    def __call__(self, **arguments: Any) -> None:
        """Runs it."""
        self.run(self.kernel, self.grid, self.warps, **arguments, **self.tile)


class Side(NamedTuple):
    """The values of all rows, or of all columns, of a table: the inputs that they are made of, and room for their gradient."""

    parts: Sequence[tuple[str, int]]
    points: Tensor
    slopes: Tensor | None

    def learns(self, others: dict[str, Side]) -> bool:
        """Whether this side or another wants a gradient."""
        return any(side.slopes is not None for side in (self, *others.values()))


def strata(mask: str, columns: int, total: int) -> dict[str, float]:
    """log w_ij, by which column j counts in row i's mixture: its own, the one that follows, any other."""
    if mask == "exclude":
        return {"own": -math.inf, "following": 0.0, "others": 0.0}
    left = columns - 1
    return {"own": -math.log(total), "following": math.log((total - left) / (total * left)), "others": -math.log(left)}


class Tables:
    """The part of a pass that compares pairs of rows."""

    kernels: Any
    given: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    rows: float
    plain: bool
    upstream: Tensor
    room: Tensor
    means: list[tuple[Tensor, int, float]]
    run: Callable[..., None]
    parts: Callable[..., Tensor]
    again: Callable[[str], bool]
    add: Callable[[str, Tensor], None]

    def side(self, parts: Sequence[tuple[str, int]], learns: bool) -> Side:
        """Values side by side, one point a row."""
        tensors = [self.given[name].view(-1, width) for name, width in parts]
        wants = learns and any(self.gradients[name] is not None for name, _ in parts)
        if len(parts) == 1:
            return Side(parts, tensors[0], self.gradients[parts[0][0]] if wants else None)
        self.plain = False
        rows = max(map(len, tensors))
        points = torch.cat([t.repeat(rows // len(t), 1) for t in tensors], 1)
        return Side(parts, points, torch.empty_like(points) if wants else None)

    def adds(self, side: Side) -> bool:
        """Whether a side's gradient is added to what is there: a room of its own is new."""
        return side.slopes is not None and len(side.parts) == 1 and self.again(side.parts[0][0])

    def scattered(self, side: Side) -> None:
        """A gradient by points, to the inputs that stand side by side in them."""
        if side.slopes is None or len(side.parts) == 1:
            return
        for (name, _), piece in zip(side.parts, side.slopes.split([width for _, width in side.parts], 1), strict=True):
            if self.gradients[name] is not None:
                self.add(name, piece.reshape(-1, self.given[name].numel()).sum(0))

    def pairs(
        self,
        kernels: dict[str, Any],
        row: Sequence[tuple[str, int]],
        columns: dict[str, Sequence[tuple[str, int]]],
        kinds: dict[str, float],
        learns: bool,
        pooled: bool,
        mask: str,
        total: int,
        logits: str | None = None,
        **numbers: float,
    ) -> None:
        """The means of what is read off a table of pairs: `kinds`, each with its weight in the loss; `logits`, of columns' weights."""
        rows_side = self.side(row, learns)
        sides = {name: self.side(parts, learns) for name, parts in columns.items()}
        (every, width), count = rows_side.points.shape, len(next(iter(sides.values())).points)
        rows = every if pooled else count
        if every % rows or (count < 2 and ((mask and logits is None) or "off" in kinds)):
            raise Declined("sizes that do not fit")
        counts = {
            k: every * (count - 1 if k == "off" or (k, mask) == ("mapped", "exclude") else count if k == "mapped" else 1)
            for k in kinds
        }
        read = [k for k in kinds if k != "apart"]
        if read and count > WIDEST:
            raise Declined("rows that no program holds")
        scales = {k: weight / counts[k] * self.rows for k, weight in kinds.items()}
        matrix = self.parts(rows * count) if read else self.room
        lse = self.parts(every * width).view(every, width) if "apart" in kinds else self.room
        launched = {name: Tiles(self.run, kernels[name], TILES[name], rows, count, width) for name in kernels if name in TILES}
        apart = launched["apart"].number if "apart" in kinds else 0
        sums = {k: self.parts(every // rows * apart if k == "apart" else every) for k in kinds}
        sizes = {"rows": rows, "columns": count}
        masked: dict[str, Any] = strata(mask, count, total) if mask and logits is None else {}
        wanted = rows_side.learns(sides)
        if logits is not None:
            self.plain = False
            masked, wanted = (
                {"log_weights": self.given[logits].float().log_softmax(-1)},
                wanted or self.gradients[logits] is not None,
            )
        names = [n for n in kernels["planes"].arg_names if n.startswith("p_")]
        planes = {n: self.parts(count * width) for n in names}
        own_planes = {f"w_{n}": side.points for n, side in sides.items()} | planes | {"columns": count, "width": width}
        self.run(kernels["planes"], (blocks_of(count * width, 1024), 1), 4, **own_planes, BLOCK=1024)
        row_adds = self.adds(rows_side)
        for draw in range(every // rows):
            here = slice(draw * rows, (draw + 1) * rows)
            both: dict[str, Any] = {"row": rows_side.points[here], **sizes, "width": width}
            both |= planes
            above: dict[str, Any] = {"up": self.upstream}
            if read:
                launched["table"](**both, matrix=matrix)
                read_off = {f"sums_{k}": sums[k][draw * rows :] for k in read} | {f"scale_{k}": scales[k] for k in read}
                whole = {"WANTS": wanted, "WIDTH": power_above(count)}
                warps = 4 if count <= 4096 else 8
                self.run(
                    kernels["rows"], (rows, 1), warps, matrix=matrix, **read_off, **sizes, **masked, **above, **numbers, **whole
                )
                if logits is not None and self.gradients[logits] is not None:
                    slopes = matrix.view(rows, count).sum(0)
                    self.add(logits, slopes - masked["log_weights"].exp() * slopes.sum())
            if "apart" in kinds:
                above |= {"scale_apart": scales["apart"], "lse": lse[here], **masked}
                launched["apart"](**both, **masked, lse=lse[here], sums=sums["apart"][draw * apart :])
            if read:
                above |= {"matrix": matrix}
            if rows_side.slopes is not None:
                launched["by_row"](**both, **above, d_row=rows_side.slopes.view(-1, width)[here], ADDS=row_adds)
            if any(side.slopes is not None for side in sides.values()):
                for name, side in sides.items():
                    wants = side.slopes is not None
                    above |= {f"d_{name}": side.slopes if wants else side.points, f"WANTS_{name}": wants}
                    above[f"ADDS_{name}"] = self.adds(side) if draw == 0 else wants
                launched["by_column"](**both, **above)
        for side in (rows_side, *sides.values()):
            self.scattered(side)
        self.means += [(sums[k], sums[k].numel(), counts[k]) for k in kinds]

# ---------------------------------------------------------------------------------------------- kernels
#
# (loss, dloss/dinputs) on a GPU by the Triton kernels beside a loss.
#
# One launch for the elements that share inputs, some for a table of pairs, one for the totals; nothing waits for the device.


class Kernels:
    """A loss and its gradients on a GPU, as a compiled pass elsewhere; `space` is what the file of its kernels defines."""

    def __init__(self, space: Mapping[str, Any], inputs: Sequence[str]):
        place = {name: k for k, name in enumerate(inputs)}
        self.passes, self.rescaled = space["passes"], space["rescaled"]
        self.left, self.kept = space.get("left"), space.get("kept")
        self.terms, self.parameters = space["TERMS"], space["PARAMETERS"]
        self.read = [(name, place[name]) for name in space["INPUTS"]]
        self.differentiated = [place[name] for name in space["LEARNED"]]
        self.passive = [k for k in range(len(inputs)) if k not in self.differentiated]
        self.axes = [(axis, place[name], where) for axis, name, where in space["AXES"]]
        self.ones: dict[torch.device, Tensor] = {}
        self.compiled: dict[Any, Any] = {}
        self.tapes: dict[Any, Tape] = {}

    def run(
        self,
        given: Sequence[Tensor],
        parameters: Sequence[float],
        total: bool,
        wanted: Sequence[bool],
        upstream: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor, list[Tensor | None] | None]:
        """Loss, terms, a gradient for each tensor that wants one, times what comes from above.

        float16 has too small a range for gradients that nobody has scaled: they wait until the scale is known.
        """
        first = given[self.read[0][1]]
        later = upstream is None and any(wanted[k] and given[k].dtype is torch.float16 for k in self.differentiated if wanted)
        gradients: list[Tensor | None] = [None] * len(given)
        if wanted and not later:
            side_by_side([k for k in self.differentiated if wanted[k]], given, gradients)
        if upstream is None:
            upstream = self.ones.get(first.device)
            if upstream is None:
                upstream = self.ones[first.device] = torch.ones((), device=first.device)
        room = first.new_empty(1 + len(self.terms), dtype=torch.float32)
        own = [*given, *gradients, upstream, room]
        places = [0 if t is None else t.data_ptr() for t in own]
        key = (
            tuple(wanted),
            later,
            total,
            tuple(parameters),
            upstream.dtype,
            *[(t.shape, t.dtype) for t in given],
            first.device,
        )
        known = self.tapes.get(key)
        with torch.cuda.device(first.device) if first.is_cuda else contextlib.nullcontext():
            if known is not None and not any(place % 16 for place in places):
                known.play(places, room)
                return room[0], room[1:], None if later else gradients
            sizes = {axis: given[k].shape[where] for axis, k, where in self.axes}
            named = {name: given[k] for name, k in self.read}
            slopes = {name: gradients[k] for name, k in self.read}
            here = Pass(self, named, slopes, sizes, dict(zip(self.parameters, parameters, strict=True)), total, upstream, room)
            try:
                self.passes(here)
            except Declined:
                return None, room[1:], gradients
        if here.plain:
            tape = taped(here.launches, [*own, *here.scratch], len(own))
            if tape is not None:
                if len(self.tapes) >= MOST_TAPES:
                    self.tapes.pop(next(iter(self.tapes)))
                self.tapes[key] = tape
        return room[0], room[1:], None if later else gradients

    def run_kernel(self, kernel: Any, grid: tuple[int, int], warps: int, arguments: dict[str, Any]) -> Launch | None:
        """Runs a kernel: what was compiled before for arguments of these kinds goes straight to the device."""
        values = [arguments[name] for name in kernel.arg_names]
        kinds = [
            (v.dtype, v.data_ptr() % 16, v.get_device()) if isinstance(v, Tensor) else None if type(v) is float else v
            for v in values
        ]
        key = (id(kernel), warps, *kinds)
        compiled = self.compiled.get(key)
        if compiled is None:
            compiled = kernel[grid](**arguments, num_warps=warps)
            if compiled is None:  # the interpreter's
                return None
            if len(self.compiled) < 1000:
                self.compiled[key] = compiled
            return Launch(compiled[(*grid, 1)], values)
        launch = Launch(compiled[(*grid, 1)], values)
        launch.run(*values)
        return launch

    def slopes(
        self, given: Sequence[Tensor], parameters: Sequence[float], total: bool, wanted: Sequence[bool], upstream: Tensor
    ) -> list[Tensor | None]:
        """The gradients, computed from what comes from above."""
        single = _single(upstream)
        above = upstream if single else given[0].new_ones((), dtype=torch.float32)
        gradients = self.run(given, parameters, total, wanted, above)[2]
        assert gradients is not None
        return gradients if single else [None if g is None else g * upstream for g in gradients]

    def scaled(self, gradients: Sequence[Tensor | None], upstream: Tensor) -> list[Tensor | None]:
        """Gradients times what comes from above, in place; nobody waits to learn whether that is 1."""
        if not _single(upstream):
            return [None if g is None else g * upstream for g in gradients]
        for room in {g.untyped_storage().data_ptr(): g for g in gradients if g is not None}.values():
            size = room.untyped_storage().nbytes() // room.element_size()
            flat = room.as_strided((size,), (1,), 0)
            arguments = {"d": flat, "up": upstream, "size": size, "BLOCK": 4096}
            self.run_kernel(self.rescaled, (min(blocks_of(size, 4096), 1024), 1), 8, arguments)
        return list(gradients)


def _single(upstream: Tensor) -> bool:
    """Whether this is one number, and no batch of them."""
    try:
        return upstream.data_ptr() >= 0
    except RuntimeError:
        return False


MOST_TAPES = 64
"""Kinds of calls that are known; a parameter that changes makes another."""

ELEMENTS = (1024, 4)
"""Elements that one program takes, and its warps."""

DOUBLE = (256, 4)
"""The same of formulas in double precision, whose code is long: each lane has a copy for each of its elements."""

CLASSES = (8192, 4096, 8)
"""Classes of a row that is read once; how many are taken at a time of longer rows, and the warps."""

CODES = (16, 32, 16)
"""Codes, vectors of a codebook and elements of a vector that one program compares at a time."""


class Pass(Weighed, Tables, Small):
    """One evaluation: what is read, what is written, and the means that the loss is made of."""

    def __init__(
        self,
        kernels: Kernels,
        given: dict[str, Tensor],
        gradients: dict[str, Tensor | None],
        size: dict[str, int],
        parameter: dict[str, float],
        total: bool,
        upstream: Tensor,
        room: Tensor,
    ):
        self.kernels = kernels
        self.given, self.gradients, self.size, self.parameter = given, gradients, size, parameter
        self.summed, self.upstream, self.room = total, upstream, room
        self.rows = 1.0  # what weights are multiplied by: the size of the first batch, where the loss is a sum over it
        self.written: set[str] = set()
        self.launches: list[Launch | None] = []
        self.scratch: list[Tensor] = []
        self.plain = True  # whether it is launches only, which a tape repeats
        self.means: list[tuple[Tensor, int, float]] = []  # partial sums, how many, and what their total is divided by

    def run(self, kernel: Any, grid: tuple[int, int], warps: int, **arguments: Any) -> None:
        """Runs a kernel, and notes that it was run."""
        self.launches.append(self.kernels.run_kernel(kernel, grid, warps, arguments))

    def parts(self, number: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Room for partial sums and the like."""
        found = self.room.new_empty(number, dtype=dtype)
        self.scratch.append(found)
        return found

    def elements(
        self,
        kernel: Any,
        names: Sequence[str],
        learned: Sequence[str],
        event: int,
        weights: Sequence[float],
        double: bool = False,
    ) -> None:
        """The means over rows of sums over each row's `event` elements; `weights`: of those means in the loss."""
        size = max(self.given[name].numel() for name in names)
        rows, (block, warps) = size / event, DOUBLE if double else ELEMENTS
        blocks = blocks_of(size, block)
        sums = self.parts(len(weights) * blocks)
        arguments: dict[str, Any] = {}
        repeated: list[tuple[str, Tensor]] = []
        for name in names:
            tensor = self.given[name]
            repeats = tensor.numel() < size
            arguments |= {f"in_{name}": tensor, f"n_{name}": tensor.numel(), f"REPEATS_{name}": repeats}
            if name in learned:
                d = self.gradients[name]
                wants = d is not None
                if d is not None and repeats:
                    d = self.parts(size)
                    repeated.append((name, d))
                    self.plain = False
                arguments |= {f"d_{name}": tensor if d is None else d, f"WANTS_{name}": wants}
                arguments[f"ADDS_{name}"] = wants and not repeats and self.again(name)
        arguments |= {f"scale_{k}": weight / rows * self.rows for k, weight in enumerate(weights)}
        self.run(kernel, (blocks, 1), warps, **arguments, sums=sums, up=self.upstream, size=size, BLOCK=block)
        for name, d in repeated:
            self.add(name, d.view(-1, self.given[name].numel()).sum(0))
        self.means += [(sums[k * blocks :], blocks, rows) for k in range(len(weights))]

    def again(self, name: str) -> bool:
        """Whether an input's gradient has been written before; from now on it has."""
        before = name in self.written
        self.written.add(name)
        return before

    def add(self, name: str, values: Tensor) -> None:
        """Adds to an input's gradient."""
        d = self.gradients[name]
        assert d is not None
        d.add_(values.view_as(d)) if self.again(name) else d.copy_(values.view_as(d))

    def classes(
        self,
        kernel: Any,
        logits: str,
        learned: bool,
        classes: int | None,
        weight: float,
        *,
        index: str | None = None,
        weights: str | None = None,
    ) -> None:
        """The mean over rows of what is read off log softmax(logits); without `classes`, all are one row."""
        table = self.given[logits]
        beside: dict[str, Any] = {} if classes else {"shift": math.log(table.numel())}
        classes = classes or table.numel()
        rows = table.numel() // classes
        whole = classes <= CLASSES[0]
        width, warps = (power_above(classes), 4 if classes <= 2048 else 8) if whole else CLASSES[1:]
        block = max(1, min(32, 2048 // width))
        blocks = blocks_of(rows, block)
        sums = self.parts(blocks)
        d = self.gradients[logits] if learned else None
        beside |= {} if index is None else {"index": self.given[index], "n_index": self.given[index].numel()}
        if weights is not None:
            share, slopes = self.given[weights], self.gradients[weights] if learned else None
            if share.numel() != table.numel():
                raise Declined("weights of other rows")
            beside |= {"weights": share, "d_weights": share if slopes is None else slopes, "WANTS_WEIGHTS": slopes is not None}
            beside["ADDS_WEIGHTS"] = slopes is not None and self.again(weights)
        shape = {"WANTS": d is not None, "ADDS": d is not None and self.again(logits), "ROWS": block, "WIDTH": width}
        self.run(
            kernel, (blocks, 1), warps, logits=table, d=table if d is None else d, **beside, sums=sums, up=self.upstream,
            rows=rows, classes=classes, scale=weight / rows * self.rows, **shape, WHOLE=whole,
        )  # fmt: skip
        self.means.append((sums, blocks, rows))

    def codebook(
        self, kernel: Any, code: str, codebook: str, event: int, code_weight: float | None, weight: float | None, terms: int
    ) -> None:
        """The mean over rows of |code - e|^2, e nearest to the code, which moves the codes, the codebook or both."""
        codes, vectors = self.given[code], self.given[codebook]
        width, rows = vectors.numel() // len(vectors), codes.numel() / event
        number = codes.numel() // width
        block, side, across = CODES
        blocks = blocks_of(number, block)
        index, sums = self.parts(number, torch.int64), self.parts(blocks)
        d = self.gradients[code] if code_weight is not None else None
        shape = {"WANTS": d is not None, "ADDS": d is not None and self.again(code), "CODES": block, "VECTORS": side}
        self.run(
            kernel, (blocks, 1), 4, code=codes, codebook=vectors, d=codes if d is None else d, index=index, sums=sums,
            up=self.upstream, codes=number, vectors=len(vectors), width=width, **shape,
            scale=2 * (code_weight or 0.0) / rows * self.rows, WIDTH=min(across, power_above(width)),
        )  # fmt: skip
        if weight is not None and self.gradients[codebook] is not None:
            self.plain = False
            flat = vectors.view(len(vectors), width).float()
            slopes = flat[index].sub_(codes.view(number, width)).mul_(2 * weight / rows * self.rows * self.upstream)
            self.add(codebook, torch.zeros_like(flat).index_put_((index,), slopes, accumulate=True))
        self.means += [(sums, blocks, rows)] * terms

    def totals(self, kernel: Any, **numbers: float) -> None:
        """The terms and the loss, of the means."""
        arguments: dict[str, Any] = dict(numbers)
        for k, (parts, number, by) in enumerate(self.means):
            arguments |= {f"parts_{k}": parts, f"n_{k}": number, f"by_{k}": by}
        self.run(kernel, (1, 1), 4, **arguments, out=self.room, rows=self.rows, BLOCK=1024)


OnePass.launches = Kernels

# ----------------------------------------------------------------------------------------------- graphs
#
# Kernels inside compiled graphs: a loss as a registered operator, which torch.compile and torch.export see through.


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

# ---------------------------------------------------------------------------------------------- streams
#
# log softmax(h W' + b) at one class a row, and its gradients, by blocks of rows: the products are never stored.
#
# A block's products, and after them their exponentials, are all that there is of the table of rows by classes. Where every row counts
# alike, as in a mean, the gradients are known with the values; where rows are weighted, those that all rows share are computed again.
# On a GPU a kernel visits each row of a block once; halves are multiplied as they are, into sums in float32.

LEAST = 64
"""Rows of a block: fewer would leave the products waiting for memory."""

ROOM = 1 << 26
"""Bytes of a block's products on a GPU: little beside the gradients, and rows enough to fill it."""

KERNELS = ""
"""The text of `stream_kernels.py`, where that is not beside this."""


@functools.cache
def cache() -> int:
    """Bytes of the cache that belongs to one core; a usual number where the machine does not tell."""
    try:
        told = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text(encoding="ascii").strip()
        return int(told.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return 1 << 20


def block(hidden: Tensor, weight: Tensor, tables: int = 1) -> int:
    """How many rows are taken together: what the cache holds; on a GPU, whole tiles of a product."""
    if hidden.is_cpu:
        fit = max(LEAST, cache() // (tables * weight.element_size() * max(1, len(weight))))
    else:
        fit = max(128, ROOM // (4 * max(1, len(weight))) // 128 * 128)
    return max(1, min(len(hidden), fit))


def kernels_of(tensor: Tensor) -> dict[str, Any] | None:
    """Triton's kernels, for a tensor on a GPU."""
    return compiled_kernels() if tensor.is_cuda else None


@functools.cache
def compiled_kernels() -> dict[str, Any] | None:
    """The kernels by name, compiled at first use; None, and one notice, without Triton."""
    try:
        triton = importlib.import_module("triton")
    except ImportError:
        logging.getLogger("ibsym").warning(
            "rows of products are visited several times: triton is missing\n  write: pip install triton"
        )
        return None
    text = KERNELS or Path(__file__).with_name("stream_kernels.py").read_text("utf-8")
    space = defined(text, "stream_kernels.py")
    space["tl"] = triton.language
    return {n: triton.jit(space[f"_{n}"]) for n in ("row_shares", "column_sums", "pair_slopes")}


def log_share(
    plain: Callable[..., Tensor], hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor
) -> Tensor | None:
    """log softmax(h W' + b)_v, hidden (..., N), weight (K, N), bias (K,), index (...).

    None where ``plain`` is to run, the same through the table of rows by classes.
    """
    given = [t for t in (hidden, weight, bias) if t is not None]
    if torch._C._get_tracing_state() is not None or _transformed() or not (weight.numel() and index.numel()):
        return None
    if hidden.is_cuda and any(t.dtype in HALVES for t in given):
        hidden, weight = (t.to(torch.promote_types(hidden.dtype, weight.dtype)) for t in (hidden, weight))
    else:
        _alone(hidden=hidden, weight=weight, bias=bias)
    if index.is_cuda:  # as an index out of bounds does elsewhere; nobody waits for it
        torch._assert_async(((index >= 0) & (index < len(weight))).all(), "a class out of bounds")
    elif index.is_cpu and not torch.compiler.is_compiling():
        least, most = int(index.min()), int(index.max())
        if least < 0 or most >= len(weight):
            raise IndexError(f"classes from {least} to {most} are out of bounds: weight has {len(weight)} rows, from 0 on")
    lead = torch.broadcast_shapes(hidden.shape[:-1], index.shape)
    rows = hidden.expand(*lead, -1).reshape(-1, hidden.shape[-1])
    picked: Tensor = _LogShare.apply(plain, rows, weight, bias, index.expand(lead).reshape(-1).long())
    return picked.reshape(lead)


def _alone(**given: Tensor | None) -> None:
    """Refuses halves, and precisions that differ, by name."""
    first, *_ = given
    for name, tensor in given.items():
        if tensor is not None and tensor.dtype in HALVES:
            raise TypeError(f"{name}: {tensor.dtype} has too few digits for a sum over classes\n  write: {name}.float()")
        if tensor is not None and tensor.dtype is not (leader := given[first]).dtype:  # type: ignore[union-attr]
            raise TypeError(f"{name}: {tensor.dtype}, and {first} is {leader.dtype}\n  write: one precision")  # type: ignore[union-attr]


def _by_formula(
    plain: Callable[..., Any], given: Sequence[Tensor | None], rest: Sequence[Any], upstream: Any, needed: Sequence[bool]
) -> list[Tensor | None]:
    """The gradients through the plain formula: what second derivatives and batches of upstream gradients need."""
    graph = torch.is_grad_enabled()
    result: list[Tensor | None] = [None] * len(given)
    with torch.enable_grad():
        own = [t if t is None else t.view_as(t) if graph else t.detach().requires_grad_() for t in given]  # of this node alone
        value = plain(*own, *rest)
    wanted = [k for k, is_needed in enumerate(needed) if is_needed]
    slopes = torch.autograd.grad(value, [own[k] for k in wanted], upstream, create_graph=graph)  # type: ignore[arg-type]
    for k, gradient in zip(wanted, slopes, strict=True):
        result[k] = gradient
    return result


class _LogShare(torch.autograd.Function):
    """A second derivative goes through the plain formula, so that it is never a constant."""

    @staticmethod
    def forward(ctx, plain, hidden, weight, bias, index):  # type: ignore[no-untyped-def]
        wanted = ctx.needs_input_grad[1:4]
        with torch.autocast(hidden.device.type, enabled=False):
            value, gradients = _blocks(hidden, weight, bias, index, None, wanted)
        ctx.plain, ctx.gradients, ctx.has_bias = plain, gradients, bias is not None
        ctx.save_for_backward(hidden, weight, *([] if bias is None else [bias]), index)
        return value

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        hidden, weight, *rest, index = ctx.saved_tensors
        bias, needed = rest[0] if rest else None, ctx.needs_input_grad[1:4]
        alike = None if torch.is_grad_enabled() or _transformed() else _alike(upstream)
        if alike is None:
            return (None, *_by_formula(ctx.plain, (hidden, weight, bias), (index,), upstream, needed), None)
        found, ctx.gradients = ctx.gradients, None  # given away; whoever comes again computes again
        weighted = found is None and not alike  # the rows' own too
        if found is None or not alike:
            again = (needed[0] and found is None, *needed[1:])
            with torch.autocast(upstream.device.type, enabled=False):
                fresh = _blocks(hidden, weight, bias, index, None if alike else upstream, again)[1]
            found = fresh if found is None else [found[0], *fresh[1:]]
        rows, shared = found[0], found[1:]
        if rows is not None and not weighted:
            rows.mul_(upstream.unsqueeze(-1))
        if alike:
            shared = [None if g is None else g.mul_(upstream[0]) for g in shared]
        shared = [None if g is None else g.to(t.dtype) for g, t in zip(shared, (weight, bias), strict=True)]
        return (None, rows, *shared, None)


def _alike(upstream: Tensor) -> bool | None:
    """Whether all rows are weighted alike; None of a batch of upstream gradients, where there is no telling.

    Of an expanded number its strides tell; else a GPU is waited for, but while its work is being recorded: nothing is known then.
    """
    try:
        if not any(upstream.stride()):
            return True
        if upstream.is_cuda and torch.cuda.is_current_stream_capturing():
            return False
        return bool((upstream == upstream[0]).all())
    except RuntimeError:
        return None


def _blocks(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor, weights: Tensor | None, wanted: Any
) -> tuple[Tensor, list[Tensor | None]]:
    """The values, and the gradients of their sum, or of the sum of each times its weight."""
    kernels = kernels_of(hidden)
    if kernels is not None or hidden.dtype in HALVES:
        with torch.cuda.device_of(hidden):
            return _rows_first(kernels, hidden, weight, bias, index, weights, wanted)
    rows, classes = len(hidden), len(weight)
    size = block(hidden, weight)
    value, room = hidden.new_empty(rows), hidden.new_empty(size * classes)
    to_hidden = torch.empty_like(hidden) if wanted[0] else None
    to_weight = torch.zeros_like(weight, memory_format=torch.contiguous_format) if wanted[1] else None
    to_bias = torch.zeros_like(bias) if bias is not None and wanted[2] else None
    for start in range(0, rows, size):
        part = slice(start, start + size)
        x, own = hidden[part], index[part].unsqueeze(0)
        table = room[: classes * len(x)].view(classes, len(x))  # classes first: the products are faster so
        if bias is None:
            torch.mm(weight, x.T, out=table)
        else:
            torch.addmm(bias.unsqueeze(-1), weight, x.T, out=table)
        top, picked = table.amax(0), table.gather(0, own).squeeze(0)
        table.sub_(top).exp_().scatter_(0, own, 0.0)
        others, less = table.sum(0), picked - top  # apart, as a class that is sure would swallow them
        value[part] = less - torch.log1p(others + torch.expm1(less))
        if to_hidden is None and to_weight is None and to_bias is None:
            continue
        table.scatter_(0, own, -others.unsqueeze(0))
        scale = -1 / (others + less.exp())
        if weights is not None:
            scale = scale * weights[part]
        if to_hidden is not None:
            torch.mm(table.T, weight, out=to_hidden[part]).mul_(scale.unsqueeze(-1))
        if to_weight is not None:
            to_weight.addmm_(table, x * scale.unsqueeze(-1))
        if to_bias is not None:
            to_bias.addmv_(table, scale)
    return value, [to_hidden, to_weight, to_bias]


def _rows_first(
    kernels: dict[str, Any] | None,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    index: Tensor,
    weights: Tensor | None,
    wanted: Any,
) -> tuple[Tensor, list[Tensor | None]]:
    """The same on a GPU: a block has the classes of a row side by side, and is visited once; sums of halves are in float32."""
    rows, classes, dtype = len(hidden), len(weight), torch.promote_types(hidden.dtype, torch.float32)
    size, learning = block(hidden, weight), any(wanted)
    bias, weights = (t if t is None else t.contiguous() for t in (bias, weights))
    index = index.contiguous()  # kernels take all of these to be dense
    value, room = hidden.new_empty(rows, dtype=dtype), hidden.new_empty(size, classes, dtype=dtype)
    slopes = room if dtype is hidden.dtype or not learning else torch.empty_like(room, dtype=hidden.dtype)
    to_hidden = torch.empty_like(hidden) if wanted[0] else None
    to_weight = torch.zeros(weight.shape, dtype=dtype, device=weight.device) if wanted[1] else None
    to_bias = hidden.new_zeros(classes, dtype=dtype) if bias is not None and wanted[2] else None
    for start in range(0, rows, size):
        part = slice(start, start + size)
        x = hidden[part]
        table, slope = room[: len(x)], slopes[: len(x)]
        product(x, weight.T, table)
        _visited(kernels, table, bias, index[part], weights if weights is None else weights[part], value[part], slope, learning)
        if to_hidden is not None:
            torch.mm(slope, weight, out=to_hidden[part])
        if to_weight is not None:
            product(slope.T, x, to_weight, 1)
        if to_bias is not None:
            to_bias += slope.sum(0, dtype=dtype)
    return value, [to_hidden, to_weight, to_bias]


def product(first: Tensor, second: Tensor, out: Tensor, beta: int = 0) -> None:
    """A B, or beta C + A B, into what may have more digits."""
    if first.dtype is out.dtype:
        torch.addmm(out, first, second, beta=beta, out=out)
    elif first.is_cuda and torch.cuda.get_device_capability(first.device) >= (8, 0):
        if beta:
            torch.addmm(out, first, second, out_dtype=out.dtype, out=out)
        else:
            torch.mm(first, second, out_dtype=out.dtype, out=out)
    else:
        torch.addmm(out, first.to(out.dtype), second.to(out.dtype), beta=beta, out=out)


def _visited(
    kernels: dict[str, Any] | None,
    table: Tensor,
    bias: Tensor | None,
    own: Tensor,
    weights: Tensor | None,
    value: Tensor,
    slopes: Tensor,
    learning: bool,
) -> None:
    """The values of rows of products and, over the products, the gradients of each times its weight."""
    rows, classes = table.shape
    if kernels is not None:
        options = {"HAS_BIAS": bias is not None, "SCALED": False, "WEIGHTED": weights is not None, "PICKS": False}
        size = min(8192, 1 << (classes - 1).bit_length())
        given = (
            table,
            table if bias is None else bias,
            own,
            table,
            value if weights is None else weights,
            value,
            value,
            slopes,
        )
        kernels["row_shares"][(rows,)](
            *given, classes, **options, WANTED=learning, BLOCK=size, num_warps=max(1, min(16, size // 256))
        )
        return
    if bias is not None:
        table.add_(bias)
    own = own.unsqueeze(1)
    top, picked = table.amax(1, keepdim=True), table.gather(1, own)
    others, less = table.sub_(top).exp_().scatter_(1, own, 0.0).sum(1, keepdim=True), picked - top
    torch.sub(less, torch.log1p(others + torch.expm1(less)), out=value.unsqueeze(1))
    if learning:
        scale = (-1 if weights is None else -weights.unsqueeze(1)) / (others + less.exp())
        torch.mul(table.scatter_(1, own, -others), scale, out=slopes)

# -------------------------------------------------------------------------------------------- both_ways
#
# log softmax(<a_i, .> / t)_i over all b, log softmax(<b_j, .> / u)_j over all a, and their gradients: of one table, by blocks.
#
# The products of a block serve both directions. They are computed once for the values, and once more for the gradients, when it is known
# what each value weighs: four products, where each direction by itself takes three.


def log_pair_shares(
    plain: Callable[..., tuple[Tensor, Tensor]], first: Tensor, second: Tensor, heat: Tensor, back: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Values of rows (B) and of columns (B), of embeddings (B, L) and temperatures (); None where each direction is to go alone."""
    if torch._C._get_tracing_state() is not None or _transformed() or not first.numel():
        return None
    kernels = kernels_of(first)
    if kernels is None:
        if first.is_cuda and first.dtype in HALVES:
            return None
        _alone(hidden=first, weight=second)
    elif first.dtype is not second.dtype:
        wide = torch.promote_types(first.dtype, second.dtype)
        first, second = first.to(wide), second.to(wide)
    values: tuple[Tensor, Tensor] = _LogPairShares.apply(plain, first, second, heat, back)
    return values


class _LogPairShares(torch.autograd.Function):
    """A second derivative goes through the plain formula, so that it is never a constant."""

    @staticmethod
    def forward(ctx, plain, first, second, heat, back):  # type: ignore[no-untyped-def]
        with torch.autocast(first.device.type, enabled=False), torch.cuda.device_of(first):
            rows, columns, by_row, by_column = _sums(first, second, heat, back)
        ctx.plain = plain
        ctx.save_for_backward(first, second, heat, back, rows, columns, by_row, by_column)
        return rows, columns

    @staticmethod
    def backward(ctx, to_rows, to_columns):  # type: ignore[no-untyped-def]
        *given, rows, columns, by_row, by_column = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or _transformed() or _batched(to_rows) or _batched(to_columns):
            return (None, *_by_formula(ctx.plain, given, (), (to_rows, to_columns), needed))
        first, _, heat, back = given
        with torch.autocast(first.device.type, enabled=False), torch.cuda.device_of(first):
            slopes = _slopes(given, (rows, columns), (by_row, by_column), (to_rows, to_columns), any(needed[2:]))
        to_first, to_second, ahead, behind = slopes
        if ahead is not None and behind is not None:
            ahead, behind = (-ahead / heat**2).to(heat.dtype), (-behind / back**2).to(back.dtype)
        return None, to_first, to_second, ahead, behind


def _batched(upstream: Tensor) -> bool:
    """Whether it is a batch of upstream gradients, which has no place in memory that anybody may ask for."""
    try:
        upstream.data_ptr()
    except RuntimeError:
        return True
    return False


def _own(values: Tensor, weights: Tensor) -> Tensor:
    """The weight of each row's own product: 1 - p, with all the digits of log p."""
    return weights * -torch.expm1(values)


def _log_shares(picked: Tensor, top: Tensor, others: Tensor) -> Tensor:
    """Picked less the log-sum-exp of all, where the others' sum is ``others`` e^``top``."""
    most = torch.maximum(picked, top)
    others, less = others * torch.exp(top - most), picked - most
    return less - torch.log1p(others + torch.expm1(less))


def _sums(first: Tensor, second: Tensor, heat: Tensor, back: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values of rows and columns, and their log-sum-exps."""
    kernels = kernels_of(first)
    if kernels is not None:
        return _sums_by_kernels(kernels, first, second, heat, back)
    s, t = 1 / heat.item(), 1 / back.item()
    if s == t:
        found = _sums_alike(first, second, s)
        if found is not None:
            return found
    count, size = len(first), block(first, second, 2)
    rows, diagonal = first.new_empty(count), first.new_empty(count)
    top, others = first.new_full((count,), torch.finfo(first.dtype).min), first.new_zeros(count)
    rooms = first.new_empty(2, size * count)
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part]
        table, other = (r[: count * len(x)].view(count, len(x)) for r in rooms)
        torch.mm(second, x.T, out=table)
        own = table[part].diagonal()
        diagonal[part] = own
        own.fill_(-math.inf)
        torch.mul(table, t, out=other)
        new = torch.maximum(top, other.amax(1))
        others.mul_(torch.exp(top - new)).add_(other.sub_(new.unsqueeze(1)).exp_().sum(1))
        top = new
        most = table.mul_(s).amax(0).clamp_min(torch.finfo(first.dtype).min)
        rows[part] = _log_shares(diagonal[part] * s, most, table.sub_(most).exp_().sum(0))
    columns = _log_shares(diagonal * t, top, others)
    return rows, columns, diagonal * s - rows, diagonal * t - columns


def _sums_alike(first: Tensor, second: Tensor, s: float) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """The same at one temperature: exponentials of rows, each times e^(its row's top - the largest), are those of columns.

    None where a column is so far below the largest that they have no digits left.
    """
    count, size = len(first), block(first, second)
    rows, diagonal = first.new_empty(count), first.new_empty(count)
    most, others = torch.finfo(first.dtype).min, first.new_zeros(count)
    room = first.new_empty(size * count)
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part] * s
        table = room[: count * len(x)].view(count, len(x))
        torch.mm(second, x.T, out=table)
        own = table[part].diagonal()
        diagonal[part] = own
        own.fill_(-math.inf)
        top = table.amax(0).clamp_min(torch.finfo(first.dtype).min)
        table.sub_(top).exp_()
        rows[part] = _log_shares(diagonal[part], top, table.sum(0))
        new = max(most, float(top.max()))
        others.mul_(math.exp(most - new)).addmv_(table, torch.exp(top - new))
        most = new
    if not bool((others > torch.finfo(first.dtype).tiny * 1e12).all()):
        return None
    columns = _log_shares(diagonal, most + others.log(), torch.ones_like(others))  # a sum far from 1 would lose digits there
    return rows, columns, diagonal - rows, diagonal - columns


def _slopes(
    given: Any, values: Any, sums: Any, upstream: Any, heats: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients in the embeddings and, where asked for, in the inverse temperatures."""
    first, second, heat, back = (t.detach() for t in given)
    kernels = kernels_of(first)
    if kernels is not None:
        return _slopes_by_kernels(kernels, given, values, sums, upstream, heats)
    s, t = 1 / heat.item(), 1 / back.item()
    by_row, by_column = sums
    w, u = upstream[0] * s, upstream[1] * t
    diagonal = _own(values[0], w) + _own(values[1], u)
    largest = by_row.max()
    alike = s == t and bool((largest - by_column.min()).abs() <= 40)
    if alike:  # e^(T - c_j) is e^(T - r_i) e^(r_i - r) e^(r - c_j)
        row, column = torch.exp(by_row - largest), u * torch.exp(largest - by_column)
    count, size = len(first), block(first, second, 2)
    to_first, to_second = torch.empty_like(first), torch.zeros_like(second, memory_format=torch.contiguous_format)
    ahead = first.new_zeros(())
    rooms = first.new_empty(2, size * count)
    for start in range(0, count, size):
        part = slice(start, start + size)
        x, own = first[part], slice(start, start + size)
        table, other = (r[: count * len(x)].view(count, len(x)) for r in rooms)
        if alike:
            torch.addmm(-by_row[part], second, (x * s).T, out=table)
            if heats:  # T = (log p + r) / s
                mean = torch.mul(torch.exp(table, out=other), table, out=other).sum(0)
                mean -= torch.exp(table[own].diagonal()) * table[own].diagonal()
                mean += by_row[part] * -torch.expm1(values[0][part])
                ahead -= (upstream[0][part] * mean).sum() / s
            table.exp_()
            torch.addcmul(-w[part], column.unsqueeze(1), row[part], value=-1, out=other)
            table.mul_(other)
        else:
            torch.mm(second, x.T, out=table)
            torch.mul(table, s, out=other).sub_(by_row[part]).exp_().mul_(-w[part])
            if heats:
                other[own].diagonal().zero_()
                ahead += (other * table).sum(0).sum() / s
            table.mul_(t).sub_(by_column.unsqueeze(1)).exp_().mul_(-u.unsqueeze(1)).add_(other)
        table[own].diagonal().copy_(diagonal[part])
        torch.mm(table.T, second, out=to_first[part])
        to_second.addmm_(table, x)
    if not heats:
        return to_first, to_second, None, None
    ahead += (_own(values[0], upstream[0]) * (by_row + values[0])).sum() / s
    return to_first, to_second, ahead, ((first * to_first).sum() - s * ahead) / t  # both together are <products, slopes>


def _sums_by_kernels(
    kernels: Any, first: Tensor, second: Tensor, heat: Tensor, back: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same on a GPU: rows of a block are visited once, and columns once."""
    count, size, dtype = len(first), block(first, second), torch.promote_types(first.dtype, torch.float32)
    scales = torch.stack([1 / heat.to(dtype), 1 / back.to(dtype)])
    rows, diagonal = (first.new_empty(count, dtype=dtype) for _ in range(2))
    top, others = first.new_full((count,), -math.inf, dtype=dtype), first.new_zeros(count, dtype=dtype)
    room, own = first.new_empty(size, count, dtype=dtype), torch.arange(count, device=first.device)
    width = min(8192, 1 << (count - 1).bit_length())
    options = {"HAS_BIAS": False, "SCALED": True, "WEIGHTED": False, "PICKS": True, "WANTED": False}
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part]
        table = room[: len(x)]
        product(x, second.T, table)
        visited = (table, table, own[part], scales, table, rows[part], diagonal[part], table, count)
        kernels["row_shares"][(len(x),)](*visited, **options, BLOCK=width, num_warps=max(1, min(16, width // 256)))
        grid = (-(-count // 64),)
        kernels["column_sums"][grid](table, scales[1:], top, others, start, len(x), count, ROWS=32, BLOCK=64)
    columns = _log_shares(diagonal * scales[1], top.clamp_min(torch.finfo(dtype).min), others)
    return rows, columns, diagonal * scales[0] - rows, diagonal * scales[1] - columns


def _slopes_by_kernels(
    kernels: Any, given: Any, values: Any, sums: Any, upstream: Any, heats: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The same on a GPU: products, a visit to each row, and two products more."""
    first, second, heat, back = given
    count, size, dtype = len(first), block(first, second), torch.promote_types(first.dtype, torch.float32)
    scales = torch.stack([1 / heat.to(dtype), 1 / back.to(dtype)])
    w, u = (g.contiguous() for g in upstream)
    diagonal = _own(values[0], w * scales[0]) + _own(values[1], u * scales[1])
    to_first, to_second = torch.empty_like(first), second.new_zeros(second.shape, dtype=dtype)
    room, means = first.new_empty(size, count, dtype=dtype), first.new_empty(count, 2, dtype=dtype)
    slopes = room if dtype is first.dtype else torch.empty_like(room, dtype=first.dtype)
    width = min(4096, 1 << (count - 1).bit_length())
    for start in range(0, count, size):
        part = slice(start, start + size)
        x = first[part]
        table, slope = room[: len(x)], slopes[: len(x)]
        product(x, second.T, table)
        visited = (table, scales, sums[0][part], sums[1], w[part], u, diagonal[part], start, means[part], slope, count)
        kernels["pair_slopes"][(len(x),)](*visited, BLOCK=width, num_warps=max(1, min(16, width // 256)))
        torch.mm(slope, second, out=to_first[part])
        product(slope.T, x, to_second, 1)
    to_second = to_second.to(second.dtype)
    if not heats:
        return to_first, to_second, None, None
    own = [
        _own(v, g) * (c + v) for v, g, c in zip(values, (w, u), sums, strict=True)
    ]  # products of what belongs together, times a scale
    ahead, behind = ((o.sum() / scales[k] - means[:, k].sum()) for k, o in enumerate(own))
    return to_first, to_second, ahead, behind
KERNELS = r"""
# --------------------------------------------------------------------------------------- stream_kernels
#
# Rows of a block of products in one visit each, on a GPU: their log-sum-exp, and the gradient over the products themselves.
#
# Plain functions, so that nothing is imported before a tensor is on a GPU; :mod:`streams` compiles them with Triton at first use. One
# program is a row, or some columns; none adds to what another has, so that results do not depend on the order in which they run.

tl: Any = None  # Triton's language, set by who compiles these


def _row_shares(
    table,
    bias,
    own,
    scale,
    weights,
    value,
    picks,
    slopes,
    columns,
    HAS_BIAS: tl.constexpr,
    SCALED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    PICKS: tl.constexpr,
    WANTED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # log softmax(s T + b) at one column of each row; its gradient in s T + b, times the row's weight, where ``WANTED``.
    #
    # What is summed leaves out the row's own column, which would swallow the others where it is sure.
    row = tl.program_id(0).to(tl.int64)
    table += row * columns
    mine = tl.load(own + row)
    picked = tl.load(table + mine)
    if PICKS:
        tl.store(picks + row, picked)
    factor = picked * 0 + 1
    if SCALED:
        factor = tl.load(scale)
    picked = picked * factor
    if HAS_BIAS:
        picked += tl.load(bias + mine).to(picked.dtype)
    top = picked
    others = picked * 0
    for start in range(0, columns, BLOCK):
        column = start + tl.arange(0, BLOCK)
        v = tl.load(table + column, column < columns, float("-inf"))
        if SCALED:
            v = tl.where(column < columns, v * factor, float("-inf"))
        if HAS_BIAS:
            v += tl.load(bias + column, column < columns, 0.0).to(v.dtype)
        v = tl.where(column == mine, float("-inf"), v)
        new = tl.maximum(top, tl.max(v, 0))
        shift = tl.where(new == float("-inf"), 0.0, new)
        others = others * tl.exp(top - shift) + tl.sum(tl.exp(v - shift), 0)
        top = new
    shift = tl.where(top == float("-inf"), 0.0, top)
    less = picked - shift
    one = 1 + others
    beside = tl.where(one == 1, others, tl.log(one) * (others / tl.where(one == 1, 1.0, one - 1)))  # log(1 + others)
    tl.store(value + row, tl.where(less == 0, -beside, less - tl.log(others + tl.exp(less))))
    if WANTED:
        slopes += row * columns
        each = 1 / (others + tl.exp(less))
        if WEIGHTED:
            each *= tl.load(weights + row)
        for start in range(0, columns, BLOCK):
            column = start + tl.arange(0, BLOCK)
            v = tl.load(table + column, column < columns, float("-inf"))
            if SCALED:
                v = tl.where(column < columns, v * factor, float("-inf"))
            if HAS_BIAS:
                v += tl.load(bias + column, column < columns, 0.0).to(v.dtype)
            g = tl.where(column == mine, others, -tl.exp(v - shift)) * each
            tl.store(slopes + column, g.to(slopes.dtype.element_ty), column < columns)


def _column_sums(table, scale, top, others, first, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    # The largest of s T and the sum of e^{s T - largest} of each column, over rows ``first`` and on: those before are in what is given.
    #
    # A column's own row has no part in the sum.
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    factor = tl.load(scale)
    most = tl.load(top + column, inside, 0.0)
    total = tl.load(others + column, inside, 0.0)
    for start in range(0, rows, ROWS):
        row = start + tl.arange(0, ROWS)
        kept = (row[:, None] < rows) & inside[None, :] & (row[:, None] + first != column[None, :])
        v = tl.load(table + row[:, None].to(tl.int64) * columns + column[None, :], kept, 0.0)
        v = tl.where(kept, v * factor, float("-inf"))
        new = tl.maximum(most, tl.max(v, 0))
        shift = tl.where(new == float("-inf"), 0.0, new)
        total = total * tl.exp(most - shift) + tl.sum(tl.exp(v - shift[None, :]), 0)
        most = new
    tl.store(top + column, most, inside)
    tl.store(others + column, total, inside)


def _pair_slopes(
    table,
    scales,
    by_row,
    by_column,
    row_weights,
    column_weights,
    diagonal,
    first,
    means,
    slopes,
    columns,
    BLOCK: tl.constexpr,
):
    # -(w_i s e^{s T_ij - r_i} + u_j t e^{t T_ij - c_j}), on the diagonal what is given; its two parts' sums over j, each times T_ij.
    #
    # s and t are the two ``scales``; r_i and c_j log-sum-exps of rows and columns. The sums leave out the diagonal.
    row = tl.program_id(0).to(tl.int64)
    table += row * columns
    slopes += row * columns
    s = tl.load(scales)
    t = tl.load(scales + 1)
    lse = tl.load(by_row + row)
    weight = tl.load(row_weights + row)
    own = tl.load(diagonal + row)
    ahead = s * 0
    back = s * 0
    for start in range(0, columns, BLOCK):
        column = start + tl.arange(0, BLOCK)
        inside = column < columns
        v = tl.load(table + column, inside, 0.0)
        p = weight * tl.exp(s * v - lse)
        q = tl.load(column_weights + column, inside, 0.0) * tl.exp(t * v - tl.load(by_column + column, inside, 0.0))
        other = inside & (column != row + first)
        ahead += tl.sum(tl.where(other, p * v, 0.0), 0)
        back += tl.sum(tl.where(other, q * v, 0.0), 0)
        g = tl.where(other, -(s * p + t * q), own)
        tl.store(slopes + column, g.to(slopes.dtype.element_ty), inside)
    tl.store(means + 2 * row, ahead)
    tl.store(means + 2 * row + 1, back)"""

# ------------------------------------------------------------------------------------------------ ranks
#
# A loss of the whole batch on the ranks of a process group: L = f(mean over all ranks' rows, rows of all ranks).
#
# What is averaged over ranks must be the gradient of L. Every rank computes all of L, from sums that are added up and from rows that
# are gathered, and keeps the gradient of its own rows, times the number of ranks, by which the average divides. Inputs without a
# batch axis get their share of the rows' means times that number, and the whole gradient of what is gathered: either way the average
# is whole. No backward talks to another rank, so that an empty one may follow its own path.

GROUPS: dict[str, Any] = {}


def grouped(group: Any) -> str:
    """A group's name, which travels with the loss where the group cannot."""
    if isinstance(group, str):
        found(group)
        return group
    if group is dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError(
            "group: this rank is not of the group\n  write: the loss on the ranks of the group alone, or group=None"
        )
    if not isinstance(group, dist.ProcessGroup):
        raise TypeError(
            f"group is a torch.distributed process group, not {type(group).__name__}\n  write: torch.distributed.group.WORLD"
        )
    GROUPS[group.group_name] = group
    return str(group.group_name)


def found(group: Any) -> Any:
    """The group of a name in this process."""
    if not isinstance(group, str):
        return group
    try:
        return dist.distributed_c10d._resolve_process_group(group)  # type: ignore[attr-defined, arg-type]
    except (AttributeError, RuntimeError, ValueError):
        if group not in GROUPS or not dist.is_initialized():
            raise ValueError(
                f"this process has no group {group!r}\n  write: torch.distributed.init_process_group(...) first"
            ) from None
        return GROUPS[group]


class _Total(torch.autograd.Function):
    """The sum over all ranks, of everything, or its quotient by how many there are."""

    @staticmethod
    def forward(ctx, values, group, mean):  # type: ignore[no-untyped-def]
        both = torch.stack([values.sum(), values.new_tensor(values.numel())])
        dist.all_reduce(both, group=group)
        ctx.shape, ctx.ranks, ctx.number = values.shape, dist.get_world_size(group), both[1] if mean else 1
        return both[0] / ctx.number

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        return (upstream * ctx.ranks / ctx.number).expand(ctx.shape), None, None


def mean(values: Tensor, group: Any, kind: str = "mean") -> Tensor:
    """The mean, or the sum, over everything on all ranks."""
    return _Total.apply(values, found(group), kind == "mean")


def size(number: int, like: Tensor, group: Any) -> Tensor:
    """A number of rows, summed over ranks."""
    result = torch.tensor(number, device=like.device)
    dist.all_reduce(result, group=found(group))
    return result


def shared(drawn: Tensor, group: Any) -> Tensor:
    """What the group's first rank has drawn, on all of them."""
    group = found(group)
    drawn = drawn.detach().clone(memory_format=torch.contiguous_format)
    dist.broadcast(drawn, dist.get_global_rank(group, 0), group=group)
    return drawn


def _numbers(own: int, like: Tensor, group: Any) -> list[int]:
    """A number of every rank."""
    mine = torch.tensor(own, device=like.device)
    numbers = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(numbers, mine, group=group)
    return [int(n) for n in numbers]


def _gather(tensors: Sequence[Tensor], dim: int, group: Any) -> tuple[list[Tensor], list[list[int]]]:
    """Rows of all ranks in the order of ranks, and how many each rank has of each tensor; padded to the longest while they travel."""
    own = torch.tensor([t.shape[dim] for t in tensors], device=tensors[0].device)
    sizes = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(sizes, own, group=group)
    numbers = [[int(n) for n in column] for column in zip(*(s.tolist() for s in sizes), strict=True)]
    whole = []
    for tensor, rows in zip(tensors, numbers, strict=True):
        first = tensor.detach().movedim(dim, 0)
        padded = first.new_zeros(max(rows), *first.shape[1:])
        padded[: len(first)] = first
        parts = [torch.empty_like(padded) for _ in rows]
        dist.all_gather(parts, padded, group=group)
        whole.append(torch.cat([p[:n] for p, n in zip(parts, rows, strict=True)]).movedim(0, dim).contiguous())
    return whole, numbers


class _Rows(torch.autograd.Function):
    """The rows of all ranks; backward, where every rank differentiates all of the loss: its own rows', times the number of ranks."""

    @staticmethod
    def forward(ctx, group, dim, *tensors):  # type: ignore[no-untyped-def]
        whole, numbers = _gather(tensors, dim, group)
        rank = dist.get_rank(group)
        ctx.places = [(sum(rows[:rank]), rows[rank]) for rows in numbers]
        ctx.dim, ctx.ranks = dim, dist.get_world_size(group)
        ctx.mark_non_differentiable(*(w for w, needed in zip(whole, ctx.needs_input_grad[2:], strict=True) if not needed))
        ctx.set_materialize_grads(False)
        return tuple(whole)

    @staticmethod
    def backward(ctx, *upstream):  # type: ignore[no-untyped-def]
        own = [None if g is None else g.narrow(ctx.dim, *p) * ctx.ranks for g, p in zip(upstream, ctx.places, strict=True)]
        return None, None, *own


def rows(group: Any, dim: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of all ranks along a dimension, for a loss that every rank computes whole."""
    return _Rows.apply(found(group), dim, *tensors)


def matched(pairs: Tensor, group: Any) -> Tensor:
    """Entry i of row i among the scores of a rank's own rows against the rows of all ranks."""
    numbers = _numbers(pairs.shape[-2], pairs, found(group))
    if pairs.shape[-1] != sum(numbers):
        raise ValueError(
            f"scores: with a group, of a rank's own rows against the rows of all ranks, ({pairs.shape[-2]}, {sum(numbers)}), "
            f"not {tuple(pairs.shape)}\n  write: the critic of the first sample and Loss.gathered(second, group)"
        )
    return pairs.diagonal(sum(numbers[: dist.get_rank(found(group))]), -2, -1)


class _Shared(torch.autograd.Function):
    """The rows of all ranks; backward, where each rank differentiates its own part of the loss: the sum of theirs for its rows."""

    @staticmethod
    def forward(ctx, rows, group, dim):  # type: ignore[no-untyped-def]
        (whole,), (numbers,) = _gather([rows], dim, group)
        ctx.group, ctx.dim, rank = group, dim, dist.get_rank(group)
        ctx.start, ctx.length = sum(numbers[:rank]), numbers[rank]
        return whole

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        everything = upstream.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(everything, group=ctx.group)
        return everything.narrow(ctx.dim, ctx.start, ctx.length), None, None


def gathered(values: Tensor, group: Any, dim: int = 0) -> Tensor:
    """The rows of all ranks, for what each computes of its own rows against all: gradients are summed back to their owners."""
    return _Shared.apply(values, found(group), dim)


def permuted(draw: Callable[..., Any], z: Any, generator: torch.Generator | None, rows: int, group: Any) -> Any:
    """This rank's rows of a draw from the rows of all ranks, in the order that the first rank's generator gives."""
    group, several = found(group), not isinstance(z, Tensor)
    parts, axis = (list(z), 0) if several else ([z], rows)
    own = generator or torch.default_generator
    common = torch.Generator(own.device)
    common.set_state(shared(own.get_state().to(parts[0].device), group).cpu())
    whole = [gathered(p, group, axis) for p in parts]
    drawn = draw(whole if several else whole[0], common, rows)
    torch.randperm(whole[0].shape[axis], generator=generator, device=own.device)  # each rank's own moves on alike
    mine = [0, *(int(n) for n in _numbers(parts[0].shape[axis], parts[0], group))]
    start = sum(mine[: dist.get_rank(group) + 1])
    kept = [d.narrow(axis, start, parts[0].shape[axis]) for d in (drawn if several else [drawn])]
    return tuple(kept) if several else kept[0]


def columns(values: Tensor, group: Any) -> tuple[Tensor, int]:
    """The rows of all ranks, for what each computes of its own rows against all, and where its own begin among them."""
    numbers = _numbers(len(values), values, found(group))
    return gathered(values, group), sum(numbers[: dist.get_rank(found(group))])
