"""log 1/n sum e^t over all rows and draws, in one pass."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from ibsym.codegen.c.source import one_pass  # noqa: E402
from tests.native import worlds  # noqa: E402
from tests.native.test_passes import compare  # noqa: E402


@pytest.mark.parametrize("sizes", [{"B": 1, "S": 1}, {"B": 70, "S": 3}, {"B": 1500, "S": 2}], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("draws", [True, False])
def test_both_critics_are_in_the_pass(sizes, reduction, draws):
    assert one_pass(worlds.program("two-critics")).rest == ()
    assert one_pass(worlds.program("mine")).rest == ()
    compare("two-critics", worlds.arguments("two-critics", sizes=sizes, draws=draws, seed=3), reduction=reduction)


@pytest.mark.parametrize("height", [1e4, -1e4])
def test_critics_far_out(height):
    """What they have in common changes the value by as much, and no gradient."""
    given = worlds.arguments("two-critics", sizes={"B": 8}, draws=False)
    name = "x_z_critic_reference"
    given[name] = torch.arange(8.0) + height
    leaves = worlds.learning(given)
    output = worlds.module("two-critics").Loss()(**leaves)
    mean = math.log(sum(math.exp(k) for k in range(8)) / 8) + height
    expected = float(given["x_z_critic"].double().mean()) - mean
    assert float(output.terms["I_q(X;Z)"]) == pytest.approx(expected, rel=1e-6)
    slopes = worlds.gradients(output.loss, leaves)[name]
    torch.testing.assert_close(slopes, -0.7 * torch.arange(8.0).softmax(0), rtol=2e-6, atol=0)


def test_not_a_number_stays_none():
    given = worlds.arguments("two-critics")
    given["x_z_critic_reference"][0, 0] = torch.nan
    assert worlds.module("two-critics").Loss()(**given).loss.isnan()


@pytest.mark.parametrize(
    ("numbers", "mean"), [((math.inf, 1.0), math.inf), ((-math.inf, -math.inf), -math.inf), ((-math.inf, 0.0), -math.log(2))]
)
def test_infinite_critics(numbers, mean):
    """The mean is infinite where one number is, or all are; a NaN stays one."""
    given = worlds.arguments("two-critics", sizes={"B": 2}, draws=False)
    given["x_z_critic_reference"] = torch.tensor(numbers)
    given["x_z_critic"] = torch.zeros(2)
    found = worlds.module("two-critics").Loss()(**given)
    assert float(found.terms["I_q(X;Z)"]) == pytest.approx(-mean)
    given["x_z_critic_reference"][1] = math.nan
    assert worlds.module("two-critics").Loss()(**given).loss.isnan()


def test_of_many_numbers_the_mean_keeps_its_digits():
    """As PyTorch's own sum does, which adds up in a tree."""
    given = worlds.arguments("two-critics", sizes={"B": 300_000}, draws=False, seed=4)
    exact = worlds.module("two-critics").Loss().expression(*(t.double() for t in given.values()))
    found = worlds.module("two-critics").Loss()(**given)
    for text, value in exact.terms.items():
        assert float(found.terms[text]) == pytest.approx(float(value), abs=2e-7 * 4)
