"""Boxes and running text spelled for LaTeX and MathJax alike."""

from __future__ import annotations

import re
import unicodedata
from typing import assert_never

from ibsym.rendering.boxes import Accent, Box, Fence, Letter, Mark, Number, Quotient, Row, Script, Style, Word
from ibsym.rendering.notation import GREEK, Phrase

_GREEK = {char: rf"\{'lambda' if text == 'lam' else text}" for text, char in GREEK.items()}
_MARKS = {
    Mark.EQ: " = ",
    Mark.LE: r" \le ",
    Mark.GE: r" \ge ",
    Mark.APPROX: r" \approx ",
    Mark.PLUS: " + ",
    Mark.MINUS: " - ",
    Mark.NEGATIVE: "-",
    Mark.COMMA: ",",
    Mark.SEMICOLON: ";",
    Mark.GIVEN: r"\mid ",
    Mark.AGAINST: r"\,\|\,",
    Mark.IN: r" \in ",
    Mark.CHAIN: r" \leftrightarrow ",
    Mark.TIMES: r" \times ",
    Mark.THIN: r"\,",
    Mark.LOG: r"\log ",
    Mark.EXPECTATION: r"\mathbb{E}",
    Mark.OBJECTIVE: r"\mathcal{L}",
    Mark.REALS: r"\mathbb{R}",
    Mark.COUNTS: r"\mathbb{N}",
    Mark.SPHERE: r"\mathbb{S}",
    Mark.SIMPLEX: r"\Delta",
    Mark.INFINITY: r"\infty",
    Mark.DOTS: r"\dots",
}
_STYLES = {Style.UPRIGHT: r"\mathrm", Style.ITALIC: r"\mathit", Style.TEXT: r"\text"}
_BRACKETS = {"()": ("(", ")"), "[]": ("[", "]"), "{}": (r"\{", r"\}")}


def tex(box: Box) -> str:
    """A box as LaTeX mathematics, for amsmath and amssymb."""
    match box:
        case Letter(text):
            return _GREEK.get(text, text)
        case Word(text, style):
            return f"{_STYLES[style]}{{{words(text) if style is Style.TEXT else text.replace('_', chr(92) + '_')}}}"
        case Number(text):
            return text
        case Mark():
            return _MARKS[box]
        case Fence(brackets, body):
            left, right = _BRACKETS[brackets]
            return beside(left, tex(body), right)
        case Script(base, sub, sup):
            scripts = "".join(f"{mark}{{{tex(b).strip()}}}" for mark, b in (("_", sub), ("^", sup)) if b is not None)
            return tex(base).strip() + scripts
        case Accent(hat, base):
            return rf"\{hat.value}{{{tex(base).strip()}}}"
        case Quotient(over, under):
            return rf"\tfrac{{{tex(over).strip()}}}{{{tex(under).strip()}}}"
        case Row(items):
            return beside(*map(tex, items))
    assert_never(box)


def beside(*parts: str) -> str:
    """Parts one after the other; a command's name is kept from running into a letter."""
    text = ""
    for part in parts:
        text += " " + part if re.search(r"\\[A-Za-z]+$", text) and part[:1].isalpha() else part
    return text


_SPECIAL = {
    **{c: rf"$\{c}$" for c in "_%#&"},
    **{c: rf"\{c}" for c in "${}"},
    "\\": r"$\backslash$",
    "^": r"$\hat{\ }$",
    "~": r"$\sim$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "`": "'",
    "\u2018": "`",
    "\u2019": "'",
    "\u201c": "``",
    "\u201d": "''",
    "\u2013": "--",
    "\u2014": "---",
    "\u2026": "...",
    "\u00a0": " ",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "≈": r"$\approx$",
    "≠": r"$\ne$",
    "−": "$-$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "→": r"$\to$",
    "∞": r"$\infty$",
    "∈": r"$\in$",
    "ε": r"$\varepsilon$",
    "φ": r"$\varphi$",
    **{char: f"${command}$" for char, command in _GREEK.items()},
}
_COMBINING = frozenset("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327")


def words(text: str) -> str:
    r"""Running text, for text mode and for ``\text``; what pdflatex cannot set is named by its code point.

    The escapes are ones that MathJax, which knows few commands in text, reads as well.

    >>> words("100% of a_b & c")
    '100$\\%$ of a$\\_$b $\\&$ c'
    """
    return "".join(map(_character, unicodedata.normalize("NFC", " ".join(text.split()))))


def _character(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    if " " <= char <= "~" or char in "ßæœøåÆŒØÅł":
        return char
    parts = unicodedata.normalize("NFD", char)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in _COMBINING:
        return char
    return f"(U+{ord(char):04X})"


def citation(text: str) -> str:
    """A source as running text writes it."""
    return words(text.replace(" & ", " and "))


def phrase(items: Phrase) -> str:
    """Running text with mathematics in it."""
    return "".join(words_kept(i) if isinstance(i, str) else f"${tex(i).strip()}$" for i in items)


def words_kept(text: str) -> str:
    """Running text whose spaces at the ends count."""
    return (" " if text[:1] == " " else "") + words(text) + (" " if text[-1:] == " " and text.strip() else "")
