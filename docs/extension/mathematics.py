"""LaTeX as MathML, which browsers draw by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert

if TYPE_CHECKING:
    from sphinx.writers.html5 import HTML5Translator


def visit(self: HTML5Translator, node: Any) -> None:
    """A formula in LaTeX."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    self.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def depart(self: HTML5Translator, node: Any) -> None:
    """Nothing is left open."""
