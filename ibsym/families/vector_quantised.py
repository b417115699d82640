"""r(v) = 1 for the class v whose vector is nearest to the code, 0 for every other: vector quantisation (van den Oord et al. 2017).

A code for each symbol and one codebook, a vector for each class. Draws are seen as the vectors of their classes; the gradient passes
them as if they were the codes, straight through. Nothing of a bound moves the codebook: two surrogates do, each with its weight.
"""

from __future__ import annotations

import sympy

from ibsym.families.base import CLASSES, SIZE, Formula, Law, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Axes, FamilyFacts, Option, Role, family, number_of, weight
from ibsym.families.functions import EventSum, LogSoftmax, Nearest, Pick

STRAIGHT = "straight-through"

family(
    FamilyFacts(
        "vector-quantised",
        ("categorical",),
        (Role("code", axes=Axes.VECTORS), Role("codebook", axes=Axes.VECTOR_OF_CLASS, shared=True)),
        reparameterised=False,
        called=("vq", "vector-quantized"),
        options={
            "dimension": number_of("E"),
            "codebook": weight(1.0),
            "commitment": weight(0.25),
            "relax": Option(STRAIGHT, lambda value: value == STRAIGHT, "is unknown", f'"{STRAIGHT}"'),
        },
        quantised=True,
    )
)


@log_density_of("vector-quantised")
def log_density(law: Law) -> Formula:
    """log r(v) at its own draw."""
    return Formula(sympy.Integer(0), "0")


@entropy_of("vector-quantised")
def entropy(law: Law) -> Formula:
    """H(r) = 0."""
    return Formula(sympy.Integer(0), "0")


@relative_entropy_of(("vector-quantised", "uniform"), ("vector-quantised", "categorical"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r') = -log r'(v)."""
    if second.name == "uniform":
        return Formula(SIZE * sympy.log(CLASSES), "n log K" if first.space.event else "log K")
    nearest = Nearest(first.parameter("code"), first.parameter("codebook"))
    log_r = Pick(LogSoftmax(second.parameter("logits")), nearest)
    return Formula(
        -EventSum(log_r), f"{'-sum ' if first.space.event else '-'}log softmax(a)_v, v the class whose vector is nearest"
    )
