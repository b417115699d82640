"""N(m, e^l): independent coordinates, a mean and a log-variance for each; relative entropies of all diagonal normals."""

from __future__ import annotations

from ibsym.families import gaussian
from ibsym.families.base import cross_entropy_of, entropy_of, log_density_of, log_mass_of, relative_entropy_of
from ibsym.families.facts import Constraint, FamilyFacts, Role, drawn, family

family(
    FamilyFacts(
        "diagonal-normal",
        ("real",),
        (Role("mean"), Role("logvar", Constraint.LOGARITHM)),
        draws=drawn("Normal", loc="mean", scale=gaussian.DEVIATION),
        called=("normal", "gaussian", "diagonal-gaussian", "diag-normal", "diag-gaussian", "mean-field", "factorised-gaussian"),
    )
)

log_density_of("diagonal-normal")(gaussian.log_density)
log_mass_of(*gaussian.DIAGONAL)(gaussian.log_mass)
entropy_of("diagonal-normal")(gaussian.entropy)
relative_entropy_of(*gaussian.PAIRS)(gaussian.relative_entropy)
cross_entropy_of(*gaussian.PAIRS)(gaussian.cross_entropy)
