"""How much of a derivation a paper shows."""

from __future__ import annotations

from enum import Enum


class Form(Enum):
    """Every step with its reason, the chain of inequalities alone, or a theorem with its proof."""

    FULL = "full"
    SHORT = "short"
    THEOREM = "theorem"
