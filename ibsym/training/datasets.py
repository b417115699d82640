"""Any map-style dataset as the rows of a spec's source, through PyTorch's DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Subset

from ibsym.errors import NetworkError
from ibsym.nn.batches import by_variable, rows_of
from ibsym.nn.samples import Rows
from ibsym.nn.system import System
from ibsym.spec.model import Spec
from ibsym.training.binding import Binding
from ibsym.training.data import HELD_OUT, SPLIT_SEED

MOST_HELD_OUT = 2000


class Loaded:
    """A dataset in two parts, always the same, and batches of either."""

    def __init__(self, spec: Spec, dataset: Dataset[Any], batch: int, workers: int, generator: torch.Generator):
        assert isinstance(dataset, Sized)
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(SPLIT_SEED)).tolist()
        held = max(1, round(HELD_OUT * len(order)))
        if len(order) < 2:
            raise NetworkError(f"a dataset of {len(order)} items\n  write: some to train on, and others to hold out")
        self.spec, self.batch = spec, min(batch, len(order) - held)
        kept: Dataset[Any] = Subset(dataset, order[held:])
        self.train = DataLoader(kept, self.batch, shuffle=True, drop_last=True, generator=generator, num_workers=workers)
        self.held = Subset(dataset, order[: min(held, MOST_HELD_OUT)])
        self.steps = len(self.train)
        self.system: System | None = None

    def known_to(self, system: System) -> dict[str, Rows]:
        """Tells a system its sizes by the rows that are held out, which are what comes back."""
        assert isinstance(self.held, Sized)
        whole = by_variable(self.spec, next(iter(DataLoader(self.held, len(self.held)))))
        system.prepare(whole)
        self.system = system
        return rows_of(self.spec, whole, system.sizes, system.bank.like)

    def __iter__(self) -> Iterator[dict[str, Rows]]:
        """One epoch."""
        assert self.system is not None
        for batch in self.train:
            yield rows_of(self.spec, by_variable(self.spec, batch), self.system.sizes, self.system.bank.like)


def binding_of(dataset: Dataset[Any], sizes: Mapping[str, int]) -> Binding:
    """What a dataset is bound to: sizes come from its rows."""
    assert isinstance(dataset, Sized)
    return Binding({}, {}, dict(sizes), {}, (f"{len(dataset)} items of a {type(dataset).__name__}",))
