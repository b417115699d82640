"""The parameters of a loss: where they may lie, and how they are saved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Parametrised(torch.nn.Module):
    """A loss with parameters, numbers or 0-d tensors: reassigned at will within their intervals, saved with the state."""

    PARAMETERS: dict[str, tuple[float, float]] = {}
    extra_repr = lambda self: ", ".join(f"{name}={float(getattr(self, name)):g}" for name in self.PARAMETERS)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.PARAMETERS:
            least, most, number = *self.PARAMETERS[name], value.detach() if isinstance(value, Tensor) else value
            if not hasattr(value, "__float__") or getattr(value, "ndim", 0) > 0 or not least <= float(number) <= most:
                raise ValueError(f"{name} is a number or a 0-d tensor from {least:g} to {most:g}, not {value!r}")
            self._parameters.pop(name, None)
        super().__setattr__(name, value)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.PARAMETERS.keys() - self._parameters.keys():
            now = getattr(self, name)
            destination[prefix + name] = now.detach() if isinstance(now, Tensor) else torch.tensor(now, dtype=torch.float64)

    def _load_from_state_dict(self, state: Any, prefix: str, meta: Any, strict: bool, missing: list[str], *rest: Any) -> None:
        for name in self.PARAMETERS.keys() - self._parameters.keys():
            now, saved = getattr(self, name), state.pop(prefix + name, None)
            if saved is not None:
                setattr(self, name, now.detach().clone().copy_(saved) if isinstance(now, Tensor) else float(saved))
            elif strict:
                missing.append(prefix + name)
        super()._load_from_state_dict(state, prefix, meta, strict, missing, *rest)
