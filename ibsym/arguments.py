"""f(arguments): what a public function takes, said before it starts, in words and with a call that works."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ibsym.errors import ArgumentError, nearest, shown

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument may be: in words, and as a test."""

    words: str
    fits: Callable[[object], bool]

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.words} or {other.words}", lambda value: self.fits(value) or other.fits(value))


def _whole(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool | type)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


TEXT = Kind("a text", lambda value: isinstance(value, str))
FILE = Kind("a file's name", lambda value: isinstance(value, str | os.PathLike))
FLAG = Kind("True or False", lambda value: isinstance(value, bool))
NOTHING = Kind("None", lambda value: value is None)
TEXTS = Kind("a list of texts", lambda value: isinstance(value, str | Sequence) and all(isinstance(one, str) for one in value))
TABLE = Kind("a dict by name", lambda value: isinstance(value, Mapping) and all(isinstance(name, str) for name in value))
FUNCTION = Kind("a function", callable)
ANYTHING = Kind("anything", lambda value: True)


def whole(least: int) -> Kind:
    """The whole numbers from ``least`` on."""
    return Kind(f"a whole number from {least} on", lambda value: _whole(value) and int(value) >= least)  # type: ignore[call-overload]


def above(least: float) -> Kind:
    """The finite numbers above ``least``."""
    return Kind(f"a number above {least:g}", lambda value: _number(value) and least < value < float("inf"))  # type: ignore[operator]


def takes(example: str, **kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose arguments are looked at before it runs; ``example`` is a call that works.

    >>> @takes("double(2)", number=whole(0))
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double("2")
    Traceback (most recent call last):
    ibsym.errors.ArgumentError: double: number = '2' is not a whole number from 0 on
      write: double(2)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        name = function.__name__
        assert set(kinds) == set(signature.parameters), f"{name} has other arguments than are declared"

        @functools.wraps(function)
        def checked(*positional: P.args, **named: P.kwargs) -> R:
            try:
                bound = signature.bind(*positional, **named)
            except TypeError:
                raise ArgumentError(f"{name}: {_misfit(signature, positional, named)}\n  write: {example}") from None
            for argument, value in bound.arguments.items():
                if not kinds[argument].fits(value):
                    what = f"{name}: {argument} = {excerpt(value)} is not {kinds[argument].words}"
                    raise ArgumentError(f"{what}\n  write: {example}")
            return function(*positional, **named)

        return checked

    return decorate


def _misfit(signature: inspect.Signature, positional: Sequence[object], named: Mapping[str, object]) -> str:
    """Why the arguments do not bind: an unknown name, one too many, one given twice, one missing."""
    known = signature.parameters
    for name in named:
        if name not in known:
            close = nearest(name, known)
            return f"unknown argument {name!r}" + (f", did you mean {close!r}?" if close else f": it takes {', '.join(known)}")
    places = [p.name for p in known.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    if len(positional) > len(places):
        return f"{len(positional)} arguments by position, and it takes {len(places)} so: {', '.join(places)}"
    for name in places[: len(positional)]:
        if name in named:
            return f"the argument {name!r} is given twice"
    missing = [p.name for p in known.values() if p.default is p.empty and p.name not in (*places[: len(positional)], *named)]
    return f"the argument {missing[0]!r} is missing"


def excerpt(value: object) -> str:
    """The beginning of a value's text, on one line; its type where there is none, or where it says nothing."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return f"a {type(value).__name__}" if len(text) > 60 or "object at 0x" in text else shown(text)
