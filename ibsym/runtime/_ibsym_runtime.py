"""(loss, dloss/dinputs) in one pass of compiled C: the cache of libraries, their building and loading, and autograd's view of them.

Written by ibsym beside the losses that use it, the same for all of them. A loss that finds this file and its own C source calls
:func:`one_pass`; whatever stands in the way of compiled code, the loss runs as its tensor expression, with one notice that says why.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import hashlib
import logging
import operator
import os
import platform
import shlex
import shutil
import stat
import struct
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

SECONDS = float(os.environ.get("IBSYM_BUILD_SECONDS") or 120)
"""How long a compiler may take."""

FLAGS = (
    ("-O3", "-march=native", "-fopenmp", "-DSIMD"),
    ("-O3", "-march=native", "-fopenmp-simd", "-DSIMD"),
    ("-O3",),
)
"""What is tried, in this order: threads and vector instructions, vector instructions, plain C."""

THREADED = [True]  # a forked child has no threads but its own
os.register_at_fork(after_in_child=THREADED.clear)
PLAIN = (Tensor, torch.nn.Parameter)
KIND = operator.attrgetter("__class__", "shape", "dtype", "layout", "is_cpu")
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
    path = where.with_name(next(iter(digests)))
    if path.suffix != ".c":
        return OnePass("", where.stem, inputs, output)
    source = path.read_text("utf-8") if path.is_file() else ""
    if hashlib.sha256(source.encode()).hexdigest()[:16] != digests[path.name]:
        raise ImportError(f"{path} is missing, damaged or from another version")
    return OnePass(source, path.stem, inputs, output)


def bundled_pass(files: Mapping[str, str], inputs: Sequence[Any], output: Made) -> OnePass:
    """The pass of the C source among the texts that a module holds, the first of them if there is one."""
    name, source = next(iter(files.items()))
    return OnePass(source if name.endswith(".c") else "", name.rpartition(".")[0], inputs, output)


class OnePass:
    """A loss's output, by compiled code or its expression; ``right`` holds kinds and sizes of what was checked, and its precision."""

    def __init__(self, source: str, stem: str, inputs: Sequence[Any], output: Made):
        self.source, self.stem, self.output = source, stem, output
        self.inputs = tuple((i.name, tuple(i.shape)) for i in inputs)
        self.known: dict[torch.dtype, Library | None] = {}
        self.right: dict[Any, torch.dtype | None] = {}

    def __call__(self, loss: Any, given: list[Tensor], checked: Check) -> Any:
        """The output, differentiable."""
        if loss.BATCH_COUPLED and DISTRIBUTED():
            warn_alone(loss)
        if torch._C._get_tracing_state() is not None:
            return loss.expression(*checked(loss.INPUTS, given, None, getattr(loss, "SYMBOLS", ())))
        try:
            dtype = self.right[tuple(map(KIND, given))]
        except (AttributeError, KeyError):  # of kinds and sizes that were not here before, or no tensors
            given, dtype = self.known_now(loss, given, checked)
        output = None if dtype is None else self.passed(loss, given, dtype)
        return loss.expression(*given) if output is None else output

    def known_now(self, loss: Any, given: list[Tensor], checked: Check) -> tuple[list[Tensor], torch.dtype | None]:
        """The arguments, checked, and the precision in which compiled code takes them; plain ones are known from then on."""
        found = checked(loss.INPUTS, given, None, getattr(loss, "SYMBOLS", ()))
        dtype = _precision(found) if self.source else None
        kept = all(map(operator.is_, found, given)) and all(type(t) in PLAIN for t in given)
        if kept and len(self.right) < 1000 and not _transformed():
            self.right[tuple(map(KIND, given))] = dtype
        return found, dtype

    def passed(self, loss: Any, given: Sequence[Tensor], dtype: torch.dtype) -> Any:
        """The output of the pass; None where compiled code may not run or declines."""
        if self.known.get(dtype, self) is None or loss.reduction == "none" or _transformed():
            return None
        learning = torch.is_grad_enabled()
        if any(map(Tensor.is_neg, given)) or (learning and any(map(Tensor.is_inference, given))):
            return None  # autograd keeps no tensor of inference; the expression may not need to
        library = self.known[dtype] if dtype in self.known else self.library(dtype)
        parameters = [] if library is None else [getattr(loss, name) for name in library.parameters]
        if library is None or any(isinstance(p, Tensor) and p.requires_grad for p in parameters):
            return None  # a parameter that learns
        values = [float(p) for p in parameters]
        dense = [t if t.is_contiguous() else t.contiguous() for t in given]
        total = loss.reduction == "sum"
        if learning and any(dense[k].requires_grad for k in library.differentiated):
            for k in library.passive:
                dense[k] = dense[k].detach() if dense[k].requires_grad else dense[k]
            told: list[Tensor] = []
            value = _Differentiable.apply(library, loss, values, total, told, *dense)
            terms = told[0]
        else:
            value, terms, _ = library.run(dense, values, total, ())
        if value is None:
            return None
        named = dict(zip(library.terms, terms.unbind(), strict=True))
        if (others := getattr(type(loss), "_rest", None)) is not None:  # terms that no pass computes
            code = others.__code__
            by_name = dict(zip([name for name, _ in self.inputs], given, strict=True))
            rest = loss._rest(*(by_name[name] for name in code.co_varnames[1 : code.co_argcount]))
            value, named = value + rest.loss, {**named, **rest.terms}
        return self.output(value, named)

    def library(self, dtype: torch.dtype) -> Library | None:
        """The compiled pass in one precision, built at first use; None, and a notice, where that cannot be."""
        real = "float" if dtype is torch.float32 else "double"
        try:
            found = None if os.environ.get("IBSYM_NATIVE") == "0" else loaded(self.source, self.stem, real, self.inputs)
        except Exception as error:
            tell(f"there is no compiled code of {self.stem}: {error}".rstrip())
            found = None
        self.known[dtype] = found
        return found


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


