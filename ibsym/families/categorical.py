"""log r(v) = log softmax(a)_v for a class index v; for weights of the classes, from a relaxation, sum v log softmax(a).

An array of symbols has a law for each of them, and the sums of these.
With a linear head, a = h W' + b, and the logits of all classes are no tensor that anybody stores.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from ibsym.errors import EmissionError
from ibsym.families.base import CLASSES, VALUE, Formula, Law, cross_entropy_of, entropy_of, log_density_of, relative_entropy_of
from ibsym.families.facts import Axes, FamilyFacts, Role, drawn, family, marginal, number_of, one_of, positive, relaxation
from ibsym.families.functions import ClassSum, EventSum, EveryClass, LogShare, LogSoftmax, Pick, expected, weighted

family(
    FamilyFacts(
        "categorical",
        ("categorical",),
        (Role("logits"),),
        reparameterised=False,
        options={
            "relax": relaxation(),
            "temperature": positive(0.5),
            "marginal": marginal(),
            "head": one_of("logits", "linear"),
            "features": number_of("N"),
        },
        draws=replace(drawn("OneHotCategorical", logits="logits"), also=("Categorical", "OneHotCategoricalStraightThrough")),
        heads={
            "linear": (
                Role("hidden", axes=Axes.VECTORS),
                Role("weight", axes=Axes.VECTOR_OF_CLASS, shared=True),
                Role("bias", axes=Axes.CLASSES, shared=True),
            )
        },
        called=("softmax", "multinomial", "discrete", "one-hot-categorical"),
    )
)


@log_density_of("categorical")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    if law.family.headed:
        return of_one_class(law)
    log_r = LogSoftmax(law.parameter("logits"))
    if law.every:
        return Formula(EveryClass(log_r), "log softmax(a) of every class")
    if law.soft:
        return Formula(EventSum(ClassSum(weighted(VALUE, log_r))), "sum v log softmax(a)")
    return Formula(EventSum(Pick(log_r, VALUE)), f"{'sum ' if law.space.event else ''}log softmax(a)_v")


def of_one_class(law: Law) -> Formula:
    """log softmax(h W' + b)_v: of a class index, as anything else would need every class."""
    if law.every or law.soft:
        how = "summed over exactly" if law.every else "relaxed"
        raise EmissionError(
            f'a linear head gives the density of one class a row, and the variable is {how}\n  write: the factor without head = "linear"'
        )
    share = EventSum(LogShare(*law.symbols.values(), VALUE))
    return Formula(share, f"{'sum ' if law.space.event else ''}log softmax(h W' + b)_v, by blocks of rows")


@entropy_of("categorical")
def entropy(law: Law) -> Formula:
    """H(r) = -E[log r]."""
    log_r = LogSoftmax(law.parameter("logits"))
    return Formula(-EventSum(ClassSum(expected(log_r, log_r))), "-sum r log r, r = softmax(a)")


@relative_entropy_of(("categorical", "categorical"), ("categorical", "uniform"))
def relative_entropy(first: Law, second: Law) -> Formula:
    """KL(r || r')."""
    log_a = LogSoftmax(first.parameter("logits"))
    if second.name == "uniform":
        text = "sum [log K + sum r log r], r = softmax(a)" if first.space.event else "log K + sum r log r, r = softmax(a)"
        return Formula(EventSum(ClassSum(expected(log_a, log_a)) + sympy.log(CLASSES)), text)
    log_b = LogSoftmax(second.parameter("logits"))
    return Formula(EventSum(ClassSum(expected(log_a, log_a - log_b))), "sum r log r/r', r = softmax(a)")


@cross_entropy_of(("categorical", "categorical"))
def cross_entropy(first: Law, second: Law) -> Formula:
    """-E_r[log r']: with no difference of logarithms in it."""
    log_a, log_b = LogSoftmax(first.parameter("logits")), LogSoftmax(second.parameter("logits"))
    return Formula(-EventSum(ClassSum(expected(log_a, log_b))), "-sum r log r', r = softmax(a)")
