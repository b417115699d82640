"""What expressions call by one name for speed is the function that it says: values, slopes of any order, transforms, broadcasting."""

from __future__ import annotations

import math

import pytest
import sympy

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from ibsym.codegen.formulas import Code  # noqa: E402
from ibsym.codegen.runtime import definitions  # noqa: E402
from ibsym.codegen.torch.expressions import render  # noqa: E402
from ibsym.families.functions import binary_cross_entropy  # noqa: E402

NAMES = {"torch": torch, "math": math, "F": F, "Tensor": torch.Tensor}
for text in (d.text for d in definitions("tensors").values()):
    exec("from __future__ import annotations\n" + text, NAMES)  # noqa: S102  our own text
pick = NAMES["_pick"]
BITS = render(binary_cross_entropy(*sympy.symbols("v a")), Code).text

SHAPES = (((4, 3), (4, 3)), ((4, 3), (2, 4, 3)), ((2, 4, 3), (3,)), ((2, 4, 3), (4, 3)), ((3,), (4, 3)))


def cross_entropy(v, a):
    return eval(BITS, {"torch": torch, "F": F, "v": v, "a": a})  # noqa: S307  our own text


def written(v, a):
    return -v * F.logsigmoid(a) - (1 - v) * F.logsigmoid(-a)


@pytest.mark.parametrize(("values", "logits"), SHAPES)
def test_a_bit_is_what_it_is_written_out(values, logits):
    """Soft values and values beyond [0, 1], either argument short of leading axes, slopes and slopes of slopes by both."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(values, dtype=torch.float64, generator=generator).requires_grad_()
    a = (3 * torch.randn(logits, dtype=torch.float64, generator=generator)).requires_grad_()
    upstream = torch.randn(cross_entropy(v, a).shape, dtype=torch.float64, generator=generator)
    slopes = []
    for function in (cross_entropy, written):
        value = function(v, a)
        first = torch.autograd.grad(value, (v, a), upstream, create_graph=True)
        second = torch.autograd.grad(sum((g**2).sum() for g in first), (v, a))
        slopes.append((value, *first, *second))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own forward mode
def test_a_bit_under_transforms():
    v, a = torch.rand(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    sums = {f: lambda v, a, f=f: f(v, a).sum() for f in (cross_entropy, written)}
    for transform in (
        lambda f: torch.func.vmap(torch.func.grad(f, argnums=(0, 1)))(v, a),
        lambda f: torch.func.vmap(f, in_dims=(None, 0))(v[0], a),
        lambda f: torch.func.jacrev(torch.func.jacrev(f, argnums=1), argnums=1)(v[0], a[0]),
        lambda f: torch.func.jvp(f, (v, a), (a, v)),
        lambda f: torch.func.jacfwd(torch.func.grad(f, argnums=1), argnums=1)(v[0], a[0]),
    ):
        ours, theirs = (transform(sums[f]) for f in (cross_entropy, written))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("table", "index"), [((4, 3), (4,)), ((2, 4, 3), (4,)), ((3,), (4,)), ((4, 3), (2, 4)), ((2, 4, 3), (2, 4))]
)
def test_the_entry_of_a_class(table, index):
    logits, chosen = torch.randn(table), torch.randint(3, index)
    found = pick(logits, chosen)
    shape = torch.broadcast_shapes(table[:-1], index)
    every, which = logits.expand(*shape, 3).reshape(-1, 3), chosen.expand(shape).reshape(-1)
    assert found.shape == shape
    assert torch.equal(found.reshape(-1), every[torch.arange(len(which)), which])
    for wrong in (3, -1, -100):  # none of them is left out in silence
        with pytest.raises((RuntimeError, IndexError)):
            pick(logits, torch.full(index, wrong))