# ------------------------------------------------------------------------------------------------ calls


def _precision(given: Sequence[Tensor]) -> torch.dtype | None:
    """float32 or float64, where compiled code may take these: plain tensors in memory, of one precision."""
    if any(type(t) not in PLAIN or not t.is_cpu or t.layout is not torch.strided or not t.numel() for t in given):
        return None
    kinds = {t.dtype for t in given} - {torch.int64}
    return kinds.pop() if kinds in ({torch.float32}, {torch.float64}) else None


def _transformed() -> bool:
    """Whether torch.func, forward-mode differentiation or a dispatch mode is at work; True where torch does not tell."""
    return bool(forward_ad._current_level >= 0 or ACTIVE() or MODES() > 0)


class Library:
    """A compiled pass in one precision. It says itself what it takes, in two strings.

    ``fields`` are those of its structure of arguments, in order: inputs, their gradients, their numbers of elements, lengths of
    axes, parameters; then whether the loss is a sum, the number of threads, and where the loss and its terms go.
    """

    def __init__(self, compiled: ctypes.CDLL, inputs: Sequence[tuple[str, tuple[str, ...]]]):
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
        pointers = len(self.pointers) + len(self.differentiated)
        layout = f"{pointers}P{len(self.counted) + len(self.axes)}q{len(self.parameters)}d2q2P"
        self.pack = struct.Struct(layout).pack
        self.function = compiled["fused"]
        self.function.argtypes, self.function.restype = [ctypes.c_char_p], ctypes.c_int

    def run(
        self, given: Sequence[Tensor], parameters: Sequence[float], total: bool, wanted: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor, list[Tensor | None]]:
        """Loss, terms and a gradient for each tensor that wants one; no loss where the code declines, as the expression then says why."""
        first = given[self.pointers[0]]
        if first.dtype is torch.int64:
            first = next(t for t in given if t.dtype is not torch.int64)
        loss, terms = first.new_empty(()), first.new_empty(len(self.terms))
        gradients: list[Tensor | None] = [None] * len(given)
        for k in self.differentiated if wanted else ():
            gradients[k] = torch.empty_like(given[k]) if wanted[k] else None
        arguments = self.pack(
            *[given[k].data_ptr() for k in self.pointers],
            *[0 if (g := gradients[k]) is None else g.data_ptr() for k in self.differentiated],
            *[given[k].numel() for k in self.counted],
            *[given[k].size(axis) for k, axis in self.axes],
            *parameters,
            total,
            torch.get_num_threads() if THREADED else 1,
            loss.data_ptr(),
            terms.data_ptr(),
        )
        return (None if self.function(arguments) else loss), terms, gradients


def _axis(name: str, inputs: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[int, int]:
    """An input that has the axis, and its place there, from the right."""
    for k, (_, shape) in enumerate(inputs):
        if name in shape:
            return k, shape.index(name) - len(shape)
    raise LookupError(f"no input has the axis {name}")


class _Differentiable(torch.autograd.Function):
    """The gradients are known once the loss is; a second derivative goes through the expression, so it is never a constant."""

    @staticmethod
    def forward(ctx, library, loss, parameters, total, told, *given):  # type: ignore[no-untyped-def]
        value, terms, ctx.gradients = library.run(given, parameters, total, ctx.needs_input_grad[5:])
        told.append(terms)  # no output: nothing differentiates them
        if value is not None:
            ctx.then = library, loss, parameters, total
            ctx.save_for_backward(*given)
        return value

    @staticmethod
    def backward(ctx, upstream):  # type: ignore[no-untyped-def]
        given = ctx.saved_tensors
        none = (None, None, None, None, None)
        library, loss, parameters, total = ctx.then
        needed = ctx.needs_input_grad[5:]
        if torch.is_grad_enabled():
            own = [t.view_as(t) for t in given]  # of this node alone: arguments that depend on one another count once
            value = _at(loss, library, parameters, total).expression(*own).loss
            wanted = [k for k, is_needed in enumerate(needed) if is_needed]
            found = torch.autograd.grad(value, [own[k] for k in wanted], upstream, create_graph=True, allow_unused=True)
            slopes = dict(zip(wanted, found, strict=True))
            return (*none, *map(slopes.get, range(len(given))))
        gradients = ctx.gradients or library.run(given, parameters, total, needed)[2]
        if _is_one(upstream):
            ctx.gradients = None  # given away: whoever has them now may edit them
            return (*none, *gradients)
        ctx.gradients = gradients
        return (*none, *(None if g is None else g * upstream for g in gradients))


def _at(loss: Any, library: Library, parameters: Sequence[float], total: bool) -> Any:
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


# ------------------------------------------------------------------------------------------- libraries


def loaded(source: str, stem: str, real: str, inputs: Sequence[tuple[str, tuple[str, ...]]]) -> Library:
    """The library of a source in one precision, from the cache or built now."""
    path = library_path(source, stem, real)
    try:
        return Library(ctypes.CDLL(str(path)), inputs)
    finally:
        if for_one_process(path):  # once loaded, it needs no name
            path.unlink(missing_ok=True)


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
