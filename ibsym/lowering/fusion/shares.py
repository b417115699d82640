"""sum_c r_c log m_c, r and m the shares of classes in a batch, as a loss program has them."""

from __future__ import annotations

from collections.abc import Callable

import sympy

from ibsym.families import functions as heads
from ibsym.lowering.fusion.calculus import Unfused
from ibsym.lowering.fusion.sums import MeanLog, Shares
from ibsym.lowering.program import Elementwise, Frequency, Load, LogSoftmax, Node, Points, Reduce, Size

Resolved = Callable[[Node], Node]


def mean_log(node: Reduce, resolved: Resolved) -> MeanLog:
    """The mean under some shares of the logarithm of others."""
    inner = resolved(node.operand)
    if node.dims != (-1,) or len(inner.axes) != 1:
        raise Unfused("no mean over the classes of a batch")
    if node.kind == "mean":
        return MeanLog(None, _by_logarithm(inner, resolved))
    if not isinstance(inner, Elementwise):
        raise Unfused("no mean of a logarithm")
    values = {n: resolved(v) for n, v in inner.operands}
    match inner.expression:
        case heads.xlogx(args=(share,)):
            own = _shares(values[str(share)], resolved)
            return MeanLog(own, own)
        case heads.weighted(args=(share, sympy.log(args=(reference,)))):
            return MeanLog(_shares(values[str(share)], resolved), _shares(values[str(reference)], resolved))
        case heads.weighted(args=(share, sympy.Symbol(name=logarithm))) if share.is_Symbol:
            return MeanLog(_shares(values[str(share)], resolved), _by_logarithm(values[logarithm], resolved))
    raise Unfused("no mean of a logarithm")


def _shares(node: Node, resolved: Resolved) -> Shares:
    match node:
        case Frequency():
            index = resolved(node.index)
            if isinstance(index, Load) and index.integer:
                return Shares(index, counted=True)
        case Elementwise(operands=((name, inner),)) if node.expression == sympy.exp(sympy.Symbol(name, real=True)):
            return _by_logarithm(resolved(inner), resolved)
    raise Unfused("shares of computed classes")


def _by_logarithm(node: Node, resolved: Resolved) -> Shares:
    """The shares whose logarithms a node is: of one law, or of the rows and draws of a batch."""
    match node:
        case LogSoftmax():
            logits = resolved(node.operand)
            if isinstance(logits, Load) and len(logits.axes) == 1:
                return Shares(logits)
        case Elementwise():
            values = [resolved(v) for _, v in node.operands if not isinstance(resolved(v), Size)]
            match values:
                case [Reduce(kind="logsumexp", operand=table, dims=(-2,))]:
                    points = resolved(table)
                    if isinstance(points, Points) and len(points.operands) == 1:
                        inner = resolved(points.operands[0][0])
                        logits = resolved(inner.operand) if isinstance(inner, LogSoftmax) else inner
                        if isinstance(inner, LogSoftmax) and isinstance(logits, Load):
                            return Shares(logits)
    raise Unfused("shares of computed classes")
