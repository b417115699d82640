"""Draws without a density: a network that turns noise into samples."""

from __future__ import annotations

from ibsym.families.facts import ANY, FamilyFacts, family

family(FamilyFacts("implicit", ANY, evaluated=False))
