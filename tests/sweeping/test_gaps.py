"""What critics stand for is estimated twice more, and both estimates are near what is known."""

from __future__ import annotations

import math

import pytest
import torch

from ibsym.spec.loading import loads
from ibsym.sweeping.critics import BY, neighbours, twice
from ibsym.sweeping.gaps import gaps
from tests.training.helpers import trainer


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.5])
def test_two_normals(shift: float) -> None:
    """KL = shift^2/2 and 0 <= JS <= min(log 2, KL): a critic of other rows is below, but for noise."""
    torch.manual_seed(0)
    p, q = torch.randn(1000, 2).double(), torch.randn(1000, 2).double()
    q[:, 0] += shift
    kl = shift**2 / 2
    critic, distances = twice(p, q, symmetric=False)
    assert distances == pytest.approx(kl, abs=0.25)
    assert kl - 0.3 <= critic <= kl + 0.3  # a mean of e^f over 500 rows
    js = float(exact_js(shift))
    critic, distances = twice(p, q, symmetric=True)
    assert distances == pytest.approx(js, abs=0.1)
    assert js - 0.1 <= critic <= js + 0.04


def exact_js(shift: float) -> torch.Tensor:
    """By quadrature along the axis in which the two differ."""
    x = torch.linspace(-9, 9 + shift, 20001, dtype=torch.float64)
    p, q = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0, shift))
    parts = [torch.special.xlogy(a, a / ((p + q) / 2)).nan_to_num() for a in (p, q)]
    return torch.trapezoid((parts[0] + parts[1]) / 2, x)


def test_equal_rows_have_no_distances() -> None:
    assert neighbours(torch.zeros(50, 2).double(), torch.ones(50, 2).double()) is None


def test_a_run_with_critics_tells_their_gaps() -> None:
    lines = (
        'name = "s"',
        'objective = "minimize JS(q(z)||p(z)) - beta*I_q(Z;X)"',
        'variables = { x = "unit[D]", z = "real[2]" }',
        'joints = { q = "data(x) q(z|x)", p = "p(z) p(x|z)" }',
        "parameters = { beta = { default = 1.0, min = 0 } }",
        'estimators = { "JS(q(z)||p(z))" = "logistic" }',
        "[families]",
        '"q(z|x)" = "deterministic"',
        '"p(z)" = "standard-normal"',
        '"p(x|z)" = "continuous-bernoulli"',
    )
    made = trainer(loads("\n".join(lines)), settings={"hidden": 8})
    (found,) = [g for g in gaps(made.meter, 0) if g["quantity"] == "JS(q(z)||p(z))"]
    assert (found["side"], found["by"]) == ("estimate", BY)
    assert found["low"] <= found["high"] < 1
    assert found["low"] > 0.2  # the codes of a network that nothing was learned by are near one point
    assert found["gap"] == pytest.approx((found["low"] + found["high"]) / 2 - found["bound"])
    assert gaps(made.meter, 0) == gaps(made.meter, 0)
