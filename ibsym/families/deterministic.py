"""A value and no noise: its density is that of a point, so that nothing evaluates it."""

from __future__ import annotations

from ibsym.families.facts import ANY, FamilyFacts, Role, family

family(FamilyFacts("deterministic", ANY, (Role("value"),), evaluated=False, called=("delta", "dirac", "point")))
