"""Mathematics as a small closed set of boxes, between a term and what spells it (LaTeX, MathML)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, pairwise
from typing import TypeAlias


class Style(Enum):
    """How a word of several letters is set: an operator's name, a variable's name, or plain text."""

    UPRIGHT = "upright"
    ITALIC = "italic"
    TEXT = "text"


class Mark(Enum):
    """Relations, operators, separators and fixed letters."""

    EQ = "="
    LE = "≤"
    GE = "≥"
    APPROX = "≈"
    PLUS = "+"
    MINUS = "−"
    NEGATIVE = "-"  # a sign, where MINUS is an operation
    COMMA = ","
    SEMICOLON = ";"
    GIVEN = "|"
    AGAINST = "‖"
    IN = "∈"
    CHAIN = "↔"
    TIMES = "×"
    THIN = " "  # a thin space between factors
    LOG = "log"
    EXPECTATION = "𝔼"
    OBJECTIVE = "ℒ"
    ENTROPY = "H"
    INFORMATION = "I"
    DIVERGENCE = "D"
    KL = "KL"
    CE = "CE"
    TC = "TC"
    JS = "JS"
    REALS = "ℝ"
    COUNTS = "ℕ"
    SPHERE = "𝕊"
    SIMPLEX = "Δ"
    INFINITY = "∞"
    DOTS = "…"
    QUAD = " "
    BREAK = ""  # where a line of running text may end


class Hat(Enum):
    """What stands above a letter."""

    HAT = "hat"
    WIDE = "widehat"
    TILDE = "tilde"
    BAR = "bar"


@dataclass(frozen=True, slots=True)
class Letter:
    """One italic letter, Latin or Greek (by its Unicode character)."""

    text: str


@dataclass(frozen=True, slots=True)
class Word:
    """Several letters that are one name."""

    text: str
    style: Style


@dataclass(frozen=True, slots=True)
class Number:
    """Digits."""

    text: str


@dataclass(frozen=True, slots=True)
class Fence:
    """A body between brackets that do not grow: ``()``, ``[]`` or ``{}``."""

    brackets: str
    body: Box


@dataclass(frozen=True, slots=True)
class Bracket:
    """One bracket, its partner on another line."""

    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """A base with a subscript, a superscript, or both."""

    base: Box
    sub: Box | None = None
    sup: Box | None = None


@dataclass(frozen=True, slots=True)
class Accent:
    """A base with a mark above it."""

    hat: Hat
    base: Box


@dataclass(frozen=True, slots=True)
class Quotient:
    """A small fraction."""

    over: Box
    under: Box


@dataclass(frozen=True, slots=True)
class Row:
    """Boxes side by side."""

    items: tuple[Box, ...]


Box: TypeAlias = Letter | Word | Number | Mark | Fence | Bracket | Script | Accent | Quotient | Row


def row(*items: Box) -> Box:
    """The boxes side by side; a single one is itself."""
    return items[0] if len(items) == 1 else Row(items)


def joined(separator: Mark, items: tuple[Box, ...]) -> Box:
    """The boxes with the mark between them."""
    spread = [box for item in items for box in (separator, item)]
    return row(*spread[1:])


_WIDTHS = {
    **dict.fromkeys((Mark.EQ, Mark.LE, Mark.GE, Mark.APPROX, Mark.IN, Mark.CHAIN), 1.35),
    **dict.fromkeys((Mark.PLUS, Mark.MINUS, Mark.TIMES, Mark.LOG), 1.25),
    **dict.fromkeys((Mark.KL, Mark.CE, Mark.TC, Mark.JS), 1.45),
    **dict.fromkeys((Mark.COMMA, Mark.SEMICOLON), 0.45),
    Mark.GIVEN: 0.85,
    Mark.AGAINST: 0.9,
    Mark.THIN: 0.17,
    Mark.QUAD: 1.0,
    Mark.BREAK: 0.0,
}


def width(box: Box) -> float:
    """A rough width in em, enough to decide where a line breaks."""
    match box:
        case Letter():
            return 0.6
        case Word(text):
            return 0.55 * len(text)
        case Number(text):
            return 0.5 * len(text)
        case Mark():
            return _WIDTHS.get(box, 0.8)
        case Fence(_, body):
            return 0.78 + width(body)
        case Bracket():
            return 0.39
        case Script(base, sub, sup):
            return width(base) + 0.72 * max(width(b) if b is not None else 0.0 for b in (sub, sup))
        case Accent(_, base):
            return width(base)
        case Quotient(over, under):
            return 0.2 + 0.72 * max(width(over), width(under))
        case Row(items):
            return sum(map(width, items))


def flat(box: Box) -> tuple[Box, ...]:
    """What stands side by side in a box, brackets and what is between them included; scripts and fractions stay whole."""
    match box:
        case Row(items):
            return tuple(part for item in items for part in flat(item))
        case Fence(brackets, body):
            return (Bracket(brackets[0]), *flat(body), Bracket(brackets[1]))
    return (box,)


def ends(items: tuple[Box, ...]) -> dict[int, int]:
    """Before which item a line may end, and how little one would like it to."""
    found: dict[int, int] = {}
    depth = 0
    for i, (before, after) in enumerate(pairwise(items), 1):
        depth += (1 if before.text in "([{" else -1) if isinstance(before, Bracket) else 0
        if after is Mark.AGAINST:
            found[i] = 0
        elif after in (Mark.PLUS, Mark.MINUS):
            found[i] = 4 if depth else 0
        elif before is Mark.THIN:
            found[i] = 1
        elif before in (Mark.COMMA, Mark.SEMICOLON):
            found[i] = 2
        elif after is Mark.GIVEN:
            found[i] = 3
    return found


def broken(box: Box, limit: float, first: float | None = None) -> tuple[Box, ...]:
    """The box on as few lines as hold it, ended where it hurts least; ``first`` is the room on the first one."""
    items = flat(box)
    places = ends(items)
    stops = [0, *places, len(items)]
    total = list(accumulate(map(width, items), initial=0.0))
    best: dict[int, tuple[float, int, float, int]] = {0: (0.0, 0, 0.0, 0)}  # what does not fit, lines, cost, where from
    for stop in stops[1:]:
        ways = []
        for start in (s for s in stops if s < stop):
            room = limit if start or first is None else first
            over = max(0.0, total[stop] - total[start] - room)
            ways.append((best[start][0] + over, best[start][1] + 1, best[start][2] + places.get(stop, 0), start))
        best[stop] = min(ways)
    cuts = [len(items)]
    while cuts[-1]:
        cuts.append(best[cuts[-1]][3])
    cuts.reverse()
    lines = (items[a:b] for a, b in pairwise(cuts))
    return tuple(row(*(line[:-1] if line[-1] is Mark.THIN else line)) for line in lines)


def loose(box: Box) -> Box:
    """The box with leave to end a line at each place where it may be broken."""
    items = flat(box)
    places = ends(items)
    return Row(tuple(part for i, item in enumerate(items) for part in ((Mark.BREAK, item) if i in places else (item,))))
