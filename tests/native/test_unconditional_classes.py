"""E_q[log p(y)] where p(y) has one row of logits for every row of y: the pass declines what it would read by rows of logits."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402


def test_logits_without_rows_meet_every_index() -> None:
    spec = ibsym.Spec(
        name="unconditional",
        objective="minimize -E_q[log p(y)]",
        variables={"x": "binary[D]", "y": "categorical[K]"},
        joints={"q": "data(x,y)", "p": "p(y)"},
        families={"p(y)": "categorical"},
    )
    loss = ibsym.compile(spec)()
    y, logits = torch.tensor([0, 2, 1, 2, 2]), torch.tensor([0.3, -1.1, 0.8], dtype=torch.float64, requires_grad=True)
    output, expected = loss(y=y, y_logits=logits).loss, -logits.log_softmax(-1)[y].mean()
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(*(torch.autograd.grad(v, logits)[0] for v in (output, expected)))
