"""A tensor of another shape: the error names the input, the axis and both sizes, in every loss and for every axis."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import ibsym
from ibsym.codegen.c.class_sums import of_operand
from ibsym.lowering.program import InputKey, Load

ROOT = Path(__file__).resolve().parents[2]
MODULES = [path for path in sorted((ROOT / "generated").glob("[!_]*.py")) if not path.name.endswith(".triton.py")]
IMAGES = """
name = "images"
objective = "minimize I_q(X;Z) - I_q(Z;X)"
[variables]
x = "real[3,32,32]"
z = "real[L]"
[joints]
q = "data(x) q(z|x)"
p = "p(z) p(x|z)"
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(x|z)" = "isotropic-normal"
"""


def loss_of(path: Path) -> Any:
    found = importlib.util.spec_from_file_location(f"shapes_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.Loss


def sizes(loss: Any) -> dict[str, int]:
    """A size of its own for every axis."""
    names = dict.fromkeys(a for i in loss.INPUTS for a in i.shape if not a.isdigit())
    return {name: 2 + place for place, name in enumerate(names)}


def test_a_pass_knows_which_axes_a_tensor_has() -> None:
    """Of draws, classes and rows before its event, that nearest to the rows first; an axis of length 1 is none."""
    names = {"S": "OF_DRAWS", "K": "OF_CLASS(1)", "M": "OF_CLASS(0)", "B": "OF_ROWS"}
    for event in (0, 1, 2):
        for kept in itertools.product((True, False), repeat=4):
            axes = [axis if keep else "1" for axis, keep in zip(names, kept, strict=True)]
            found = of_operand(Load(InputKey("x", "mean", "q"), (*axes, *"DL"[:event])), event)
            assert set(found.split(" | ")) == ({names[axis] for axis in axes if axis != "1"} or {"0"})


def tensor(entry: Any, shape: list[int]) -> torch.Tensor:
    index = entry.role == "value" and entry.shape[-1].split("_")[0] == "B"
    return torch.zeros(shape, dtype=torch.int64) if index else torch.zeros(shape)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_the_axis_and_both_sizes_are_named(path: Path) -> None:
    loss = loss_of(path)
    known = sizes(loss)
    given = {i.name: tensor(i, [int(a) if a.isdigit() else known[a] for a in i.shape]) for i in loss.INPUTS}
    seen: set[str] = set()
    for entry in loss.INPUTS:
        for k, axis in enumerate(entry.shape):
            size = int(axis) if axis.isdigit() else known[axis]
            if axis.isdigit() or axis in seen or axis in entry.shape[:k]:
                shape = list(given[entry.name].shape)
                shape[k] = size + 50
                wanted = str(size) if axis.isdigit() else f"{axis} = {size}"
                with pytest.raises(
                    ValueError, match=rf"^{entry.name}: expected shape \(.*; axis {k} is {size + 50}, not {wanted}$"
                ):
                    loss()(**given | {entry.name: tensor(entry, shape)})
            seen.add(axis)


def test_one_channel_where_three_are_declared() -> None:
    loss = ibsym.compile(ibsym.loads(IMAGES))()
    images, code = torch.zeros(5, 1, 32, 32), torch.zeros(5, 2)
    message = r"^x: expected shape \(B, 3, 32, 32\), got \(5, 1, 32, 32\); axis 1 is 1, not 3$"
    with pytest.raises(ValueError, match=message):
        loss(z_mean=code, z_logvar=code, x=images, x_mean=torch.zeros(5, 3, 32, 32))
