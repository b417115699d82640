"""sum |sg[code] - e|^2 and sum |code - sg[e]|^2, e the vector of a codebook that is nearest to a code, as a loss program has them."""

from __future__ import annotations

from collections.abc import Callable

import sympy

from ibsym.lowering.fusion.calculus import Unfused
from ibsym.lowering.fusion.sums import Quantised
from ibsym.lowering.program import Elementwise, Load, Nearest, Node, Reduce, StopGradient, Vectors


def quantised(node: Reduce, resolved: Callable[[Node], Node]) -> Quantised:
    """The distance of codes from their vectors, and which of the two it moves."""
    inner = resolved(node.operand)
    if not isinstance(inner, Elementwise) or len(inner.operands) != 2:
        raise Unfused("no difference of two values")
    sides = [resolved(n) for _, n in inner.operands]
    first, second = (sympy.Symbol(n, real=True) for n, _ in inner.operands)
    moves = [not isinstance(side, StopGradient) for side in sides]
    values = [resolved(side.operand) if isinstance(side, StopGradient) else side for side in sides]
    code = next((v for v in values if isinstance(v, Load) and not v.integer), None)
    vectors = next((v for v in values if isinstance(v, Vectors)), None)
    if code is None or vectors is None or sum(moves) != 1 or inner.expression != (first - second) ** 2:
        raise Unfused("no distance of codes from vectors, one of them held")
    index, codebook = resolved(vectors.index), resolved(vectors.codebook)
    if index != Nearest(code, codebook) or not isinstance(codebook, Load) or len(node.dims) != len(code.axes) - 1:
        raise Unfused("no vectors that are nearest to the codes")
    return Quantised(code, codebook, moves[values.index(code)])
