"""How an emitted loss finds the compiled pass: in the files that were written beside it, where they still are as written."""

from __future__ import annotations

import functools
import hashlib
import logging
from pathlib import Path
from typing import Any

from .inputs import Output

Loss: Any = None
_BESIDE: dict[str, str] = {}


@functools.cache
def _one_pass() -> Any:
    """The compiled pass, of the files beside this one; None, and one notice, where they are missing or not as written."""
    try:
        source, runtime = (Path(__file__).with_name(name).read_text("utf-8") for name in _BESIDE)
        if [hashlib.sha256(t.encode()).hexdigest()[:16] for t in (source, runtime)] != [*_BESIDE.values()]:
            raise ImportError(f"{' or '.join(_BESIDE)} is damaged, or from another version")
        space: dict[str, Any] = {"__name__": "_ibsym_runtime"}
        exec(runtime, space)
        return space["one_pass"](source, next(iter(_BESIDE)), Loss.INPUTS, Output)
    except Exception as error:
        why = f"{Loss.__name__} runs as plain PyTorch, which is right and slower: {error}"
        logging.getLogger("ibsym").warning("%s\n  write: ibsym generate, or IBSYM_NATIVE=0 for no compiled code", why)
        return None
