"""How an emitted loss finds what it shares with others: in the files that were written beside it, where they still are as written."""

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
        return _runtime()["one_pass"](Path(__file__), _BESIDE, Loss.INPUTS, Output)
    except Exception as error:
        why = f"{Loss.__name__} runs as plain PyTorch, which is right and slower: {error}"
        logging.getLogger("ibsym").warning("%s\n  write: ibsym generate, or IBSYM_NATIVE=0 for no compiled code", why)


@functools.cache
def _streams() -> Any:
    """What computes products by blocks, of the same files; None, and one notice, without them."""
    try:
        return _runtime()
    except Exception as error:
        logging.getLogger("ibsym").warning("%s stores whole tables of products: %s", Loss.__name__, error)
        return None


@functools.cache
def _runtime() -> dict[str, Any]:
    """What losses share, in the file beside this one, which must be as it was written: compiled passes, the ranks of a group."""
    path = Path(__file__).with_name("_ibsym_runtime.py")
    text = path.read_text("utf-8") if path.is_file() else ""
    if hashlib.sha256(text.encode()).hexdigest()[:16] != _BESIDE[path.name]:
        raise ImportError(f"a group and compiled code need {path}, which is missing, damaged or from another version")
    exec(text, space := {"__name__": path.stem})
    return space
