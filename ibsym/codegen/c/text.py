"""Text that goes into C source: comments, string literals, lines of at most 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ibsym.codegen.breaking import broken

WIDTH = 120


def comment(text: str) -> str:
    """A comment of as many lines as it takes; whatever the text holds, it stays one.

    >>> comment("a */ b")
    '/* a * / b */'
    """
    plain = "".join(c if c.isprintable() else " " for c in text).replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
    return "\n".join(
        textwrap.wrap(f"/* {plain} */", WIDTH, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)
    )


def string(parts: Sequence[str], between: str) -> str:
    r"""A literal, one part after the other, over as many lines as it takes.

    >>> print(string(["a", 'b"'], "\n").strip())
    "a\nb\""
    """
    escaped = [p.replace("\\", "\\\\").replace('"', '\\"') for p in parts]
    mark = between.replace("\n", "\\n")
    pieces = [p + (mark if k + 1 < len(escaped) else "") for k, p in enumerate(escaped)]
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece) > WIDTH - 10:
            lines.append("")
        lines[-1] += piece
    literals = [f'"{line}"' for line in lines]
    return (
        f" {literals[0]}" if len(literals) == 1 and len(literals[0]) < WIDTH - 40 else "".join(f"\n    {x}" for x in literals)
    )


def laid_out(source: str) -> str:
    """The source with its long lines broken: after a comma or before an operator, as far out as there is one.

    >>> print(laid_out("    x = f(" + " + ".join(["aaaaaaaaaa"] * 12) + ");"))
        x = f(aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa
              + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa);
    """
    lines = source.split("\n")
    return "\n".join(p for x in lines for p in ([x] if x.lstrip().startswith(("/*", '"', "#")) else broken(x, WIDTH)))


def braced(values: Sequence[str]) -> str:
    """An array's values.

    >>> braced(["1", "2"])
    '{1, 2}'
    """
    return f"{{{', '.join(values)}}}"
