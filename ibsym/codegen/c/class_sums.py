"""E sum_k p(k) w(k) in C: which tables of logits there are, which of them weigh which axes, and where operands stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ibsym.codegen.c.text import braced
from ibsym.lowering.fusion.plan import Loop
from ibsym.lowering.fusion.sums import Mixed, Place, Weights
from ibsym.lowering.program import Load


def limits(items: Sequence[Mixed]) -> dict[str, int]:
    """The most axes of rows, draws and classes, and the most logarithms of one sum."""
    return {
        "AXES": 2 + max(len(item.classes) for item in items),
        "LOGARITHMS": max(1, *(len(item.logarithms) for item in items)),
    }


def axes(place: Place) -> str:
    """A set of axes.

    >>> axes(Place(True, False, frozenset({1, 0}))), axes(Place(False, False, frozenset()))
    ('OF_ROWS | OF_CLASS(0) | OF_CLASS(1)', '0')
    """
    found = ["OF_ROWS"] * place.rows + ["OF_DRAWS"] * place.draws + [f"OF_CLASS({k})" for k in sorted(place.classes)]
    return " | ".join(found) or "0"


def of_operand(load: Load, event: int) -> str:
    """The axes before its event that an operand has.

    >>> from ibsym.lowering.program import InputKey
    >>> of_operand(Load(InputKey("", "", ""), ("S", "K", "1", "B", "L")), 1)
    'OF_ROWS | OF_DRAWS | OF_CLASS(1)'
    """
    draws, *classes, rows = (axis != "1" for axis in load.axes[: len(load.axes) - event])
    return axes(Place(rows, draws, frozenset(k for k, has in enumerate(reversed(classes)) if has)))


def rows(values: Sequence[str]) -> str:
    """An array of arrays.

    >>> rows(["{1}", "2"])
    '{ {1}, 2 }'
    """
    return f"{{ {', '.join(values)} }}"


class Tables:
    """The tables of logits that some sums weigh by, numbered; ``name`` is that of an input."""

    def __init__(self, items: Sequence[Mixed], name: Callable[[Load], str]):
        self.name = name
        self.loads = {w.logits: item.rows if w.axes.rows else "" for item in items for w in item.every_table}

    def number(self, load: Load) -> str:
        """Its enumerator."""
        return f"TABLE_{self.name(load)}"

    def enumerated(self) -> list[str]:
        """The numbers, declared."""
        return [f"enum {{ {', '.join(self.number(load) for load in self.loads)} }};"] if self.loads else []

    def weights(self, found: Weights) -> str:
        """A softmax along an axis."""
        return braced([self.number(found.logits), f"CLASS({found.own})", axes(found.axes)])

    def settings(
        self, item: Mixed, inner: Sequence[Loop], number: Callable[[object], str], whole: Callable[[tuple[str, ...]], str]
    ) -> dict[str, str]:
        """The fields of a sum."""
        found = {
            "size": braced([whole((item.rows,)), "1", *(whole((axis,)) for axis in item.classes)]),
            "tables": "tables",
            "steps": str(len(item.weights)),
            "step": rows([self.weights(w) for w in item.weights]),
        }
        if item.logarithms:
            found |= {
                "logarithms": str(len(item.logarithms)),
                "logarithm": rows([rows([self.weights(w), number(f)]) for f, w in item.logarithms]),
            }
        if item.observed:
            ((_, first), *_) = item.observed
            found |= {
                "observations": str(len(item.observed)),
                "observed": "observed",
                "observe": "observed_inside",
                "observed_axes": axes(first.axes),
                "observed_cells": "values_observed(observed[0])",
            }
        return found | ({"loops": str(len(inner)), "loop": "loops", "axes": "axes", "events": "events"} if inner else {})
