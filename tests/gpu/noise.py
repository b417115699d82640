"""The same random numbers on every device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


class FromTheCpu(TorchDispatchMode):
    """Whatever is random is drawn by the CPU's generator and carried over, so that a seed means the same draws everywhere."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        devices = {t.device for t in args if isinstance(t, Tensor)} | {torch.device(kwargs.get("device") or "cpu")}
        there = next((d for d in devices if d.type != "cpu"), None)
        if there is None:
            return func(*args, **kwargs)
        here = tree_map(lambda t: t.cpu() if isinstance(t, Tensor) else t, (args, kwargs))
        found = func(*here[0], **here[1] | ({"device": torch.device("cpu")} if "device" in kwargs else {}))
        if func._schema.is_mutable:
            return args[0].copy_(found)
        return tree_map(lambda t: t.to(there) if isinstance(t, Tensor) else t, found)
