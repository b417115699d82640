"""What expressions call by one name for speed is the function that it says: values, slopes of any order, transforms, broadcasting."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from ibsym.codegen.runtime import definitions  # noqa: E402
from ibsym.runtime.inputs import Input, _checked  # noqa: E402

NAMES = {"torch": torch, "math": math, "F": F, "Tensor": torch.Tensor}
for text in (d.text for d in definitions("tensors").values()):
    exec("from __future__ import annotations\n" + text, NAMES)  # noqa: S102  our own text
cross_entropy, pick = NAMES["_binary_cross_entropy"], NAMES["_pick"]

SHAPES = (((4, 3), (4, 3)), ((4, 3), (2, 4, 3)), ((2, 4, 3), (3,)), ((2, 4, 3), (4, 3)), ((3,), (4, 3)))


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


DECLARED = (
    Input("m", "q(z|x)", "mean", ("B", "L"), "q"),
    Input("c", "c", "value", ("B",), "q"),
    Input("a", "p(c|z)", "logits", ("S", "B", "K"), "q"),
)


def test_what_was_right_once_makes_nothing_else_right():
    """After any number of right calls, with and without draws, in either precision, what is wrong is refused as at first."""
    right = [torch.randn(4, 2), torch.randint(3, (4,)), torch.randn(4, 3)]
    draws = [right[0], right[1], torch.randn(5, 4, 3)]
    double = [right[0].double(), right[1], right[2].double()]
    for given in (right, draws, double, right, draws, double):
        assert all(a is b for a, b in zip(_checked(DECLARED, given), given, strict=True))
    wrong = (
        ([torch.randn(4, 2), torch.randint(3, (5,)), torch.randn(4, 3)], "axis 0 is 5, not B = 4"),
        ([torch.randn(5, 2), *right[1:]], "axis 0 is 4, not B = 5"),
        ([right[0], right[1].float(), right[2]], "integer"),
        ([right[0], right[1], right[2].long()], "floating"),
        ([right[0], right[1].tolist(), right[2]], "a tensor, not list"),
        ([right[0].numpy(), *right[1:]], "a tensor, not ndarray"),
        ([right[0], right[1], torch.randn(2, 5, 4, 3)], "got"),
    )
    for given, why in wrong:
        for _ in range(2):
            with pytest.raises((TypeError, ValueError), match=why):
                _checked(DECLARED, given)
    for half in (torch.bfloat16, torch.float16):
        for _ in range(2):
            assert _checked(DECLARED, [right[0].to(half), right[1], right[2].to(half)])[0].dtype is torch.float32
    other = (DECLARED[0], DECLARED[1], Input("a", "p(c|z)", "logits", ("B", "2"), "q"))
    with pytest.raises(ValueError, match="not 2"):
        _checked(other, right)
