"""What is a probability of a cell sums to one over the cells: of a grid, at its open ends too, of counts, and of rounded codes."""

from __future__ import annotations

import math

import mpmath
import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402

DTYPE = torch.float64
WAYS = ("pass", "expression")


def rows(loss, way, given):
    """log of the mass of each row's cell, minimised or not: one coordinate a row."""
    value = loss(**given) if way == "pass" else loss.expression(*(given[i.name] for i in loss.INPUTS))
    return value.loss


def discretised(kind, **options):
    family = {"family": "discretised-logistic", **options}
    spec = ibsym.Spec(
        name="cells",
        objective="maximize E_q[log p(x|z)]",
        variables={"x": f"{kind}[1]", "z": "real[1]"},
        joints={"q": "data(x) q(z|x)", "p": "p(x|z)"},
        families={"q(z|x)": "diagonal-normal", "p(x|z)": family},
    )
    return ibsym.compile(spec)(reduction="none")


PLACES = [(mean, scale) for mean in (-30.0, 0.0, 0.3, 1.0, 700.0) for scale in (1e-9, 0.02, 1.0, 1e9)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bins", [2, 5, 256])
def test_cells_of_a_grid(bins, way):
    """The cells of 0 and 1 reach to infinity: sum_v r(v) = 1, wherever the mean lies and however narrow or wide the law is."""
    loss, x = discretised("unit", bins=bins), torch.linspace(0, 1, bins, dtype=DTYPE)[:, None]
    for mean, scale in PLACES:
        masses = -rows(loss, way, {"x": x, "x_mean": x.new_full(x.shape, mean), "x_scale": x.new_full(x.shape, scale)})
        rounded = 1e-15 / scale  # of the border that a narrow law's mean lies on
        assert float(masses.logsumexp(0)) == pytest.approx(0, abs=1e-12 + rounded), (mean, scale)


@pytest.mark.parametrize("way", WAYS)
def test_cells_in_sixty_digits(way):
    """log(s(b) - s(a)) where a difference of sigmoids has no digits: far tails, cells much narrower and much wider than the law."""
    loss, bins = discretised("unit", bins=5), 5
    x = torch.linspace(0, 1, bins, dtype=DTYPE)[:, None]
    for mean, scale in ((0.3, 1e-3), (0.3, 1e-4), (-30.0, 0.02), (700.0, 1.0), (0.0, 1e9), (1.0, 0.02)):
        masses = -rows(loss, way, {"x": x, "x_mean": x.new_full(x.shape, mean), "x_scale": x.new_full(x.shape, scale)})
        with mpmath.workdps(60):
            cuts = [
                -mpmath.inf,
                *((mpmath.mpf(2 * k + 1) / 8 - mpmath.mpf(mean)) / mpmath.mpf(scale) for k in range(4)),
                mpmath.inf,
            ]
            below = [1 / (1 + mpmath.exp(-c)) if mpmath.isfinite(c) else mpmath.mpf(c > 0) for c in cuts]
            above = [1 / (1 + mpmath.exp(c)) if mpmath.isfinite(c) else mpmath.mpf(c < 0) for c in cuts]
            exact = [
                float(mpmath.log(b - a if b < 0.5 else c - d))
                for a, b, c, d in zip(below[:-1], below[1:], above[:-1], above[1:], strict=True)
            ]
        torch.testing.assert_close(masses, masses.new_tensor(exact), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_cells_of_counts(way):
    """Open below only: sum_{v < n} r(v) = s((n - 1/2 - mean)/b)."""
    loss, x = discretised("count"), torch.arange(40, dtype=DTYPE)[:, None]
    for mean, scale in ((-3.0, 0.5), (4.2, 0.1), (11.0, 3.0), (1000.0, 1.0), (0.0, 1e6)):
        masses = -rows(loss, way, {"x": x, "x_mean": x.new_full(x.shape, mean), "x_scale": x.new_full(x.shape, scale)})
        upper = torch.nn.functional.logsigmoid(torch.tensor((39.5 - mean) / scale, dtype=DTYPE))
        assert float(masses.logsumexp(0)) == pytest.approx(float(upper), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prior", ["diagonal-normal", "laplace", "logistic"])
def test_the_rate_of_rounded_codes_is_the_noisy_rate_at_integers(prior, way):
    """At width 1 the rate of z~ is -log P(round Z = k) at z~ = k, Z of the prior: an entropy model, whose masses sum to one."""
    spec = ibsym.Spec(
        name="rounded",
        objective="minimize KL(q(z|x)||p(z))",
        variables={"x": "real[1]", "z": "real[1]"},
        joints={"q": "data(x) q(z|x)", "p": "p(z)"},
        families={"q(z|x)": "uniform-noise", "p(z)": {"family": prior, "scale": "learned"} if prior == "laplace" else prior},
    )
    loss = ibsym.compile(spec)(reduction="none")
    codes = torch.arange(-60, 61, dtype=DTYPE)[:, None]
    mean, spread = 0.37, 1.3
    given = {i.name: codes if i.role == "sample" else codes.new_full((1,), mean) for i in loss.INPUTS}
    for i in loss.INPUTS:
        if i.role in ("logvar", "scale"):
            given[i.name] = codes.new_full((1,), 2 * math.log(spread) if i.role == "logvar" else spread)
    law = {
        "diagonal-normal": torch.distributions.Normal,
        "laplace": torch.distributions.Laplace,
        "logistic": lambda m, s: torch.distributions.TransformedDistribution(
            torch.distributions.Uniform(torch.zeros((), dtype=DTYPE), 1),
            [torch.distributions.SigmoidTransform().inv, torch.distributions.AffineTransform(m, s)],
        ),
    }[prior](torch.tensor(mean, dtype=DTYPE), torch.tensor(spread, dtype=DTYPE))
    rate = rows(loss, way, given)
    near = codes[:, 0].abs() < 8  # beyond, a difference of distribution functions has no digits
    mass = (law.cdf(codes[:, 0] + 0.5) - law.cdf(codes[:, 0] - 0.5))[near]
    torch.testing.assert_close(rate[near], -mass.log(), rtol=1e-9, atol=1e-10)
    assert float((-rate).logsumexp(0)) == pytest.approx(0, abs=1e-12)
