"""A source of data: known by samples, no density, nothing learned."""

from __future__ import annotations

from ibsym.families.facts import ANY, FamilyFacts, family

family(FamilyFacts("empirical", ANY, evaluated=False, reparameterised=False, learned=False))
