"""N(m, s^2 I): a mean, and one fixed scale s for every coordinate."""

from __future__ import annotations

from ibsym.families import gaussian
from ibsym.families.base import entropy_of, log_density_of
from ibsym.families.facts import FamilyFacts, Role, drawn, family, positive

family(
    FamilyFacts(
        "isotropic-normal",
        ("real",),
        (Role("mean"),),
        options={"scale": positive(1.0)},
        draws=drawn("Normal", loc="mean", scale="scale"),
        called=("isotropic-gaussian", "spherical-gaussian", "spherical-normal", "mse"),
    )
)

log_density_of("isotropic-normal")(gaussian.log_density)
entropy_of("isotropic-normal")(gaussian.entropy)
