"""Boxes and running text spelled for LaTeX and MathJax alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import assert_never

from ibsym.rendering.boxes import Accent, Box, Bracket, Fence, Letter, Mark, Number, Quotient, Row, Script, Style, Word
from ibsym.rendering.notation import GREEK, Phrase

_GREEK = {char: rf"\{'lambda' if text == 'lam' else text}" for text, char in GREEK.items()}
PLAIN = {
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
    Mark.ENTROPY: "H",
    Mark.INFORMATION: "I",
    Mark.DIVERGENCE: "D",
    Mark.KL: r"\mathrm{KL}",
    Mark.CE: r"\mathrm{CE}",
    Mark.TC: r"\mathrm{TC}",
    Mark.JS: r"\mathrm{JS}",
    Mark.QUAD: r"\quad ",
    Mark.BREAK: r"\allowbreak ",
}
MACROS = {
    Mark.EXPECTATION: "ibsymE",
    Mark.ENTROPY: "ibsymH",
    Mark.INFORMATION: "ibsymI",
    Mark.DIVERGENCE: "ibsymD",
    Mark.KL: "ibsymKL",
    Mark.CE: "ibsymCE",
    Mark.TC: "ibsymTC",
    Mark.JS: "ibsymJS",
    Mark.GIVEN: "ibsymgiven",
    Mark.AGAINST: "ibsymagainst",
    Mark.OBJECTIVE: "ibsymobjective",
}
"""What a paper may want to spell otherwise: each is a command there, which a class or a preamble may have defined before."""
NAMED = {**PLAIN, **{mark: f"\\{name} " for mark, name in MACROS.items()}}
PROVIDED = tuple(rf"\providecommand{{\{name}}}{{{PLAIN[mark].strip()}}}" for mark, name in MACROS.items())
_STYLES = {Style.UPRIGHT: r"\mathrm", Style.ITALIC: r"\mathit", Style.TEXT: r"\text"}
_BRACKETS = {"()": ("(", ")"), "[]": ("[", "]"), "{}": (r"\{", r"\}")}


def tex(box: Box, marks: Mapping[Mark, str] = PLAIN) -> str:
    """A box as LaTeX mathematics, for amsmath and amssymb; ``marks`` is :data:`NAMED` where the commands of a paper are defined."""

    def inner(box: Box) -> str:
        return tex(box, marks).strip()

    match box:
        case Letter(text):
            return _GREEK.get(text, text)
        case Word(text, style):
            return f"{_STYLES[style]}{{{words(text) if style is Style.TEXT else text.replace('_', chr(92) + '_')}}}"
        case Number(text):
            return text
        case Mark():
            return marks[box]
        case Fence(brackets, body):
            left, right = _BRACKETS[brackets]
            return beside(left, tex(body, marks), right)
        case Bracket(text):
            return {"{": r"\{", "}": r"\}"}.get(text, text)
        case Script(base, sub, sup):
            scripts = "".join(f"{mark}{{{inner(b)}}}" for mark, b in (("_", sub), ("^", sup)) if b is not None)
            return inner(base) + scripts
        case Accent(hat, base):
            return rf"\{hat.value}{{{inner(base)}}}"
        case Quotient(over, under):
            return rf"\tfrac{{{inner(over)}}}{{{inner(under)}}}"
        case Row(items):
            return beside(*(tex(item, marks) for item in items))
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


def phrase(items: Phrase, marks: Mapping[Mark, str] = PLAIN) -> str:
    """Running text with mathematics in it."""
    return "".join(words_kept(i) if isinstance(i, str) else f"${tex(i, marks).strip()}$" for i in items)


def words_kept(text: str) -> str:
    """Running text whose spaces at the ends count."""
    return (" " if text[:1] == " " else "") + words(text) + (" " if text[-1:] == " " and text.strip() else "")
