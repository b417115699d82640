"""Every spec of the zoo and of the tests, derived once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibsym.derivation.engine import derive
from ibsym.derivation.model import Derivation
from ibsym.spec.loading import load, zoo_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def derivations() -> dict[str, Derivation]:
    files = [*zoo_names(), *map(str, sorted((ROOT / "tests" / "specs").glob("*.toml")))]
    found = [derive(load(f)) for f in files]
    return {d.spec.name: d for d in found}
