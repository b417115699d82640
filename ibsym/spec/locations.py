"""Where in a spec's text a mistake is: the line of a dotted key, the column inside its value."""

from __future__ import annotations

import re
from typing import TypeVar

from ibsym.errors import Place, PlacedError

_E = TypeVar("_E", bound=PlacedError)


def located(error: _E, text: str, file: str) -> _E:
    """The error with the file, and the line and column of its key where they can be found."""
    if error.place.line is not None:
        return error
    path = re.findall(r'"((?:[^"\\]|\\.)*)"|([^."]+)', error.key)
    names = [quoted or bare for quoted, bare in path]
    line, column = _find(text.splitlines(), names, error.column)
    return error.at(Place(file=file, key=error.key, line=line, column=column))


def _find(lines: list[str], names: list[str], offset: int | None) -> tuple[int | None, int | None]:
    """The line of the longest prefix of the dotted key that the text has, and the column inside its string value."""
    best: tuple[int, int | None, int] | None = None
    section: list[str] = []
    for number, line in enumerate(lines, 1):
        header = re.match(r"\s*\[([^\[\]]*)\]", line)
        if header:
            section = [p.strip(' "') for p in header[1].split(".")]
            if names[: len(section)] == section and (best is None or len(section) > best[2]):
                best = (number, None, len(section))
            continue
        entry = re.match(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([\w-]+))\s*=\s*""", line)
        if entry:
            name = next(g for g in entry.groups() if g is not None)
            here = [*section, name]
            if names[: len(here)] == here and (best is None or len(here) > best[2]):
                quoted = re.match(r"""(?!\"{3}|'{3})["']""", line[entry.end() :])  # a text of several lines has no column here
                column = entry.end() + 1 + offset if offset is not None and quoted else None
                best = (number, column, len(here))
    return (best[0], best[1]) if best else (None, None)
