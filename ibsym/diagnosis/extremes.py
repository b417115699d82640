"""f(+-20) against what the middle says: where a loss saturates, is clamped, loses its gradient or overflows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ibsym.diagnosis.features import Feature
    from ibsym.diagnosis.fitting import Fit
    from ibsym.diagnosis.report import Finding
    from ibsym.diagnosis.sampling import Sampler
    from ibsym.diagnosis.worlds import Setting


def compared(
    sampler: Sampler, features: Sequence[Feature], coefficients: Sequence[float], setting: Setting, fit: Fit
) -> Iterator[Finding]:
    """Findings about extreme inputs."""
    yield from ()
