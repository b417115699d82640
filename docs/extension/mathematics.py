"""LaTeX as MathML, which browsers draw by themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert

if TYPE_CHECKING:
    from sphinx.writers.html5 import HTML5Translator


def visit(self: HTML5Translator, node: Any) -> None:
    """A formula in LaTeX."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    thin = r'<mspace width="0.167em"/>'
    drawn = convert(node.astext().replace("{aligned}", "{align*}"), display=display)
    if re.search(r"<m[io]>(&<|\\)", drawn):
        raise ValueError(f"a formula is not drawn as it is meant: {node.astext()}")
    self.body.append(re.sub(r"<mi>(log|exp|sup|max|min)</mi>", rf"{thin}\g<0>{thin}", drawn))
    raise nodes.SkipNode


def depart(self: HTML5Translator, node: Any) -> None:
    """Nothing is left open."""
