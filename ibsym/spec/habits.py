"""What people write by habit in place of the language of specs: ``min``, ``D_KL``, a Greek letter, a missing ``*``.

Each habit says one thing in another way, so that what is proposed means what was written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from ibsym.errors import nearest

QUANTITY = r"(?:I|H|TC|KL|CE|JS|E|F)(?:_[A-Za-z]\w*)?\s*[(\[]"

HABITS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\\(?:mathrm|mathbb|operatorname|text)\{(\w+)\}", r"\1"),
    (r"\\(?:left|right|[,;!])", ""),
    (r"\\(?:\||Vert|parallel)", "||"),
    (r"\\mid\b\s*", "|"),
    (r"\\cdot\b", "*"),
    (r"\\([A-Za-z]+)", r"\1"),
    (r"_\{(\w+)\}", r"_\1"),
    ("[\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}\N{DOT OPERATOR}]", "*"),
    ("[\N{MINUS SIGN}\N{EN DASH}]", "-"),
    ("[\N{DOUBLE VERTICAL LINE}\N{PARALLEL TO}]", "||"),
    (r"[Ͱ-Ͽ]", lambda m: latin(m[0])),
    (r"^\s*(?:arg)?(min|max)(?:imi[sz]e)?(?:_\w+)?\s*:?\s+", r"\1imize "),
    (r"^\s*([A-Za-z]+)(?=\s)", lambda m: nearest(m[1], ("minimize", "maximize")) or m[0]),
    (r"\b((?:KL|CE|JSD?|TC|I|H)(?:_\w+)?)\[([^\[\]]*)\]", r"\1(\2)"),
    (r"\bln\b", "log"),
    (r"\b(?:MI|Info)(?=(?:_\w+)?\s*\()", "I"),
    (r"\b(?:D_?)?(KL|JS)D?(?=\s*\()", r"\1"),
    (r"\b(?:KL|kl)(?:_\w+)?(?=\s*\()", "KL"),
    (r"\b(KL|CE|JS)\(\s*(\w+\([^()]*\))\s*[,;|]\s*(?=\w+\()", r"\1(\2||"),
    (r"\bE(_\w+)?\s*\(\s*(log\s+\w+\([^()]*\))\s*\)", r"E\1[\2]"),
    (r"\blog\s*\(\s*(\w+\([^()]*\))\s*\)", r"log \1"),
    (rf"((?<!\w)(?!minimize\b|maximize\b|with\b|log\b)[A-Za-z]\w*|(?<![\w)\]])\([^()]*\))\s++(?={QUANTITY})", r"\1*"),
)


def latin(letter: str) -> str:
    """The name that a parameter may have for a Greek letter.

    >>> latin("β"), latin("λ")
    ('beta', 'lam')
    """
    return "lam" if letter == "λ" else unicodedata.name(letter, "").rpartition(" ")[2].lower()


def mended(text: str) -> str:
    """The text with every habit said in the language of specs, and its brackets closed; the same where there is none.

    >>> mended("min I_q(X;Z) − β I_q(Z;C"), mended("maximize D_KL(q(z|x), p(z))")
    ('minimize I_q(X;Z) - beta*I_q(Z;C)', 'maximize KL(q(z|x)||p(z))')
    """
    for pattern, replacement in HABITS:
        text = re.sub(pattern, replacement, text)
    open_brackets: list[str] = []
    for character in text:
        if character in "([":
            open_brackets.append(")" if character == "(" else "]")
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
    return text + "".join(reversed(open_brackets))
