"""Lines of Python that compute formulas over blocks, and how they are laid out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import sympy

from ibsym.codegen.breaking import broken
from ibsym.codegen.triton.printing import block

WIDTH = 120


def shared(formulas: Sequence[sympy.Expr]) -> tuple[list[str], list[str]]:
    """Statements for common subexpressions, and the formulas over them.

    >>> x = sympy.Symbol("x", real=True)
    >>> shared([sympy.exp(x), sympy.exp(x) + 1])
    (['t0 = exponential(x)'], ['t0', 't0 + 1'])
    """
    names = sympy.numbered_symbols("t", cls=sympy.Symbol, real=True)
    temporary, written = sympy.cse(list(formulas), symbols=names, optimizations=None, order="canonical")
    return [f"{s} = {block(e)}" for s, e in temporary], [block(e) for e in written]


def signature(name: str, parameters: Sequence[str]) -> str:
    """The head of a kernel, within the width of a page.

    >>> signature("totals", ["out", "BLOCK: tl.constexpr"])
    'def totals(out, BLOCK: tl.constexpr):'
    """
    return call(f"def {name}", parameters) + ":"


def call(name: str, arguments: Sequence[str], width: int = WIDTH) -> str:
    """A call, on as many lines as it needs."""
    whole = f"{name}({', '.join(arguments)})"
    if len(whole) < width:
        return whole
    lines, line = [], ""
    for argument in arguments:
        if line and len(line) + len(argument) + 7 > width:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{argument},"
    return "\n".join([f"{name}(", *(f"    {line}" for line in (*lines, line)), ")"])


def laid_out(source: str) -> str:
    """The source with its long lines broken: inside brackets, where Python lets a line end; docstrings between words.

    >>> print(laid_out("total = tl.sum(" + " + ".join(["aaaaaaaaaa"] * 11) + ", 0)"))
    total = tl.sum(aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa
                   + aaaaaaaaaa + aaaaaaaaaa + aaaaaaaaaa, 0)
    """
    return "\n".join(piece for line in source.split("\n") for piece in _pieces(line))


def _pieces(line: str) -> Iterator[str]:
    text = line.lstrip()
    if len(line) <= WIDTH or text.startswith("#"):
        yield line
    elif text.startswith('"""'):
        indent = " " * (len(line) - len(text))
        yield from textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
    else:
        yield from broken(line, WIDTH, least=1)
