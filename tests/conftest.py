"""Compiled passes are kept between runs in build/, not in the home folder."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("IBSYM_CACHE_DIR", str(Path(__file__).resolve().parents[1] / "build" / "native-cache"))
