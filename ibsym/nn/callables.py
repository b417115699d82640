"""theta of f_theta, for any callable f: the modules and parameters that it holds, closes over or names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

from torch import nn
from torch.nn.parameter import UninitializedBuffer

from ibsym.nn.randomness import untouched

DEPTH = 4  # a function that calls a function that calls a network


def held(function: Callable[..., Any]) -> list[nn.Module | nn.Parameter]:
    """What a callable computes with, each once, in the order in which it is found."""
    found: dict[int, nn.Module | nn.Parameter] = {}
    seen: set[int] = set()

    def visit(value: object, depth: int) -> None:
        if depth < 0 or id(value) in seen:
            return
        seen.add(id(value))
        match value:
            case nn.Module() | nn.Parameter():
                found[id(value)] = value
            case functools.partial():
                for part in (value.func, *value.args, *value.keywords.values()):
                    visit(part, depth - 1)
            case MethodType():
                visit(value.__self__, depth - 1)
                visit(value.__func__, depth - 1)
            case FunctionType():
                for part in _named(value):
                    visit(part, depth - 1)
            case list() | tuple():
                for part in value:
                    visit(part, depth - 1)
            case dict():
                for part in value.values():
                    visit(part, depth - 1)
            case _ if hasattr(value, "__dict__") and not isinstance(value, type) and not inspect.ismodule(value):
                for part in vars(value).values():
                    visit(part, depth - 1)

    visit(function, DEPTH)
    return list(found.values())


def _named(function: FunctionType) -> Iterator[object]:
    """What a function closes over, the globals that it names, its defaults."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    yield from (function.__globals__[n] for n in _names(function.__code__) if n in function.__globals__)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _names(code: Any) -> Iterator[str]:
    """The global names in a function's code, those of functions inside it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _names(constant)


def parameters(held_: Iterable[nn.Module | nn.Parameter]) -> list[nn.Parameter]:
    """Every parameter, once."""
    found: dict[int, nn.Parameter] = {}
    for one in held_:
        for parameter in one.parameters() if isinstance(one, nn.Module) else (one,):
            found[id(parameter)] = parameter
    return list(found.values())


@contextmanager
def frozen(several: Iterable[nn.Parameter]) -> Iterator[None]:
    """Parameters that take no gradient from what is computed here, though what they are applied to does."""
    learning = [p for p in several if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@contextmanager
def as_before(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Buffers (running averages) and the random state as they were, whatever is computed here."""
    import torch

    kept = [(m, name, b.detach().clone()) for m in modules for name, b in m.named_buffers() if not _lazy(b)]
    with untouched():
        yield
    with torch.no_grad():
        for module, name, value in kept:
            module.get_buffer(name).copy_(value)


def _lazy(buffer: object) -> bool:
    """A buffer whose size is not known yet."""
    return isinstance(buffer, UninitializedBuffer)
