"""What losses use of a group, by itself: two ranks with shards of unlike size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


def test_two_ranks_are_one(tmp_path):
    script = str(Path(__file__).with_name("gather.py"))
    command = [sys.executable, script]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
