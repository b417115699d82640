"""The caller's random numbers, as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def untouched() -> Iterator[None]:
    """The random state of the CPU and of every GPU as it was, whatever is drawn or seeded here: a seed is every device's."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):  # noqa: TID251
        yield
