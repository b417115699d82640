"""Every row's loss by the compiled pass, where nobody asks for gradients: what the expression gives."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.native import worlds  # noqa: E402  once for all files: each program is lowered once

BY_ROW = [n for n in worlds.SPECS if worlds.program(n).rows is not None and worlds.fused(n)]


def error(found, true):
    return float((found.double() - true).norm() / (true.norm() + 1e-30))


def passed(loss, given, monkeypatch):
    """The output, which no expression of the whole loss had a part in."""
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(type(loss), "expression", None)
        return loss(**given)


def strided(tensor):
    """The same numbers, not side by side."""
    return torch.stack([tensor, tensor], -1)[..., 0]


@pytest.mark.parametrize("draws", [True, False], ids=["draws", "no-draws"])
@pytest.mark.parametrize("name", BY_ROW)
def test_the_rows_are_those_of_the_expression(name, draws, monkeypatch):
    """Parameters of other values than their own; one row; strided inputs, of which one learns."""
    module = worlds.module(name)
    weights = {p.name: 0.7 * float(p.default) for p in worlds.program(name).parameters}
    for sizes, change in ({}, lambda t: t), ({"B": 1}, lambda t: t), ({"B": 5}, strided):
        given = worlds.arguments(name, draws=draws, sizes=sizes)
        loss = module.Loss(**weights, reduction="none")
        true = loss.expression(*(t.double() if t.is_floating_point() else t for t in given.values()))
        plain = loss.expression(*given.values())
        found = passed(loss, {n: change(t) for n, t in given.items()}, monkeypatch)
        assert found.loss.shape == plain.loss.shape
        assert found.loss.dtype is torch.float32
        assert error(found.loss, true.loss) <= max(error(plain.loss, true.loss), 1e-6)
        assert list(found.terms) == list(true.terms)
        largest = max(1.0, float(true.loss.abs().max()))
        for text, value in found.terms.items():
            assert float(value) == pytest.approx(float(true.terms[text]), rel=1e-5, abs=1e-6 * largest)


def test_rows_learn_by_the_expression(monkeypatch):
    given = worlds.learning(worlds.arguments("vae"))
    loss = worlds.module("vae").Loss(reduction="none")
    rows = loss(**given).loss
    (found,) = torch.autograd.grad(rows[3], given["x_logits"])
    assert (found != 0).flatten(0, -2).any(-1).nonzero().flatten().tolist() == [3, 12]  # of two draws of nine rows
    torch.testing.assert_close(rows.detach(), passed(loss, given, monkeypatch).loss, rtol=1e-6, atol=1e-6)


def test_rows_of_what_a_batch_shares_are_refused():
    """Nor where the reduction is set afterwards."""
    loss = worlds.module("infonce").Loss()
    loss.reduction = "none"
    with pytest.raises(ValueError, match="reduction"):
        loss(z_y_scores=torch.randn(5, 5))


@pytest.mark.parametrize("name", ["vae", "vib", "iwae", "vampprior-vae", "vq-vae", "pixels", "observed", "relaxed"])
def test_threads_change_no_digit_of_a_row(name, monkeypatch):
    given = worlds.arguments(name, sizes={"B": 65, "D": 1531, "K": 1201, "L": 1100})
    loss, found = worlds.module(name).Loss(reduction="none"), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(passed(loss, given, monkeypatch).loss)
    assert torch.equal(*found)
