"""Losses on several ranks: value, terms and gradients of the loss on the whole batch, for every system of the zoo, and some more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.codegen import files  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from ibsym.sources import certificate_of  # noqa: E402
from tests.codegen.conftest import tensors  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"B": 7, "B_p": 5, "B_unlabelled": 6}
STREAMED = ("linear-head", "inner-products")
"""Not of the zoo: what is gathered of these is rows, and never a product."""


def batches():
    for name in [*sorted(ibsym.zoo()), *(str(ROOT / f"tests/specs/{n}.toml") for n in STREAMED)]:
        spec = ibsym.load(name)
        known = __import__("ibsym.losses", fromlist=["x"])
        loss = getattr(known, spec.class_name) if spec.name in ibsym.zoo() else ibsym.compile(spec)
        settings = {
            n: (-2.0 if p.min is None else p.min) + (1.3 if p.max is None else 0.4 * (p.max - (p.min or 0.0)))
            for n, p in spec.parameters.items()
        }
        yield spec.module_name, settings, tensors(spec, loss.INPUTS, sizes=SIZES)


def world(ranks, folder):
    """What every rank of a world says."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "IBSYM_NATIVE": "0", "PYTHONWARNINGS": "default"}
    command = [sys.executable, str(ROOT / "tests/ranks/world.py")]
    logs = [folder / f"said{ranks}-{rank}" for rank in range(ranks)]
    running = []
    for rank, log in enumerate(logs):
        with log.open("w") as file:
            running.append(
                subprocess.Popen([*command, str(rank), str(ranks), str(folder)], stderr=file, stdout=file, env=environment)
            )
    try:
        for _ in range(1200):
            ends = [process.poll() for process in running]
            if any(ends) or None not in ends:
                break
            time.sleep(0.2)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert ends == [0] * ranks, "\n".join(log.read_text()[-2000:] for log in logs)
    return [json.loads((folder / f"found{ranks}-{rank}.json").read_text()) for rank in range(ranks)]


@pytest.fixture(scope="module", params=[2, 4])
def said(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    torch.save(list(batches()), folder / "batches.pt")
    for name in STREAMED:
        for file, text in files(lower(certificate_of(ROOT / f"tests/specs/{name}.toml"))).items():
            (folder / file).write_text(text, encoding="utf-8")
    return world(request.param, folder)


def worst(said, part, limit):
    """What is off by more than the limit, anywhere."""
    return {
        f"{key}: {what} at rank {rank}": gap
        for rank, found in enumerate(said)
        for key, gaps in found[part].items()
        for what, gap in gaps.items()
        if not gap <= limit(key)
    }


def test_losses_are_those_of_the_whole_batch(said):
    """Of every system of the zoo: value, terms, gradients in rows and in what has none, what critics minimise."""
    assert worst(said, "zoo", lambda key: 2e-6 if "float32" in key else 1e-12) == {}
    assert len(said[0]["zoo"]) >= (2 * len(ibsym.zoo()) if len(said) == 2 else 10)


def test_rows_of_a_product_come_from_all_ranks(said):
    assert worst(said, "permuted", lambda _: 0) == {}


def test_what_is_averaged_over_ranks_is_the_whole_gradient(said):
    """With unused parameters, recomputed activations, half precision, clipping, sharded parameters; in several groups."""
    assert worst(said, "steps", lambda key: 2e-2 if "autocast" in key else 2e-6) == {}


def test_one_warning_without_a_group(said):
    if len(said) == 2:
        for found in said:
            first, _ = found["alone"]
            assert len(first) == 1
            assert "I_q(Z;Y)" in first[0]
            assert "write: InfonceLoss(group=torch.distributed.group.WORLD)" in first[0]
    else:
        assert all("this rank is not of the group" in found["outside"] for found in said)
