"""The NumPy target: a loss program to one function over arrays. An example of a target, in one folder, with what it needs.

Formulas are printed by SymPy's own NumPy printer; nodes that it has no words for are refused by name.
"""

from __future__ import annotations

import re

import sympy
from sympy.printing.numpy import NumPyPrinter

from ibsym.codegen.target import check_names
from ibsym.errors import EmissionError
from ibsym.lowering.program import (
    Diagonal,
    Elementwise,
    Insert,
    Load,
    LogSoftmax,
    LossProgram,
    Mean,
    Node,
    OverDraws,
    Pick,
    Reduce,
    Ref,
    Size,
)
from ibsym.spec.reserved import Reserved

LIBRARY = '''"""{title}: the loss and its terms, in nats, by NumPy."""

import numpy


def logsigmoid(t):
    """log 1/(1 + e^-t)."""
    return -numpy.logaddexp(0, -t)


def sigmoid(t):
    """1/(1 + e^-t)."""
    return numpy.exp(logsigmoid(t))


def xlogx(t):
    """t log t, 0 at 0."""
    return t * numpy.log(numpy.where(t > 0, t, 1))


def standardised(d, logvar):
    """d / sqrt(e^logvar)."""
    return d * numpy.exp(-logvar / 2)


def weighted(w, t):
    """w t, 0 where w is 0."""
    return numpy.where(w == 0, 0, w * numpy.where(w == 0, 0, t))


def binary_cross_entropy(v, a):
    """-v log s(a) - (1 - v) log s(-a), s the sigmoid."""
    return (1 - v) * a + numpy.logaddexp(0, -a)


def expected(log_w, t):
    """e^log_w t."""
    return weighted(numpy.exp(log_w), t)


def logsumexp(a, axes):
    """log of the sum of exponentials."""
    top = a.max(axes, keepdims=True)
    return numpy.log(numpy.exp(a - top).sum(axes)) + top.squeeze(axes)


def log_softmax(a):
    """a - log sum e^a, along the last axis."""
    return a - logsumexp(a, (-1,))[..., None]


def pick(table, index):
    """The entry of the last axis that each index names."""
    index = numpy.broadcast_to(index, table.shape[:-1])
    return numpy.take_along_axis(table, index[..., None], -1)[..., 0]


def over_draws(a):
    """The mean over the axis of draws, where there is one."""
    return a.mean(0) if a.ndim == 2 else a


def {name}({arguments}):
'''


WORDS = frozenset({"numpy", "loss", *re.findall(r"^def (\w+)", LIBRARY, re.MULTILINE)})
"""What the library means by a name: no parameter, no input and no step is called so."""


class _Formulas(NumPyPrinter):
    """SymPy's printer, and our functions by their names in the library."""

    def _own(self, e: sympy.Expr) -> str:
        return f"{type(e).__name__}({', '.join(map(self._print, e.args))})"

    _print_logsigmoid = _print_sigmoid = _print_xlogx = _print_standardised = _print_weighted = _print_expected = _own
    _print_binary_cross_entropy = _own

    def _print_expm1(self, e: sympy.Expr) -> str:
        return f"numpy.expm1({self._print(e.args[0])})"

    def _print_Function(self, e: sympy.Expr) -> str:
        raise EmissionError(f"NumPy has no {type(e).__name__}")


class NumPy:
    """A target: its name, and the files of a program."""

    name = "numpy"
    reserved = Reserved(WORDS, WORDS)

    def files(self, program: LossProgram) -> dict[str, str]:
        """One module with one function: arrays and parameters to the loss and a mapping of its terms."""
        check_names(program, self)
        stem = program.name.replace("-", "_")
        self.program, self.names = program, {i.key: i.name for i in program.inputs}
        arguments = [*self.names.values(), *(f"{p.name}={p.default!r}" for p in program.parameters)]
        lines = [f"{step.name} = {self.node(step.node)}" for step in program.steps]
        weights = [(_Formulas().doprint(t.coefficient), self.node(t.surrogate or t.value)) for t in program.terms]
        lines.append(f"loss = {' + '.join(f'({w}) * {value}' for w, value in weights)}")
        terms = ", ".join(f"{t.text!r}: numpy.mean({self.node(t.value)})" for t in program.terms)
        lines.append(f"return numpy.mean(loss), {{{terms}}}")
        head = LIBRARY.format(title=program.about.title, name=stem, arguments=", ".join(arguments))
        return {f"{stem}_numpy.py": head + "".join(f"    {line}\n" for line in lines)}

    def node(self, node: Node) -> str:
        """The expression that computes a node."""
        match node:
            case Load():
                return self.names[node.key]
            case Ref():
                return self.program.steps[node.index].name
            case Elementwise():
                symbols = {s: sympy.Symbol(f"operand_{s.name}", real=True) for s in node.expression.free_symbols}
                text: str = _Formulas().doprint(node.expression.xreplace(symbols))
                operands = dict(node.operands)
                return "(" + re.sub(r"\boperand_(\w+)", lambda found: self.node(operands[found[1]]), text) + ")"
            case Reduce(kind="logsumexp"):
                return f"logsumexp({self.node(node.operand)}, {node.dims})"
            case Reduce():
                return f"{self.node(node.operand)}.{node.kind}({node.dims})"
            case Mean():
                return f"{self.node(node.operand)}.mean()"
            case OverDraws(kind="mean"):
                return f"over_draws({self.node(node.operand)})"
            case LogSoftmax():
                return f"log_softmax({self.node(node.operand)})"
            case Pick():
                return f"pick({self.node(node.table)}, {self.node(node.index)})"
            case Insert():
                return f"numpy.expand_dims({self.node(node.operand)}, {node.dim})"
            case Diagonal():
                return f"numpy.diagonal({self.node(node.operand)}, axis1=-2, axis2=-1)"
            case Size() if len(node.dims) == 1:
                return f"{self.node(node.operand)}.shape[{node.dims[0]}]"
        raise EmissionError(f"NumPy has no words for {type(node).__name__}")
