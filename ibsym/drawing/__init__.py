"""A system as papers draw it: data, networks, codes, priors, critics, and each term where it acts."""

from __future__ import annotations

from ibsym.drawing.figure import FORMATS, KINDS, figure

__all__ = ["FORMATS", "KINDS", "figure"]
