"""What was right once makes nothing else right: arguments are known again by kind and size, and by nothing less."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.native import worlds  # noqa: E402

WRONG = (
    ("c", lambda t: torch.cat([t, t[:1]]), "axis"),
    ("z_mean", lambda t: torch.cat([t, t[:1]]), "axis"),
    ("c", lambda t: t.float(), "integer class indices"),
    ("c_logits", lambda t: t.long(), "floating point"),
    ("c", lambda t: t.tolist(), "a tensor, not list"),
    ("z_mean", lambda t: t.numpy(), "a tensor, not ndarray"),
    ("c_logits", lambda t: t[None, None], "got"),
    ("z_logvar", lambda t: t[:, :1], "axis"),
    ("z_logvar", lambda t: t.to("meta"), r"^z_logvar is on meta, and \w+ is on cpu\n  write: z_logvar.to\(\w+.device\)"),
)


@pytest.mark.parametrize("name", ["vib"])
def test_what_was_right_once(name):
    loss = worlds.module(name).Loss()
    given = {draws: worlds.arguments(name, draws=draws) for draws in (True, False)}
    double = {n: t.double() if t.is_floating_point() else t for n, t in given[True].items()}
    first = [loss(**g).loss for g in (given[True], given[False], double)]
    for _ in range(2):
        assert all(torch.equal(loss(**g).loss, f) for g, f in zip((given[True], given[False], double), first, strict=True))
        for argument, change, why in WRONG:
            with pytest.raises((TypeError, ValueError), match=why):
                loss(**given[True] | {argument: change(given[True][argument].detach())})
        for half in (torch.bfloat16, torch.float16):
            raised = loss(**{n: t.to(half) if t.is_floating_point() else t for n, t in given[True].items()}).loss
            assert raised.dtype is torch.float32
            mixed = loss(**given[True] | {"z_mean": double["z_mean"]}).loss
            torch.testing.assert_close(mixed.float(), first[0], rtol=1e-5, atol=1e-5)


def test_what_stands_beside_kind_and_size_is_looked_at_every_time():
    """Negated views, tensors of inference, transposed memory, a reduction, a parameter that learns: after calls that were right."""
    loss = worlds.module("vib").Loss()
    given = worlds.arguments("vib")
    right = loss(**given).loss
    mean = given["z_mean"].detach()
    for other in (torch.complex(mean, -mean).conj().imag, mean.t().contiguous().t(), mean.clone()):
        torch.testing.assert_close(loss(**given | {"z_mean": other}).loss, right, rtol=1e-6, atol=1e-6)
    with torch.inference_mode():
        kept = mean.clone()
    torch.testing.assert_close(loss(**given | {"z_mean": kept}).loss.detach(), right.detach(), rtol=1e-6, atol=1e-6)
    loss.reduction = "none"
    assert loss(**given).loss.shape == given["c"].shape
    loss.reduction, loss.beta = "mean", torch.tensor(2.0, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(**given).loss, loss.beta)
    assert slope != 0
