"""Products by blocks as a GPU takes them: in Triton's interpreter, on tensors of the CPU, and by torch where there is no Triton."""

from __future__ import annotations

import os
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ibsym.runtime import both_ways, streams, tensors  # noqa: E402
from ibsym.runtime._ibsym_runtime import HALVES  # noqa: E402

TOLERANCE = {torch.float64: 1e-12, torch.float32: 3e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


@pytest.fixture(params=["interpreter", "torch"])
def by_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    found = None
    if request.param == "interpreter":
        pytest.importorskip("triton", reason="needs triton, whose interpreter runs on any machine")
        if os.environ.get("TRITON_INTERPRET") != "1":  # before anybody imports it
            pytest.skip("needs TRITON_INTERPRET=1 in the environment")
        found = streams.compiled_kernels.__wrapped__()
    for module in (streams, both_ways):
        monkeypatch.setattr(module, "kernels_of", lambda _: found)
    monkeypatch.setattr(streams, "LEAST", 3)
    monkeypatch.setattr(streams, "cache", lambda: 0)
    return found


def rounded(shape: tuple[int, ...], dtype: Any, factor: float = 1.0) -> Any:
    """A leaf that learns, and the same numbers in float64."""
    leaf = (factor * torch.randn(shape)).to(dtype)
    return leaf.requires_grad_(), leaf.detach().double().requires_grad_()


def close(got: Any, right: Any, tolerance: float) -> None:
    for a, b in zip(got, right):
        assert float((a.detach().double() - b).norm()) <= tolerance * float(b.norm().clamp_min(1e-3)), (a, b)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_head(by_kernels: Any, dtype: Any, has_bias: bool) -> None:
    if by_kernels is None and dtype not in HALVES:
        pytest.skip("the loop of the CPU: test_streams")
    torch.manual_seed(0)
    for rows, classes, width in ((7, 37, 5), (3, 8300, 2), (1, 1, 1)):
        pairs = [rounded((rows, width), dtype), rounded((classes, width), dtype), rounded((classes,), dtype)]
        leaves, exact = ([p[k] for p in (pairs if has_bias else pairs[:2])] for k in (0, 1))
        index, weights = torch.randint(0, classes, (2 * rows,))[::2], torch.randn(2 * rows)[::2]
        plain: Any = tensors._log_share_at_once
        right = plain(*exact, *([] if has_bias else [None]), index)
        for given in (weights, torch.full((rows,), -1.7), torch.tensor(0.3).expand(rows)):
            value = streams._LogShare.apply(plain, *leaves, *([] if has_bias else [None]), index)
            assert value.dtype is torch.promote_types(dtype, torch.float32)
            close([value], [right.detach()], TOLERANCE[dtype] / 100 if dtype in HALVES else TOLERANCE[dtype])
            wanted = torch.autograd.grad(right, exact, given.double(), retain_graph=True)
            for again in (True, False):
                got = torch.autograd.grad(value, leaves, given.to(value.dtype), retain_graph=again)
                assert [g.dtype for g in got] == [dtype] * len(leaves)
                close(got, wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_both_directions(by_kernels: Any, dtype: Any) -> None:
    if by_kernels is None:
        pytest.skip("the loop of the CPU: test_streams; halves go one way at a time")
    torch.manual_seed(0)
    for rows, width in ((10, 4), (20, 3), (1, 2)):
        pairs = [rounded((rows, width), dtype, 2.0), rounded((rows, width), dtype)]
        leaves, exact = ([p[k] for p in pairs] for k in (0, 1))
        heats = [torch.tensor(n, requires_grad=True) for n in (0.7, 1.3)]
        exact += [h.detach().double().requires_grad_() for h in heats]
        weights = torch.randn(2, rows)
        found = both_ways.log_pair_shares(tensors._log_pair_shares_at_once, *leaves, *heats)
        right = tensors._log_pair_shares_at_once(*exact)
        assert found[0].dtype is torch.promote_types(dtype, torch.float32)
        close(found, [r.detach() for r in right], 1e-5 if dtype is not torch.float64 else 1e-7)
        got = torch.autograd.grad(found, [*leaves, *heats], list(weights.to(found[0].dtype)))
        close(got, torch.autograd.grad(right, exact, list(weights.double())), max(TOLERANCE[dtype], 1e-6))


def test_a_row_that_is_sure_and_one_that_is_masked(by_kernels: Any) -> None:
    """log p = -log(1 + sum of others): the sum is lost beside 1; a class at -infinity has no part."""
    if by_kernels is None:
        pytest.skip("test_streams")
    weight, bias = torch.zeros(4, 1), torch.tensor([20.0, 0.0, -1.0, -torch.inf], requires_grad=True)
    value = streams._LogShare.apply(tensors._log_share_at_once, torch.zeros(1, 1), weight, bias, torch.tensor([0]))
    others = float(torch.tensor([-20.0, -21.0], dtype=torch.float64).exp().sum())
    assert value.item() == pytest.approx(-others, rel=1e-5)
    (got,) = torch.autograd.grad(value.sum(), bias)
    assert float(got[0]) == pytest.approx(others, rel=1e-5)
    assert got[3] == 0
