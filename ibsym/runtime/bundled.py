"""How a loss in one file finds what it shares with others: at its own end."""

from __future__ import annotations

import functools
import logging
from typing import Any

from .inputs import Output

Loss: Any = None
_FILES: dict[str, str] = {}


@functools.cache
def _one_pass() -> Any:
    """The compiled pass, of the files at the end of this one; None, and one notice, where they do not run."""
    try:
        return _runtime()["bundled_pass"](_FILES, Loss.INPUTS, Output)
    except Exception as error:
        why = f"{Loss.__name__} runs as plain PyTorch, which is right and slower: {error}"
        logging.getLogger("ibsym").warning("%s\n  write: ibsym generate, or IBSYM_NATIVE=0 for no compiled code", why)


def _streams() -> Any:
    """What computes products by blocks, at the end of this file."""
    return _runtime()


@functools.cache
def _runtime() -> dict[str, Any]:
    """What all losses share: the compiled passes, and the ranks of a group."""
    exec(_FILES["_ibsym_runtime.py"], space := {"__name__": "_ibsym_runtime"})
    return space
