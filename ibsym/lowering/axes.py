"""The named axes of values, counted from the right: of what is broadcast, of what a reduction leaves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Axes: TypeAlias = tuple[str, ...]


def broadcast(shapes: Iterable[Axes]) -> Axes:
    """The axes of an elementwise result: aligned on the right, "1" gives way.

    >>> broadcast([("S", "B", "L"), ("B", "L"), ("L",), ()])
    ('S', 'B', 'L')
    """
    result: list[str] = []
    for axes in shapes:
        for place, axis in enumerate(reversed(axes)):
            if place == len(result):
                result.append(axis)
            elif result[place] == "1":
                result[place] = axis
            elif axis not in ("1", result[place]):
                raise ValueError(f"the axes {axis} and {result[place]} do not broadcast")
    return tuple(reversed(result))


def without(axes: Axes, dims: Iterable[int]) -> Axes:
    """The axes that a reduction leaves."""
    gone = {d % len(axes) for d in dims}
    return tuple(a for k, a in enumerate(axes) if k not in gone)
