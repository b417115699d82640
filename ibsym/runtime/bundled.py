"""How a loss in one file finds the compiled pass: at its own end."""

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
        source, runtime = _FILES.values()
        space: dict[str, Any] = {"__name__": "_ibsym_runtime"}
        exec(runtime, space)
        return space["one_pass"](source, next(iter(_FILES)), Loss.INPUTS, Output)
    except Exception as error:
        why = f"{Loss.__name__} runs as plain PyTorch, which is right and slower: {error}"
        logging.getLogger("ibsym").warning("%s\n  write: ibsym generate, or IBSYM_NATIVE=0 for no compiled code", why)
        return None
