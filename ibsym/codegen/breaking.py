"""Long lines of code, broken after a comma or before an operator, as far out as there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

OPERATORS = {"+ ": 1, "- ": 1, "? ": 0, ": ": 0, "* ": 2, "/ ": 2}
"""Where a line may be broken: how tightly each binds."""


def broken(line: str, width: int, least: int = 0) -> Iterator[str]:
    r"""The line in pieces that fit, where they can; ``least`` is the number of brackets that must stand around a break.

    >>> print("\n".join(broken("x = f(a + b, c)", 12)))
    x = f(a + b,
          c)
    """
    opened: tuple[int, ...] = ()
    while len(line) > width:
        fits = [p for p in _places(line, opened) if p.end <= width and p.depth >= 3 * least]
        if not fits:
            break
        depth = min(p.depth for p in fits)
        place = max((p for p in fits if p.depth == depth), key=lambda p: p.end)
        rest = " " * place.column + line[place.end :].lstrip()
        if len(rest) >= len(line):
            break
        yield line[: place.end].rstrip()
        line, opened = rest, place.opened
    yield line


class Place(NamedTuple):
    """Where a line may end: how deep, up to which column; the column of its rest, and the brackets that are open there."""

    depth: int
    end: int
    column: int
    opened: tuple[int, ...]


def _places(line: str, before: tuple[int, ...]) -> Iterator[Place]:
    indent = len(line) - len(line.lstrip())
    opened = list(before)
    for k, c in enumerate(line):
        if c in "({[":
            opened.append(k + 1)
        elif c in ")}]" and opened:
            opened.pop()
        elif k > indent + 4 and c == " " and (line[k - 1] == "," or line[k + 1 : k + 3] in OPERATORS):
            rank = OPERATORS.get(line[k + 1 : k + 3], 0)
            yield Place(3 * len(opened) + rank, k, opened[-1] if opened else indent + 4, tuple(opened))
