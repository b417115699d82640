"""log I_v(t) - v log t and t I_{v+1}(t) / I_v(t) in one pass, with their slopes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
mpmath = pytest.importorskip("mpmath")

from ibsym.codegen.c.source import one_pass  # noqa: E402
from tests.native import worlds  # noqa: E402
from tests.native.test_passes import compare  # noqa: E402


@pytest.mark.parametrize("sizes", [{"B": 1, "L": 2}, {"B": 70, "L": 3}, {"B": 9, "L": 300}], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_entropies_and_relative_entropies_on_spheres_are_in_the_pass(sizes, reduction):
    assert one_pass(worlds.program("spheres")).rest == ()
    assert one_pass(worlds.program("s-vae")).rest == ()
    compare("spheres", worlds.arguments("spheres", sizes=sizes, seed=3), reduction=reduction)


def exact(dimensions, t):
    """KL(vMF || uniform) and its slope by the concentration, by mpmath."""
    with mpmath.workdps(60):
        n, v = mpmath.mpf(dimensions), mpmath.mpf(dimensions) / 2 - 1

        def divergence(k):
            ratio = mpmath.besseli(v + 1, k) / mpmath.besseli(v, k)
            log_constant = v * mpmath.log(k) - n / 2 * mpmath.log(2 * mpmath.pi) - mpmath.log(mpmath.besseli(v, k))
            return k * ratio + log_constant + mpmath.log(2) + n / 2 * mpmath.log(mpmath.pi) - mpmath.loggamma(n / 2)

        k = mpmath.mpf(t)
        ratio = mpmath.besseli(v + 1, k) / mpmath.besseli(v, k)
        return float(divergence(k)), float(k * (1 - ratio**2 - (n - 1) / k * ratio))


@pytest.mark.parametrize("dimensions", [2, 3, 10, 128])
@pytest.mark.parametrize("t", [1e-3, 0.5, 7.0, 300.0, 1e4, 1e6])
def test_value_and_slope_have_their_digits(dimensions, t):
    """In double precision; where t is large the slope is a small difference of what it is made of."""
    given = worlds.arguments("s-vae", sizes={"B": 1, "L": dimensions, "D": 2}, dtype=torch.float64)
    given["z_concentration"] = torch.tensor([t], dtype=torch.float64)
    leaves = worlds.learning(given)
    output = worlds.module("s-vae").Loss()(**leaves)
    value, slope = exact(dimensions, t)
    found = worlds.gradients(output.loss, leaves)["z_concentration"]
    assert float(output.terms["KL(q(z|x)||p(z))"]) == pytest.approx(value, rel=1e-9, abs=1e-11 * max(1, t))
    assert float(found) == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize("t", [0.0, 1e-30, 1e9, -1.0, float("inf"), float("nan")])
def test_edges_are_those_of_the_expression_in_double_precision(t):
    given = worlds.arguments("s-vae", sizes={"B": 3, "L": 5, "D": 2})
    given["z_concentration"][1] = t
    loss, runs = worlds.module("s-vae").Loss(), []
    for call, dtype in ((lambda g: loss(**g), torch.float32), (lambda g: loss.expression(*g.values()), torch.float64)):
        leaves = worlds.learning({n: x.to(dtype) for n, x in given.items()})
        output = call(leaves)
        runs.append((output.terms["KL(q(z|x)||p(z))"], worlds.gradients(output.loss, leaves)["z_concentration"]))
    (value, slopes), (expected, expected_slopes) = runs
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(slopes.double(), expected_slopes, rtol=1e-6, atol=1e-9, equal_nan=True)
