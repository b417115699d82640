"""sum |sg[code] - e|^2 and sum |code - sg[e]|^2 over the symbols of a row, e the vector that is nearest to the code."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import SurrogateTerm
from ibsym.lowering.program import Nearest, Node, Reduce, StopGradient, Vectors
from ibsym.lowering.section import Section
from ibsym.lowering.terms import Estimated
from ibsym.lowering.translation import elementwise
from ibsym.rules.catalogue import CODEBOOK

A, B = sympy.symbols("a b", real=True)


def surrogate(section: Section, item: SurrogateTerm) -> Estimated:
    """The distance with the gradient of one of its two sides."""
    sampling = section.sampling
    factor, joint = sampling.declared(item.density), sampling.part(item.joint)
    (variable,) = factor.of
    code, codebook = (sampling.parameter(factor, role, joint) for role in ("code", "codebook"))
    index = section.let(
        f"{variable}_nearest", Nearest(code, codebook), f"the class of {variable} whose vector is nearest to the code"
    )
    vectors = section.let(f"{variable}_vectors", Vectors(codebook, index), "its vector e")
    own, moves, text = vectors, "the codebook", "sum |sg[code] - e|^2"
    sides: tuple[Node, Node] = (StopGradient(code), vectors)
    if item.name != CODEBOOK.name:
        sides, moves, text = (code, StopGradient(own)), "the code", "sum |code - sg[e]|^2"
    axes = len(sampling.spec.variables[variable].axes)
    value = Reduce("sum", elementwise((A - B) ** 2, a=sides[0], b=sides[1]), tuple(range(-axes, 0)))
    comment = (f"{item.text}: {text}, sg what no gradient is taken of",)
    return Estimated(
        value, comment, rows=sampling.rows(joint), note=f"a surrogate, no part of the bound; its gradient moves {moves} alone"
    )
