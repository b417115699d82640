"""Text that goes into Python source: string literals, docstrings, wrapped lines; whatever a title may hold, it stays text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from ibsym.codegen.breaking import broken

WIDTH = 120
"""The columns of an emitted line."""


def quoted(text: str) -> str:
    """A string literal, in double quotes where the text has none.

    >>> print(quoted("KL(q(z)||p(z))"))
    "KL(q(z)||p(z))"
    """
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal


def tupled(parts: Iterable[str]) -> str:
    """A tuple of expressions.

    >>> tupled(["1"]), tupled(["1", "2"])
    ('(1,)', '(1, 2)')
    """
    items = list(parts)
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def plain(text: str) -> str:
    """One line, fit for a docstring: no control characters, no end of the docstring, no escapes."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def wrapped(text: str, indent: int, hanging: int = 0) -> list[str]:
    """Lines of a docstring, indented."""
    first, rest = " " * indent, " " * (indent + hanging)
    return textwrap.wrap(
        plain(text), WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def wrapped_sum(text: str, indent: int) -> list[str]:
    """Lines of a docstring that hold a sum, broken before a sign that stands outside of all parentheses.

    >>> wrapped_sum("a" * 70 + " + (beta - 1)*" + "b" * 40, 4)[1]
    '        + (beta - 1)*bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'
    """
    lines = [" " * indent]
    for part in _summands(plain(text)):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(part) > WIDTH:
            lines.append(" " * (indent + 4))
        lines[-1] += part if not lines[-1].strip() else f" {part}"
    return [piece for line in lines for piece in ([line] if len(line) <= WIDTH else wrapped(line.strip(), _indent(line), 4))]


def _indent(line: str) -> int:
    """The columns before its text."""
    return len(line) - len(line.lstrip())


def assigned(name: str, expression: str) -> list[str]:
    """``name = expression``, over several lines where it is long: broken at sums, outermost first.

    >>> assigned("a", "b + c")
    ['a = b + c']
    """
    line = f"{name} = {expression}"
    if len(line) + 8 <= WIDTH:
        return [line]
    head, inner, tail = _outer(expression)
    parts = _summands(inner)
    under = [*broken(line if len(parts) == 1 else f"{name} = {head}({inner}){tail}", WIDTH - 8, 1)]
    if len(parts) == 1:
        return under
    block = [f"{name} = {head}(", *(f"    {p}" for p in _rows(parts, WIDTH - 12)), f"){tail}"]
    block = [piece for long in block for piece in broken(long, WIDTH - 8, 1)]
    return min(block, under, key=lambda lines: (max(map(len, lines)) > WIDTH - 8, len(lines)))


def _rows(parts: Iterable[str], width: int) -> list[str]:
    """Summands, as many a line as fit.

    >>> _rows(["a", "+ b", "- cc"], 5)
    ['a + b', '- cc']
    """
    rows: list[str] = []
    for part in parts:
        if rows and len(rows[-1]) + 1 + len(part) <= width:
            rows[-1] += f" {part}"
        else:
            rows.append(part)
    return rows


def _outer(expression: str) -> tuple[str, str, str]:
    """What stands before, in and after the parentheses to break: those around everything, or new ones."""
    if len(_summands(expression)) == 1 and "(" in expression:
        start = expression.index("(")
        depth = 0
        for end in range(start, len(expression)):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(expression[end], 0)
            if depth == 0:
                inner = expression[start + 1 : end]
                if len(_summands(inner)) > 1:
                    return expression[:start], inner, expression[end + 1 :]
                break
    return "", expression, ""


def _summands(expression: str) -> list[str]:
    """The expression split before each + and - that stands outside of all parentheses."""
    parts, depth, start = [], 0, 0
    for k, c in enumerate(expression):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(c, 0)
        if depth == 0 and expression[k : k + 3] in (" + ", " - "):
            parts.append(expression[start:k])
            start = k + 1
    return [*parts, expression[start:]]
