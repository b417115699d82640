"""N(0, I): nothing is learned."""

from __future__ import annotations

import sympy

from ibsym.families import gaussian
from ibsym.families.base import entropy_of, log_density_of
from ibsym.families.facts import FamilyFacts, drawn, family

family(
    FamilyFacts(
        "standard-normal",
        ("real",),
        learned=False,
        draws=drawn("Normal", loc=sympy.Integer(0), scale=sympy.Integer(1)),
        called=("n(0,1)", "n(0,i)", "normal(0,1)", "normal(0,i)", "unit-normal", "unit-gaussian", "standard-gaussian"),
    )
)

log_density_of("standard-normal")(gaussian.log_density)
entropy_of("standard-normal")(gaussian.entropy)
