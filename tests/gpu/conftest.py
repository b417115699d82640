"""Tests on a GPU, skipped where there is none; IBSYM_TEST_DEVICE=cpu runs them without one, to try the tests themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DEVICE = os.environ.get("IBSYM_TEST_DEVICE", "cuda")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies here is marked, and skipped where the device is not there."""
    if find_spec("torch") is None:  # nothing here was collected
        return
    import torch

    lacking = DEVICE == "cuda" and not torch.cuda.is_available()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if lacking:
                item.add_marker(pytest.mark.skip(reason="PyTorch finds no GPU"))


@pytest.fixture(scope="session")
def device() -> str:
    return DEVICE


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A process group of one, on the device's own backend."""
    import torch
    import torch.distributed as dist

    if DEVICE == "cuda":
        torch.cuda.set_device(0)
    meeting = tmp_path_factory.mktemp("world") / "meeting"
    dist.init_process_group("nccl" if DEVICE == "cuda" else "gloo", init_method=f"file://{meeting}", rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()
