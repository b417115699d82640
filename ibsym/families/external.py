"""log r(v) as an input: a normalised density that the caller evaluates at the draws, and nowhere else.

A flow, an autoregressive or discretised decoder, an entropy model, a product of experts: whatever has a density elsewhere.
"""

from __future__ import annotations

from ibsym.families.base import Formula, Law, log_density_of
from ibsym.families.facts import ANY, Axes, FamilyFacts, Role, family, switch

family(
    FamilyFacts(
        "external",
        ANY,
        (Role("log_prob", axes=Axes.SCALAR, at_value=True),),
        options={
            "sampled": switch("whether the caller draws from it"),
            "reparameterised": switch("whether gradients flow through those draws"),
        },
    )
)


@log_density_of("external")
def log_density(law: Law) -> Formula:
    """log r(v)."""
    return Formula(law.parameter("log_prob"), "as the caller evaluates it")
