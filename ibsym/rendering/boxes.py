"""Mathematics as a small closed set of boxes, between a term and what spells it (LaTeX, MathML)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
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
    REALS = "ℝ"
    COUNTS = "ℕ"
    SPHERE = "𝕊"
    SIMPLEX = "Δ"
    INFINITY = "∞"
    DOTS = "…"


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


Box: TypeAlias = Letter | Word | Number | Mark | Fence | Script | Accent | Quotient | Row


def row(*items: Box) -> Box:
    """The boxes side by side; a single one is itself."""
    return items[0] if len(items) == 1 else Row(items)


def joined(separator: Mark, items: tuple[Box, ...]) -> Box:
    """The boxes with the mark between them."""
    spread = [box for item in items for box in (separator, item)]
    return row(*spread[1:])


def width(box: Box) -> float:
    """A rough width in em, enough to decide where a line breaks."""
    match box:
        case Letter():
            return 0.6
        case Word(text):
            return 0.55 * len(text)
        case Number(text):
            return 0.5 * len(text)
        case Mark.EQ | Mark.LE | Mark.GE | Mark.APPROX | Mark.IN | Mark.CHAIN:
            return 1.35
        case Mark.PLUS | Mark.MINUS | Mark.TIMES | Mark.LOG:
            return 1.25
        case Mark.GIVEN:
            return 0.85
        case Mark.AGAINST:
            return 0.9
        case Mark.THIN:
            return 0.17
        case Mark.COMMA | Mark.SEMICOLON:
            return 0.45
        case Mark():
            return 0.8
        case Fence(_, body):
            return 0.78 + width(body)
        case Script(base, sub, sup):
            return width(base) + 0.72 * max(width(b) if b is not None else 0.0 for b in (sub, sup))
        case Accent(_, base):
            return width(base)
        case Quotient(over, under):
            return 0.2 + 0.72 * max(width(over), width(under))
        case Row(items):
            return sum(map(width, items))
