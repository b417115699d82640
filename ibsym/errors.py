"""Errors by phase: every one names the smallest guilty thing and says what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


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


class SpecError(IbsymError):
    """A spec says something that cannot be meant.

    ``message`` says what is wrong, ``remedy`` what to write, ``key`` where (``joints.q``), ``column`` the offset (from 1)
    inside the value that is stored under the key.
    """

    def __init__(self, message: str, *, key: str = "", remedy: str = "", column: int | None = None, place: Place | None = None):
        self.message, self.key, self.remedy, self.column = shown(message, 500), key, shown(remedy, 500), column
        self.place = place if place is not None else Place(key=key, column=None)
        super().__init__(str(self))

    def at(self, place: Place) -> SpecError:
        """The same error at a place that is known better."""
        return SpecError(self.message, key=self.key, remedy=self.remedy, column=self.column, place=place)

    def __str__(self) -> str:
        place = str(self.place)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}\n  write: {self.remedy}" if self.remedy else text


def unknown(
    what: str, name: str, known: Iterable[str], *, key: str = "", column: int | None = None, place: Place | None = None
) -> SpecError:
    """The error about a name that is none of those known: the likeliest of them, or all.

    >>> print(unknown("family", "laplac", ["gaussian", "laplace"]))
    unknown family 'laplac', did you mean 'laplace'?
      write: laplace
    >>> print(unknown("family", "x", ["gaussian", "laplace"]))
    unknown family 'x'
      write: one of gaussian, laplace
    """
    names = list(known)
    close = nearest(name, names)
    message = f"unknown {what} {shown(name, 80)!r}" + (f", did you mean {close!r}?" if close else "")
    remedy = close or ("one of " + ", ".join(names) if names else f"nothing: there is no {what} to name here")
    return SpecError(message, key=key, remedy=remedy, column=column, place=place)


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


class DerivationError(IbsymError):
    """No bound of the kind that was asked for exists with what was declared; says which term and which factor to declare."""


class SolverError(IbsymError):
    """The linear-programming solver failed; says nothing about the claim."""


class AuditError(IbsymError):
    """A derivation or an emitted module disagrees with its oracle."""


class EmissionError(IbsymError):
    """A certified bound cannot become code with the families that were declared."""


class TrainingError(IbsymError):
    """A run cannot go on: a loss that is no number."""


class NetworkError(IbsymError):
    """A network does not do what its factor needs: names the factor, the shapes, and what to return instead."""


class MissingDependencyError(IbsymError):
    """An optional package is needed for this call."""
