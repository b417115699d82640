"""N(0, I): nothing is learned."""

from __future__ import annotations

from ibsym.families import gaussian
from ibsym.families.base import entropy_of, log_density_of

log_density_of("standard-normal")(gaussian.log_density)
entropy_of("standard-normal")(gaussian.entropy)
