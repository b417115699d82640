"""log [F(d + w) - F(d - w)] and its slopes by d (shift) and w (growth) in kernels, in double precision.

Of the standard normal law: where the cell is narrow, w <= 1 and |d| w <= 2, the mean of cosh(d t) e^(-t t / 2) over [0, w], a sum
of Hermite's polynomials in d; elsewhere the far tail is at most a fifth of the near one. Of the Laplace law in closed form.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .functions import sign


@triton.jit
def fallen(u):
    """1 - e^-u for u >= 0."""
    return tl.where(u < 1e-4, u * (1 - u * (0.5 - u * (1.0 / 6))), 1 - tl.exp(-u))


@triton.jit
def log_scaled_tail(z):
    """log [e^(z^2) erfc(z)] for z >= 0: log t and a polynomial in 2 t - 1, t = 2 / (2 + z)."""
    t = 2 / (2 + z)
    y = 2 * t - 1
    s = y * 1.5689567981005141e-7 + 3.1610605083084479e-6
    s = s * y - 4.3919568028442363e-6
    s = s * y - 2.0765497203224717e-5
    s = s * y + 3.5859295690059274e-5
    s = s * y + 6.2342789890247591e-5
    s = s * y - 1.7667132128889392e-4
    s = s * y - 8.8583145613403268e-5
    s = s * y + 6.7453338933601986e-4
    s = s * y - 1.479846640664972e-4
    s = s * y - 2.3459977506613029e-3
    s = s * y + 1.7592649186868069e-3
    s = s * y + 8.8249606313957306e-3
    s = s * y - 9.8727211535491726e-3
    s = s * y - 4.6895611438998563e-2
    s = s * y + 4.7343308019487558e-2
    s = s * y + 6.7264322399718379e-1
    s = s * y - 6.717940784063889e-1
    return tl.log(t) + s


@triton.jit
def log_tail(t):
    """log Phi(-t)."""
    far = log_scaled_tail(tl.abs(t) * 0.70710678118654752440) - t * t / 2 - 0.69314718055994530942
    return tl.where(t < 0, tl.log(1 - tl.exp(far)), far)


@triton.jit
def hazard(t):
    """phi(t) / Phi(-t)."""
    scaled = log_scaled_tail(tl.abs(t) * 0.70710678118654752440)
    near = tl.exp(-t * t / 2)
    low = 0.39894228040143267794 * near / (1 - 0.5 * near * tl.exp(scaled))
    return tl.where(t < 0, low, 0.79788456080286535588 * tl.exp(-scaled))


@triton.jit
def narrow_mean(x, w):
    """The mean of cosh(x t) e^(-t t / 2) over [0, w]: sum_k He_2k(x) w^2k / (2k + 1)!."""
    s2, q = x * w * (x * w), w * w
    before = x * 0 + 1
    term = (s2 - q) / 6
    mean = 1 + term
    for k in tl.static_range(1, 13):
        following = (s2 - (4 * k + 1) * q) * term * (2 * k + 1) - q * q * (2 * k - 1) * before
        following = following / ((2 * k + 1) * (2 * k + 2) * (2 * k + 3))
        before = term
        term = following
        mean += following
    return mean


@triton.jit
def is_narrow(x, w):
    """Whether the far tail is more than a fifth of the near one, or the cell is none."""
    return (w >= 0) & (w <= 1) & (x * w <= 2)


@triton.jit
def far_share(x, w):
    """Phi(-x - w) / Phi(-x + w), where the cell is not narrow."""
    near = log_tail(x - w)
    gap, most = log_tail(x + w) - near, -2 * x * w
    gap = tl.where(gap > most, most, gap)  # never more, but for rounding
    return tl.where(near == float("-inf"), 0.0, tl.exp(gap))


@triton.jit
def log_normal_cell(d, w):
    """log of the standard normal mass of [d - w, d + w]."""
    x, w = tl.abs(d.to(tl.float64)), w.to(tl.float64)
    narrow = tl.log(2 * w * narrow_mean(x, w)) - x * x / 2 - 0.91893853320467274178
    wide = log_tail(x - w) + tl.log(1 - far_share(x, w))
    return tl.where(is_narrow(x, w), narrow, wide).to(tl.float32)


@triton.jit
def normal_cell_edge(x, w):
    """phi(x - w) by the mass of the cell."""
    narrow = tl.exp(x * w - w * w / 2) / (2 * w * narrow_mean(x, w))
    return tl.where(is_narrow(x, w), narrow, hazard(x - w) / (1 - far_share(x, w)))


@triton.jit
def normal_cell_shift(d, w):
    """The slope of a normal cell's log mass by its place."""
    x, w = tl.abs(d.to(tl.float64)), w.to(tl.float64)
    return (-sign(d) * normal_cell_edge(x, w) * fallen(2 * x * w)).to(tl.float32)


@triton.jit
def normal_cell_growth(d, w):
    """The slope of a normal cell's log mass by half its width."""
    x, w = tl.abs(d.to(tl.float64)), w.to(tl.float64)
    return (normal_cell_edge(x, w) * (1 + tl.exp(-2 * x * w))).to(tl.float32)


@triton.jit
def log_laplace_cell(d, w):
    """log of the mass of [d - w, d + w] under e^-|t| / 2."""
    x, w = tl.abs(d.to(tl.float64)), w.to(tl.float64)
    around = tl.log((fallen(w - x) + fallen(w + x)) / 2)
    return tl.where(x >= w, w - x + tl.log(fallen(2 * w) / 2), around).to(tl.float32)


@triton.jit
def laplace_cell_shift(d, w):
    """The slope of a Laplace cell's log mass by its place."""
    x, w = tl.abs(d.to(tl.float64)), w.to(tl.float64)
    around = tl.exp(x - w) * fallen(2 * x) / (fallen(w - x) + fallen(w + x))
    return (-sign(d) * tl.where(x >= w, 1.0, around)).to(tl.float32)


@triton.jit
def laplace_cell_growth(d, w):
    """The slope of a Laplace cell's log mass by half its width."""
    x, w = tl.abs(d.to(tl.float64)), w.to(tl.float64)
    around = (tl.exp(x - w) + tl.exp(-x - w)) / (fallen(w - x) + fallen(w + x))
    return tl.where(x >= w, (1 + tl.exp(-2 * w)) / fallen(2 * w), around).to(tl.float32)
