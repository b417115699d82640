"""Your networks: a spec as a torch module, ``System``. Its modules import torch; this one does when it is asked for something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibsym.errors import MissingDependencyError, NetworkError

if TYPE_CHECKING:
    from ibsym.nn.networks import LinearHead
    from ibsym.nn.system import Output, System

__all__ = ["LinearHead", "NetworkError", "Output", "System"]


def __getattr__(name: str) -> object:
    if name not in ("LinearHead", "Output", "System"):
        raise AttributeError(f"module 'ibsym.nn' has no attribute {name!r}")
    try:
        from ibsym.nn import networks, system
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError("a system needs PyTorch\n  write: pip install 'ibsym[torch]'") from None
    return getattr(networks if name == "LinearHead" else system, name)
