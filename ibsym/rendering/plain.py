"""A LaTeX statement -> the same on one line of text: what rules and estimators say of themselves, for a terminal."""

from __future__ import annotations

import re

SYMBOLS = {
    r"\approx": "≈",
    r"\ge": "≥",
    r"\le": "≤",
    r"\ne": "≠",
    r"\sim": "~",
    r"\to": "→",
    r"\Rightarrow": "⇒",
    r"\sigma": "σ",
    r"\sum": "Σ",
    r"\dots": "...",
    r"\log": "log",
    r"\exp": "exp",
    r"\max": "max",
    r"\min": "min",
    r"\sup": "sup",
    r"\|": "||",
    r"\infty": "∞",
    r"\lambda": "λ",
    r"\beta": "β",
    r"\alpha": "α",
    r"\cdot": "·",
    r"\times": "×",
    r"\quad": " ",
    r"\;": " ",
    r"\,": " ",
    r"\ ": " ",
    r"\!": "",
}
GROUP = r"\{((?:[^{}]|\{[^{}]*\})*)\}"


def plain(latex: str) -> str:
    r"""One line of text for a formula in LaTeX.

    >>> plain(r"JS(P,Q) \ge \log 2 + \tfrac12 E_P[\log\sigma(f)]")
    'JS(P,Q) ≥ log 2 + 1/2 E_P[log σ(f)]'
    >>> plain(r"I(A;B) \le E \log \frac{j(b|a)}{\frac{1}{K-1}\sum_{k\ne i} j(b_i|a_k)}")
    'I(A;B) ≤ E log j(b|a) / (1/(K-1) Σ_(k≠i) j(b_i|a_k))'
    """
    text, before = latex, ""
    while text != before:
        before = text
        text = re.sub(r"\\[td]?frac\s*" + GROUP + GROUP, lambda m: _ratio(m[1], m[2]), text)
        text = re.sub(r"\\[td]?frac\s*(\w)\s*(\w)", r"\1/\2 ", text)
        text = re.sub(r"\\(?:mathrm|mathit|operatorname|text|mathbb|mathcal)\s*" + GROUP, r"\1", text)
        text = re.sub(r"\\(?:hat|bar|tilde)\s*(?:" + GROUP + r"|(\w))", lambda m: (m[1] or m[2]) + "_hat", text)
        text = re.sub(r"([_^])" + GROUP, lambda m: m[1] + (m[2] if re.fullmatch(r"\w+|.", m[2]) else f"({m[2]})"), text)
    for command in sorted(SYMBOLS, key=len, reverse=True):
        letters = command[1:].isalpha()
        text = re.sub(re.escape(command) + (r"(?![A-Za-z])\s*" if letters else ""), lambda m, c=command: _spaced(c), text)  # type: ignore[misc]
    text = re.sub(r"\s+", " ", text.replace("{", "(").replace("}", ")"))
    text = re.sub(r"\s*(≠)\s*", r"\1", text)
    text = re.sub(r"(?<=[A-Za-z0-9])(?=log )|(?<=[\w)\]])(?=Σ)", " ", text)
    return re.sub(r"(log|exp|Σ(?:_\w|_\([^()]*\))?) ?(?=[\w(σΣ])", r"\1 ", text).replace("( ", "(").strip()


def _spaced(command: str) -> str:
    """A relation between blanks, a word before one."""
    symbol = SYMBOLS[command]
    return f" {symbol} " if symbol in "≈≥≤≠→⇒~" and symbol else symbol + (" " if symbol.isalpha() and len(symbol) > 1 else "")


def _ratio(over: str, under: str) -> str:
    """a/b where both are short, (a) / (b) elsewhere."""
    if re.fullmatch(r"\w", under) and re.fullmatch(r"\w+", over):
        return f"{over}/{under} "
    if re.fullmatch(r"\w+", over) and len(under) < 8:
        return f"{over}/({under}) "
    return f"{over} / ({under})"
