"""Where compiled passes are kept during tests, and what is left out where there is no PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.torchless import EXTRAS, ROOT, needs_torch

os.environ.setdefault("IBSYM_CACHE_DIR", str(ROOT / "build" / "native-cache"))
os.environ.pop("COLUMNS", None)  # readline sets it for the processes of pytest-xdist; what is read is not to be folded
TORCH = find_spec("torch") is not None
LACKING = {folder for folder, modules in EXTRAS.items() if not all(map(find_spec, modules))}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without PyTorch, what needs it at once is left out; `make matrix` runs the rest so. A folder of an extra needs that extra."""
    if LACKING & {collection_path.name, collection_path.parent.name}:
        return True
    return True if not TORCH and collection_path.suffix == ".py" and needs_torch(collection_path) else None


if not TORCH:

    def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
        """Tests that say themselves that they need PyTorch."""
        items[:] = [item for item in items if item.get_closest_marker("torch") is None]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
        """A test that comes to need PyTorch on its way is skipped, and says so."""
        from ibsym.errors import MissingDependencyError

        try:
            return (yield)
        except MissingDependencyError:
            pytest.skip("needs PyTorch")
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "sklearn", "matplotlib"):
                raise
            pytest.skip(f"needs {error.name}")
