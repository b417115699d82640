"""Special functions of kernels against SciPy's in double precision, over their ranges, in Triton's interpreter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from scipy import special, stats

from ibsym.runtime.triton import cells, gamma

pytestmark = pytest.mark.filterwarnings("ignore")  # the interpreter's NumPy tells of infinities
GAMMA = {"log_gamma": special.gammaln, "digamma": special.psi, "trigamma": lambda t: special.polygamma(1, t)}


@triton.jit
def of_one(x, out, size, BLOCK: tl.constexpr):
    """The gamma functions, one after another."""
    at = tl.arange(0, BLOCK)
    t = tl.load(x + at, at < size, 1.0)
    tl.store(out + at, gamma.log_gamma(t), at < size)
    tl.store(out + size + at, gamma.digamma(t), at < size)
    tl.store(out + 2 * size + at, gamma.trigamma(t), at < size)


@triton.jit
def of_cells(d, w, out, size, BLOCK: tl.constexpr):
    """Of cells, one after another."""
    at = tl.arange(0, BLOCK)
    x, h = tl.load(d + at, at < size, 0.0), tl.load(w + at, at < size, 1.0)
    tl.store(out + at, cells.log_normal_cell(x, h), at < size)
    tl.store(out + size + at, cells.normal_cell_shift(x, h), at < size)
    tl.store(out + 2 * size + at, cells.normal_cell_growth(x, h), at < size)
    tl.store(out + 3 * size + at, cells.log_laplace_cell(x, h), at < size)
    tl.store(out + 4 * size + at, cells.laplace_cell_shift(x, h), at < size)
    tl.store(out + 5 * size + at, cells.laplace_cell_growth(x, h), at < size)


def run(kernel, *given, results):
    size = given[0].size
    out = torch.empty(results, size)
    with np.errstate(all="ignore"):
        kernel[(1,)](*map(torch.from_numpy, given), out, size, BLOCK=triton.next_power_of_2(size))
    return out.numpy()


def test_gamma_functions_to_the_last_digit():
    near = 1 + np.geomspace(1e-6, 0.5, 50)
    points = np.concatenate([np.geomspace(1e-15, 1e30, 400), near, 2 - near, 1 + near, [7.9999995, 8.0, 1.4616321]])
    t = points.astype(np.float32)
    for found, function in zip(run(of_one, t, results=3), GAMMA.values(), strict=True):
        wanted = function(t.astype(np.float64))
        assert (np.abs(found - wanted) <= np.spacing(np.abs(wanted).astype(np.float32))).all()


def test_gamma_functions_at_their_edges():
    t = np.array([0.0, np.inf, -1.0, np.nan], np.float32)
    found = run(of_one, t, results=3)
    np.testing.assert_array_equal(found[:, 0], [np.inf, -np.inf, np.inf])
    np.testing.assert_array_equal(found[:, 1], [np.inf, np.inf, 0])
    assert np.isnan(found[:, 2:]).all()


def log_mass(law, d, w):
    """log [F(d + w) - F(d - w)] by SciPy: of the side that has the smaller tails."""
    x = np.abs(d)
    a, b = law.logsf(x - w), law.logsf(x + w)
    inside = np.log(law.cdf(x + w) - law.cdf(x - w))
    return np.where(x > w, a + np.log(-np.expm1(b - a)), inside)


@pytest.mark.parametrize("law", [stats.norm, stats.laplace], ids=["normal", "laplace"])
def test_cells(law):
    """Against tails of SciPy; slopes by phi, and the narrowest cells by the density."""
    place, half = (a.ravel() for a in np.meshgrid(np.linspace(-30, 30, 41), [0.05, 0.5, 0.9, 1.1, 3.0, 12.0]))
    d, w = place.astype(np.float32), half.astype(np.float32)
    start = 0 if law is stats.norm else 3
    found = run(of_cells, d, w, results=6)[start : start + 3].astype(np.float64)
    d, w = d.astype(np.float64), w.astype(np.float64)
    mass = log_mass(law, d, w)
    upper, lower = np.exp(law.logpdf(d + w) - mass), np.exp(law.logpdf(d - w) - mass)
    np.testing.assert_allclose(found[0], mass, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found[1], upper - lower, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[2], upper + lower, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("law", [stats.norm, stats.laplace], ids=["normal", "laplace"])
def test_cells_so_narrow_that_they_are_a_density(law):
    d = np.linspace(-5, 5, 12).astype(np.float32)  # not 0, where Laplace's density has a corner
    w = np.full_like(d, 1e-5)
    start = 0 if law is stats.norm else 3
    value, _, growth = run(of_cells, d, w, results=6)[start : start + 3]
    np.testing.assert_allclose(value, law.logpdf(d.astype(np.float64)) + np.log(2 * w.astype(np.float64)), rtol=1e-6)
    np.testing.assert_allclose(growth, 1 / w, rtol=1e-6)
