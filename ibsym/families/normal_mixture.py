"""log r(v) = log sum_m softmax(a)_m N(v; m_m, e^(l_m)): a mixture of diagonal normals, learned or of pseudo-inputs."""

from __future__ import annotations

import sympy

from ibsym.families.base import VALUE, Formula, Law, log_density_of, log_mass_of
from ibsym.families.facts import Axes, Constraint, FamilyFacts, Role, drawn, drawn_whole, family, number_of
from ibsym.families.functions import Components, EventSum, LogSoftmax, LogSumExp, log_normal_cell, standardised
from ibsym.families.gaussian import DEVIATION, HALF, LOG_TWO_PI

family(
    FamilyFacts(
        "normal-mixture",
        ("real",),
        (
            Role("mean", axes=Axes.COMPONENT_EVENTS),
            Role("logvar", Constraint.LOGARITHM, Axes.COMPONENT_EVENTS),
            Role("logits", axes=Axes.COMPONENTS),
        ),
        reparameterised=False,
        options={"components": number_of("M")},
        draws=drawn_whole(
            "MixtureSameFamily",
            mixture_distribution=drawn("Categorical", logits="logits"),
            component_distribution=drawn("Normal", loc="mean", scale=DEVIATION),
        ),
        called=("gmm", "gaussian-mixture", "mixture-of-gaussians", "mixture"),
    )
)


@log_density_of("normal-mixture")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    mean, logvar = law.parameter("mean"), law.parameter("logvar")
    quadratic = standardised(Components(VALUE) - mean, logvar) ** 2
    component = -HALF * EventSum(quadratic + logvar + LOG_TWO_PI)
    return Formula(LogSumExp(LogSoftmax(law.parameter("logits")) + component), "log sum_m softmax(a)_m N(v; mean_m, var_m)")


@log_mass_of("normal-mixture")
def log_mass(law: Law, half: sympy.Expr) -> Formula:
    """log of the mass within ``half`` of v, in every coordinate."""
    mean, logvar = law.parameter("mean"), law.parameter("logvar")
    cells = EventSum(log_normal_cell(standardised(Components(VALUE) - mean, logvar), standardised(half, logvar)))
    return Formula(
        LogSumExp(LogSoftmax(law.parameter("logits")) + cells),
        f"log sum_m softmax(a)_m prod [F_m(v + {half}) - F_m(v - {half})], F_m of N(mean_m, var_m)",
    )
