"""What an audit hands on: a derivation that was checked. Lowering takes nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from ibsym.derivation.model import Derivation


@dataclass(frozen=True)
class Certificate:
    """A derivation, the number of worlds it was checked in, and the largest error seen there (nats)."""

    derivation: Derivation
    worlds: int
    largest_error: float
