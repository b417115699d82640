"""Samples of a divergence's two arguments as points: their distances, and their projections in order."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import EmissionError
from ibsym.lowering.divergences import arguments
from ibsym.lowering.program import (
    Directions,
    Insert,
    Load,
    Node,
    Points,
    Project,
    Reduce,
    Ref,
    Sort,
)
from ibsym.lowering.section import Section
from ibsym.lowering.terms import plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.terms.measures import Density, FDivergence, JensenShannon, RelativeEntropy

A, B = sympy.symbols("a b", real=True)


def samples(section: Section, item: BoundTerm) -> tuple[Node, Node]:
    """Samples of both arguments, as two matrices of the same coordinates."""
    term = plain(item)
    if not isinstance(term, RelativeEntropy | JensenShannon | FDivergence):
        raise refuse(item)
    sides = arguments(term)
    assert sides is not None
    first, second = sides
    sampling = section.sampling
    homes = {v: sampling.part(d.head) for d in second for v in d.of}
    if first.given or any(d.given for d in second):
        raise EmissionError(
            f"{item.estimator} of the conditional {item.text} has no samples\n  write: the divergence of the joint densities"
        )
    joint = sampling.part(first.head)
    own = [_coordinates(section, sampling.value(joint, v)) for v in first.of]
    other = [_coordinates(section, sampling.reference(homes[v], v)) for v in first.of]
    name = "_".join(first.of)
    left, right = (Points(tuple(side)) for side in (own, other))
    comment = f"samples of {first} and of {_text(second)}, one a row"
    return section.let(f"{name}_points", left, comment), section.let(f"{name}_reference_points", right)


def _text(second: tuple[Density, ...]) -> str:
    return "".join(map(str, second))


def _coordinates(section: Section, load: Load) -> tuple[Node, int]:
    if load.integer:
        raise EmissionError(
            f"{load.key.of} is a class index, and distances need coordinates\n"
            '  write: a family with relax = "concrete" for it, or an estimator with a critic'
        )
    return load, len(section.sampling.spec.variables[load.key.of].axes)


def squared(left: Node, right: Node) -> Node:
    """|a_i - b_j|^2."""
    return Reduce("sum", elementwise((A - B) ** 2, a=Insert(left, -2), b=Insert(right, -3)), (-1,))


def step_of(section: Section, node: Node) -> str:
    """The name of the step that a node refers to."""
    return section.steps[node.index].name if isinstance(node, Ref) else "points"


def sorted_projections(section: Section, item: BoundTerm, a: Node, b: Node, number: int) -> tuple[Node, Node]:
    """Projections of two samples on the same directions, each direction's in order."""
    directions = section.let("directions", Directions(item.text, a, number), "unit vectors to project on")
    name = step_of(section, a).removesuffix("_points")
    left = section.let(
        f"{name}_sorted", Sort(Project(a, directions)), "projections of either sample, each direction's in order"
    )
    return left, section.let(f"{name}_reference_sorted", Sort(Project(b, directions)))
