"""Errors by phase: every one names the smallest guilty thing and says what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self


class IbsymError(Exception):
    """Base of all errors that ibsym raises on purpose."""


def shown(text: str, most: int = 200) -> str:
    r"""A piece of a user's text as a message has it: on one line, nothing that a terminal acts upon, not too long.

    >>> print(shown("a" + chr(27) + "[31m"), shown("abcdefgh", 6))
    a\x1b[31m abc...
    """
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: most + 1])
    return text if len(text) <= most else text[: most - 3] + "..."


@dataclass(frozen=True)
class Place:
    """Where in the user's text something is: a file, a key, a line and a column, each if known."""

    file: str = ""
    key: str = ""
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        where = self.file
        if self.line is not None:
            where += f":{self.line}"
            if self.column is not None:
                where += f":{self.column}"
        return shown(": ".join(part for part in (where, self.key) if part))


@dataclass(frozen=True)
class Edit:
    """One change to a spec's keys: a value that is set, a factor more in a joint, or an entry that is left out.

    >>> print(Edit(("families", "p(c|z)"), "categorical"), Edit(("joints", "p"), "p(c|z)", more=True), sep="; ")
    families."p(c|z)" = "categorical"; joints.p = "... p(c|z)"
    >>> print(Edit(("estimators", "TC_q(Z)")))
    leave out estimators."TC_q(Z)"
    """

    path: tuple[str, ...]
    value: Any = None
    more: bool = False

    def __str__(self) -> str:
        names = [n if n.isidentifier() else f'"{n}"' for n in self.path]
        if self.value is None:
            return f"leave out {'.'.join(names)}"
        return f"{'.'.join(names)} = " + (f'"... {self.value}"' if self.more else _written(self.value))

    def applied(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        """The keys with the change made; those that were given stay as they are."""
        changed = dict(keys)
        inside: dict[str, Any] = changed
        for name in self.path[:-1]:
            inside[name] = dict(inside.get(name, {}))
            inside = inside[name]
        squeezed = "".join(self.path[-1].split())
        last = next((k for k in inside if "".join(k.split()) == squeezed), self.path[-1])  # as it was written
        if self.value is None:
            inside.pop(last, None)
        else:
            inside[last] = f"{inside.get(last, '')} {self.value}".strip() if self.more else self.value
        return changed


def _written(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_written(v)}" for k, v in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else f"{value:g}"


Way = tuple[Edit, ...]
"""Changes that belong together."""


class Remedy(str):
    """What to write, in words, and as changes to the spec: ``ways``, one of which is enough."""

    ways: tuple[Way, ...]

    def __new__(cls, text: str, *ways: Way) -> Remedy:
        """The words with the changes that they stand for."""
        found = super().__new__(cls, text)
        found.ways = ways
        return found

    @classmethod
    def of(cls, *ways: Way, otherwise: str = "") -> Remedy:
        """The words that the changes themselves are."""
        told = ["; ".join(map(str, way)) for way in ways]
        return cls(" or ".join(told) + (f", or {otherwise}" if otherwise else ""), *ways)


class PlacedError(IbsymError):
    """An error about what a spec says.

    ``message`` says what is wrong, ``reasons`` why, a line each, ``remedy`` what to write, ``ways`` the same as changes to the spec,
    ``key`` where (``joints.q``), ``column`` the offset (from 1) inside the value that is stored under the key.
    """

    most = 500
    """How long a message may be."""

    def __init__(
        self,
        message: str,
        *,
        key: str = "",
        remedy: str = "",
        column: int | None = None,
        place: Place | None = None,
        reasons: Iterable[str] = (),
    ):
        self.message, self.key, self.remedy, self.column = shown(message, self.most), key, shown(remedy, self.most), column
        self.reasons, self.ways = tuple(shown(r, 500) for r in reasons), remedy.ways if isinstance(remedy, Remedy) else ()
        self.place = place if place is not None else Place(key=key, column=None)
        super().__init__(str(self))

    def at(self, place: Place) -> Self:
        """The same error at a place that is known better."""
        remedy = Remedy(self.remedy, *self.ways)
        return type(self)(self.message, key=self.key, remedy=remedy, column=self.column, place=place, reasons=self.reasons)

    def __str__(self) -> str:
        place = str(self.place)
        lines = [f"{place}: {self.message}" if place else self.message, *self.reasons]
        return "\n  ".join([*lines, f"write: {self.remedy}"] if self.remedy else lines)


class SpecError(PlacedError):
    """A spec says something that cannot be meant."""


def unknown(
    what: str,
    name: str,
    known: Iterable[str],
    *,
    key: str = "",
    column: int | None = None,
    place: Place | None = None,
    path: tuple[str, ...] = (),
    meant: str = "",
) -> SpecError:
    """The error about a name that is none of those known: the likeliest of them, or all.

    ``path``: whose value the name is. ``meant``: what others call so, if that is known.

    >>> print(unknown("family", "laplac", ["gaussian", "laplace"]))
    unknown family 'laplac', did you mean 'laplace'?
      write: laplace
    >>> print(unknown("family", "x", ["gaussian", "laplace"]))
    unknown family 'x'
      write: one of gaussian, laplace
    """
    names = list(known)
    close = meant or nearest(name, names)
    message = f"unknown {what} {shown(name, 80)!r}" + (f", did you mean {close!r}?" if close else "")
    remedy = close or ("one of " + ", ".join(names) if names else f"nothing: there is no {what} to name here")
    ways = [(Edit(path, n),) for n in ([close] if close else names) if path]
    return SpecError(message, key=key, remedy=Remedy(remedy, *ways), column=column, place=place)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like this one, its case aside; empty where none does.

    >>> nearest("Laplce", ["laplace", "normal"]), nearest("x", ["laplace"])
    ('laplace', '')
    """
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    close = difflib.get_close_matches(name[:200].casefold(), folded, n=1)
    return folded[close[0]] if close else ""


class ArgumentError(IbsymError, TypeError):
    """A function was called with what it does not take: names the argument and shows a call that works."""


class DerivationError(PlacedError):
    """No bound of the kind that was asked for exists with what was declared; says which term and which factor to declare."""

    most = 4000


class SolverError(IbsymError):
    """The linear-programming solver failed; says nothing about the claim."""


class AuditError(IbsymError):
    """A derivation or an emitted module disagrees with its oracle."""


class EmissionError(IbsymError):
    """A certified bound cannot become code with the families that were declared; ``ways``: changes to the spec that help."""

    def __init__(self, text: str = "", *ways: Way):
        super().__init__(text)
        self.ways = ways


class TrainingError(IbsymError):
    """A run cannot go on: a loss that is no number."""


class NetworkError(IbsymError):
    """A network does not do what its factor needs: names the factor, the shapes, and what to return instead."""


class MissingDependencyError(IbsymError):
    """An optional package is needed for this call."""
