"""What people write by habit in place of the language of specs: ``min``, ``D_KL``, a Greek letter, a missing ``*``.

Each habit says one thing in another way, so that what is proposed means what was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from ibsym.errors import nearest

QUANTITY = r"(?:I|H|TC|KL|CE|JS|E|F)(?:_[A-Za-z]\w*)?\s*[(\[]"
DENSITY = r"\w+\([^()]*\)"
GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega"
ESCAPES = {"\b": "b", "\f": "f", "\t": "t", "\r": "r"}
"""What a backslash and a letter become between double quotes."""

Habits = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


def _ratio(found: re.Match[str]) -> str:
    r"""``\frac{a}{b}``: brackets where a part is more than one name, number or density."""
    above, below = (part.strip() for part in found.groups())
    whole = rf"[\w.]+|{DENSITY}"
    return "/".join(part if re.fullmatch(whole, part) else f"({part})" for part in (above, below))


TEX: Habits = (
    (r"^\s*(?:\$\$?|\\[\[(])|(?:\$\$?|\\[\])])\s*$", ""),
    (rf"_(?:\{{\s*)?(?:\\(?:var)?(?:{GREEK.replace(' ', '|')})|[Ͱ-Ͽ])(?:\s*\}})?(?=\s*[(\[])", ""),
    (r"\\([A-Za-z]+)(?=\\math|\\text|\\operatorname)", r"\\\1 "),
    (r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", _ratio),
    (r"\\(?:math[a-z]+|operatorname\*?|text[a-z]*|boldsymbol|bm)\s*\{(\w+)\}", r"\1"),
    (r"\\(?:left|right|[Bb]igg?[lrm]?|q?quad)(?![A-Za-z])|\\[,;:! ]", " "),
    (r"\\(?:\||[lr]?Vert|parallel)", "||"),
    (r"\\[lr]?(?:mid|vert)\b\s*", "|"),
    (r"\\(?:cdot|times|ast)\b", "*"),
    (r"\\sim\b", "~"),
    (r"\\leq?\b", "<="),
    (r"\\geq?\b", ">="),
    (r"\\(?:var)?lambda\b", "lam"),
    (r"\\([A-Za-z]+)(?=\\)", r"\\\1 "),
    (r"\\(?:var(?=[a-z]))?([A-Za-z]+)", r"\1"),
)
SIGNS: Habits = (
    (r"[¹²³⁴-⁹]", lambda m: f"^{unicodedata.normalize('NFKC', m[0])}"),
    (r"[^\x00-\x7f]", lambda m: unicodedata.normalize("NFKC", m[0])),
    ("[\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}\N{DOT OPERATOR}\N{ASTERISK OPERATOR}]", "*"),
    ("[\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}]", "-"),
    ("[\N{DOUBLE VERTICAL LINE}\N{PARALLEL TO}]", "||"),
    ("\N{DIVIDES}", "|"),
    ("\N{LESS-THAN OR EQUAL TO}", "<="),
    ("\N{GREATER-THAN OR EQUAL TO}", ">="),
    ("[\N{RIGHTWARDS ARROW}\N{LONG RIGHTWARDS ARROW}]", "->"),
    (r"[Ͱ-Ͽ]", lambda m: latin(m[0])),
    (r"\[\s+", "["),
)
WHOLE: Habits = (
    (r"\s*[#%].*$|[.,;\s]+$", ""),
    (r"^\s*(?:arg\s*)?(min|max)(?:imi[sz]e)?(?:_\{[^{}]*\}|_\w+)?\s*:?\s+", r"\1imize "),
    (r"^\s*([A-Za-z]+)(?=\s)", lambda m: nearest(m[1], ("minimize", "maximize")) or m[0]),
    (r"^\s*(?:loss|cost)\s*:?=\s*", "minimize "),
    (r"^(minimize|maximize)\s+[A-Za-z]\w*(?:\([^()]*\))?\s*:?=\s*", r"\1 "),
)
TERMS: Habits = (
    (r"\b(E|I|H|TC)_\{?\s*(?:[\w,\s]+~\s*)?(\w+)(?:\([^(){}]*\))?\s*\}?(?=\s*(?:[(\[]|log\b))", r"\1_\2"),
    (r"_\{(\w+)\}", r"_\1"),
    (r"\b(?i:mutual_?information|MI|Info)(?=(?:_\w+)?\s*\()", "I"),
    (r"\b(?i:cross_?entropy)(?=\s*\()", "CE"),
    (r"\b(?:[Ee]ntropy|h)(?=(?:_\w+)?\s*\()", "H"),
    (r"\b(?:total_correlation|tc)(?=(?:_\w+)?\s*\()", "TC"),
    (r"\b(?:D_?)?(KL|JS)D?(?=\s*[(\[])", r"\1"),
    (r"\b(?:KL|kl)(?:_\w+|_?div(?:ergence)?)?(?=\s*\()", "KL"),
    (rf"\bD(?=\(\s*{DENSITY}\s*\|\|)", "KL"),
    (r"\b([IH]|TC)([a-z])(?=\s*\()", r"\1_\2"),
    (r"\b(I|H|TC)(\([^()]*\))_(\w+)", r"\1_\3\2"),
    (r"\b((?:KL|CE|JS|TC|I|H)(?:_\w+)?)\[([^\[\]]*)\]", r"\1(\2)"),
    (rf"\b(KL|CE|JS)\(\s*({DENSITY})\s*(?:[,;|]|//)\s*(?=\w+\()", r"\1(\2||"),
    (r"\b(I(?:_\w+)?\([^():]*):([^():]*\))", r"\1;\2"),
    (r"\bln\b", "log"),
    (rf"\blog\s*\(\s*({DENSITY})\s*\)", r"log \1"),
    (r"\b(E(?:_\w+)?)\s*\[\s*-\s*log\b", r"-\1[log"),
    (rf"\b(E(?:_\w+)?)\s*\(?\s*(log\s+{DENSITY})\s*\)?", r"\1[\2]"),
    (
        rf"\b(E(?:_\w+)?)\s*\[\s*log\s*\(?\s*({DENSITY})\s*(?:/|-\s*log\b)\s*({DENSITY})\s*\)?\s*\]",
        r"(\1[log \2] - \1[log \3])",
    ),
    (rf"(?<!\[)\blog\s+({DENSITY})", r"E[log \1]"),
)
WEIGHTS: Habits = (
    (rf"(?<![\w.])(\d+(?:\.\d+)?)\s*(?=(?!e[+-]?\d|{QUANTITY})[A-Za-z(])", r"\1*"),
    (rf"(?<=\w)\.\s*(?={QUANTITY})", "*"),
    (rf"\b(?!minimize\b|maximize\b)([A-Za-z]\w*)\s*\((?=\s*-?\s*\d*\s*{QUANTITY})", r"\1*("),
    (rf"(?<=[/^])(\s*\w+)\s+(?={QUANTITY})", r"\1*"),
    (rf"((?<!\w)(?!minimize\b|maximize\b|with\b|log\b)[A-Za-z]\w*(?=\s)|(?<![\w)\]])\([^()]*\))\s*+(?={QUANTITY})", r"\1*"),
    (r"(?<=\))\s*(?=\()", "*"),
)
SPACES: Habits = ((r"\s*(\|\|?)\s*", r"\1"), (r"(?<=[(\[])\s+|\s+(?=[)\]])", ""), (r"\s{2,}", " "))
HABITS: Habits = (*TEX, *SIGNS, *WHOLE, *TERMS, *WEIGHTS, *SPACES)
FACTORS: Habits = (
    *TEX,
    *SIGNS,
    (rf"^\s*{DENSITY}\s*:?=\s*", ""),
    (r"(?:(?<=^)|(?<=[\s,;]))[\w,]+\s*~\s*(?=\w+\()", ""),
    (r"(?<=\))\s*(?:[,;]|->)\s*(?=\w)", " "),
)
"""Those of a product of factors: a name for the product, ``z ~ p(z)``, commas and arrows between factors."""


def latin(letter: str) -> str:
    """The name that a parameter may have for a Greek letter.

    >>> latin("β"), latin("λ")
    ('beta', 'lam')
    """
    return "lam" if letter == "λ" else unicodedata.name(letter, "").rpartition(" ")[2].lower()


def unescaped(text: str) -> str:
    r"""The text with the backslashes of TeX that double quotes took: ``\beta`` is a backspace and ``eta`` there.

    >>> unescaped("minimize -\beta*I_q(Z;C)") == r"minimize -\beta*I_q(Z;C)"
    True
    """
    names = (*GREEK.split(), "frac", "text", "times", "right")
    words = "|".join(f"(?<={e}){n[1:]}(?![A-Za-z])" for e, letter in ESCAPES.items() for n in names if n[0] == letter)
    return re.sub(rf"[{''.join(ESCAPES)}](?={words})", lambda m: "\\" + ESCAPES[m[0]], text)


def mended(text: str, habits: Habits = HABITS) -> str:
    """The text with every habit said in the language of specs, and its brackets closed; the same where there is none.

    >>> mended("min I_q(X;Z) − β I_q(Z;C"), mended("maximize D_KL(q(z|x), p(z))")
    ('minimize I_q(X;Z) - beta*I_q(Z;C)', 'maximize KL(q(z|x)||p(z))')
    """
    for pattern, replacement in habits:
        text = re.sub(pattern, replacement, text)
    found: list[str] = []
    open_brackets: list[str] = []
    for character in text:
        if character in "([":
            open_brackets.append(")" if character == "(" else "]")
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
        elif not open_brackets and character in ")]":
            continue  # closes nothing
        found.append(character)
    return "".join((*found, *reversed(open_brackets)))
