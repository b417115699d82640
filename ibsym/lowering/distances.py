"""MMD^2 and SW_2^2 of two samples: surrogates of a divergence that are zero if and only if the laws are equal."""

from __future__ import annotations

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import EmissionError
from ibsym.lowering.divergences import arguments
from ibsym.lowering.program import (
    Directions,
    Insert,
    Load,
    Mean,
    Node,
    OffDiagonalMean,
    Points,
    Project,
    QuantileDistance,
    Reduce,
    Ref,
    Size,
    Sort,
)
from ibsym.lowering.section import Section
from ibsym.lowering.terms import Estimated, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.terms.measures import Density, FDivergence, JensenShannon, RelativeEntropy

A, B, C, D, N = sympy.symbols("a b c d n", real=True)
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
PROJECTIONS = 50
WHY = "compares two samples as wholes"


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
    comments = (f"samples of {first}, one a row", f"samples of {_text(second)}")
    return section.let(f"{name}_points", left, comments[0]), section.let(f"{name}_reference_points", right, comments[1])


def _text(second: tuple[Density, ...]) -> str:
    return "".join(map(str, second))


def _coordinates(section: Section, load: Load) -> tuple[Node, int]:
    if load.integer:
        raise EmissionError(
            f"{load.key.of} is a class index, and distances need coordinates\n"
            '  write: a family with relax = "concrete" for it, or an estimator with a critic'
        )
    return load, len(section.sampling.spec.variables[load.key.of].dims)


def mmd(section: Section, item: BoundTerm) -> Estimated:
    """E k(a, a') + E k(b, b') - 2 E k(a, b), unbiased: equal pairs left out within each sample."""
    a, b = samples(section, item)
    squares, kernels = {}, {}
    sides = {"aa": (a, a), "bb": (b, b), "ab": (a, b)}
    for name, (left, right) in sides.items():
        distances = Reduce("sum", elementwise((A - B) ** 2, a=Insert(left, -2), b=Insert(right, -3)), (-1,))
        squared = section.let(
            f"d_{name}", distances, *(("squared distances, within a, within b and across",) if name == "aa" else ())
        )
        squares[name] = squared
    for name, squared in squares.items():
        kernels[name] = section.let(
            f"k_{name}", kernel(squared, a, dict(item.options)), *(_comment(item) if name == "aa" else ())
        )
    node = elementwise(A + B - 2 * C, a=OffDiagonalMean(kernels["aa"]), b=OffDiagonalMean(kernels["bb"]), c=Mean(kernels["ab"]))
    return Estimated(node, (f"{item.text} by mmd, unbiased: E k(a, a') + E k(b, b') - 2 E k(a, b)",), why=WHY)


def _comment(item: BoundTerm) -> tuple[str, ...]:
    width = dict(item.options).get("bandwidth")
    square = "n, the number of coordinates" if width is None else f"{width}^2"
    if dict(item.options).get("kernel") == "inverse-multiquadratic":
        return (f"inverse multiquadratic kernels, sum over s of c / (c + |a - b|^2) with c = 2 s h, h = {square}",)
    return (f"Gaussian kernel, exp(-|a - b|^2 / 2h) with h = {square}",)


def kernel(squared: Node, points: Node, options: dict[str, object]) -> Node:
    """The kernel of squared distances."""
    width = options.get("bandwidth")
    square = N if width is None else sympy.Rational(str(width)) ** 2
    sizes: dict[str, Node] = {"n": Size(points, (-1,))} if width is None else {}
    if options.get("kernel") == "inverse-multiquadratic":
        scales = options.get("scales") or SCALES
        assert isinstance(scales, tuple | list)
        widths = [2 * sympy.Rational(str(s)) * square for s in scales]
        return elementwise(sum(w / (w + D) for w in widths), d=squared, **sizes)
    return elementwise(sympy.exp(-D / (2 * square)), d=squared, **sizes)


def step_of(section: Section, node: Node) -> str:
    """The name of the step that a node refers to."""
    return section.steps[node.index].name if isinstance(node, Ref) else "points"


def sliced_wasserstein(section: Section, item: BoundTerm) -> Estimated:
    """The squared Wasserstein distance of one-dimensional projections, averaged over directions."""
    a, b = samples(section, item)
    number = int(str(dict(item.options).get("projections", PROJECTIONS)))
    directions = section.let("directions", Directions(item.text, a, number), "unit vectors to project on")
    name = step_of(section, a).removesuffix("_points")
    left = section.let(
        f"{name}_sorted", Sort(Project(a, directions)), "projections of either sample, each direction's in order"
    )
    right = section.let(f"{name}_reference_sorted", Sort(Project(b, directions)))
    node = QuantileDistance(left, right)
    comment = f"{item.text} by sliced-wasserstein: mean over {number} directions of the integral of (F^-1 - G^-1)^2"
    return Estimated(node, (comment,), why=WHY)
