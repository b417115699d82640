"""Pictures take most of a short run's time: those whose looks no test asks for are a few bytes."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from ibsym.files import write
from ibsym.training import train


@pytest.fixture
def pictures():
    """Asked for by a test that looks at them."""


@pytest.fixture(autouse=True)
def _no_pictures(request, monkeypatch):
    if "pictures" in request.fixturenames:
        return

    def blank(folder, *_):
        write(folder / "terms.png", b"\x89PNG")
        return folder / "terms.png"

    monkeypatch.setattr(train, "save_terms", blank)
