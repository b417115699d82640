"""term = mean over rows of what is here: a loss's terms at every row alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ibsym.nn.accumulating import axis
from ibsym.nn.wiring import Wiring


def scores_of_rows(wiring: Wiring, tensors: Mapping[str, Tensor], rows: Mapping[str, str]) -> dict[str, Tensor]:
    """Each per-row term on batches of one row, by its text; ``rows`` names the batch that it is an average over."""
    found: dict[str, Tensor] = {}
    names = [i.name for i in wiring.inputs]
    for batch in dict.fromkeys(rows.values()):
        arguments, places = [], []
        for entry in wiring.inputs:
            tensor = tensors[entry.name]
            if entry.role == "scores":  # entry i, i is the row's own
                tensor = tensor.diagonal().reshape(-1, 1, 1)
                mine = entry.shape[-1] == batch
                arguments.append(tensor if mine else tensors[entry.name])
                places.append(0 if mine else None)
                continue
            place = axis(entry, tensor)
            mine = place is not None and batch in entry.shape
            arguments.append(tensor.unsqueeze(place + 1) if mine and place is not None else tensor)
            places.append(place if mine else None)

        def terms(*inputs: Tensor) -> dict[str, Tensor]:
            return dict(wiring.loss.expression(*inputs).terms)

        assert len(arguments) == len(names)
        values = torch.vmap(terms, tuple(places), randomness="same")(*arguments)
        found |= {text: values[text] for text, axis_ in rows.items() if axis_ == batch}
    return found
