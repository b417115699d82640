"""Elementary functions of kernels, in single precision, with the limits and the digits that formulas count on."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def square(t):
    """t^2."""
    return t * t


@triton.jit
def positive(t):
    """max(t, 0)."""
    return tl.where(t > 0, t, 0.0)


@triton.jit
def sign(t):
    """-1, 0 or 1."""
    return (t > 0).to(tl.float32) - (t < 0).to(tl.float32)


@triton.jit
def finite(t):
    """Whether t is a number and not infinite."""
    return tl.abs(t) < float("inf")


@triton.jit
def weighted_slope(w, t):
    """t, and 0 where w is 0 and t is not finite."""
    return tl.where((w == 0) & (finite(t) == 0), 0.0, t)


@triton.jit
def weighted(w, t):
    """w t, and 0 where w is 0 and t is not finite."""
    return tl.where((w == 0) & (finite(t) == 0), 0.0, w * t)


@triton.jit
def power_of_two(n):
    """2^n, for whole n from -126 to 127."""
    return ((n.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def whole(t):
    """The whole number next to t, |t| < 2^22: by a sum that has no room for a fraction."""
    return (t + 12582912.0) - 12582912.0


@triton.jit
def expm1_reduced(f):
    """e^f - 1 for |f| <= log(2)/2."""
    y = 1.9875691500e-4
    y = y * f + 1.3981999507e-3
    y = y * f + 8.3334519073e-3
    y = y * f + 4.1665795894e-2
    y = y * f + 1.6666665459e-1
    y = y * f + 5.0000001201e-1
    return y * (f * f) + f


@triton.jit
def clamped(t, least, most):
    """t between two bounds; NaN stays."""
    t = tl.where(t < least, least, t)
    return tl.where(t > most, most, t)


@triton.jit
def first_factor(t):
    """e^t without the power of two of `second_factor`: either is finite where e^t overflows."""
    t = clamped(t, -174.0, 174.0)
    n = whole(t * 1.4426950408889634)
    y = 1 + expm1_reduced((t - n * 0.693359375) + n * 2.12194440e-4)
    half = tl.floor(tl.where(n == n, n, 0.0) * 0.5)
    return y * power_of_two(half)


@triton.jit
def second_factor(t):
    """The power of two that `first_factor` leaves out of e^t."""
    c = clamped(t, -174.0, 174.0)
    n = whole(c * 1.4426950408889634)
    n = tl.where(n == n, n, 0.0)
    power = power_of_two(n - tl.floor(n * 0.5))
    return tl.where(t > 174.0, float("inf"), tl.where(t < -174.0, 0.0, power))


@triton.jit
def exponential(t):
    """e^t, right to its last digits everywhere: the fast one loses digits as |t| grows."""
    c = clamped(t, -104.0, 88.8)
    n = whole(c * 1.4426950408889634)
    y = 1 + expm1_reduced((c - n * 0.693359375) + n * 2.12194440e-4)
    n = tl.where(n == n, n, 0.0)
    half = tl.floor(n * 0.5)
    return tl.where(t > 88.8, float("inf"), y * power_of_two(half) * power_of_two(n - half))


@triton.jit
def expm1(t):
    """e^t - 1."""
    c = clamped(t, -19.4, 88.8)
    n = whole(c * 1.4426950408889634)
    y = expm1_reduced((c - n * 0.693359375) + n * 2.12194440e-4)
    half = power_of_two(tl.where(n == n, n, 0.0) - 1)
    return tl.where(t > 88.8, float("inf"), 2 * (y * half + (half - 0.5)))


@triton.jit
def log1p(t):
    """log(1 + t) for t >= 0."""
    u = 1 + t
    return tl.log(u) + (t - (u - 1)) / u


@triton.jit
def unit_cumulant(t):
    """log of the integral of e^(t v) over v in [0, 1]."""
    a = tl.abs(t)
    z = t * t
    safe = tl.where(a < 1.5, 1.0, a)
    y = -691.0 / 15692092416000
    y = y * z + 1.0 / 479001600
    y = y * z - 1.0 / 9676800
    y = y * z + 1.0 / 181440
    y = y * z - 1.0 / 2880
    y = y * z + 1.0 / 24
    far = positive(t) + tl.log(-expm1(-safe) / safe)
    return tl.where(a < 1.5, y * z + t / 2, far)


@triton.jit
def unit_mean(t):
    """The derivative of the unit cumulant."""
    a = tl.abs(t)
    z = t * t
    safe = tl.where(a < 1.5, 1.0, a)
    y = -691.0 / 1307674368000
    y = y * z + 1.0 / 47900160
    y = y * z - 1.0 / 1209600
    y = y * z + 1.0 / 30240
    y = y * z - 1.0 / 720
    y = y * z + 1.0 / 12
    low = 1 / safe - 1 / expm1(safe)
    return tl.where(a < 1.5, y * t + 0.5, tl.where(t > 0, 1 - low, low))


@triton.jit
def unit_variance(t):
    """The second derivative of the unit cumulant."""
    a = tl.abs(t)
    z = t * t
    safe = tl.where(a < 1.5, 1.0, a)
    y = -691.0 * 11 / 1307674368000
    y = y * z + 9.0 / 47900160
    y = y * z - 7.0 / 1209600
    y = y * z + 5.0 / 30240
    y = y * z - 3.0 / 720
    y = y * z + 1.0 / 12
    far = 1 / (safe * safe) + 1 / (expm1(safe) * expm1(-safe))
    return tl.where(a < 1.5, y, far)


@triton.jit
def defined(t):
    """t, NaN below 0."""
    return tl.where(t < 0, float("nan"), t)


@triton.jit
def barrier(t):
    """0 for t <= 0, infinity above."""
    return tl.where(t > 0, float("inf"), tl.where(t <= 0, 0.0, t))


@triton.jit
def opened(t, x):
    """x where t < 0, infinity elsewhere."""
    return tl.where(t < 0, x, tl.where(t >= 0, float("inf"), t))


@triton.jit
def opened_slope(t):
    """1 where t < 0, else 0."""
    return (t < 0).to(tl.float32)


@triton.jit
def is_zero(t):
    """1 at 0, else 0."""
    return tl.where(t == 0, 1.0, tl.where((t < 0) | (t > 0), 0.0, t))


@triton.jit
def written(place, values, keep, ADDS: tl.constexpr):
    """Stores values, or adds them to what other loops have stored there."""
    if ADDS:
        values += tl.load(place, keep, 0.0).to(tl.float32)
    tl.store(place, values.to(place.dtype.element_ty), keep)


@triton.jit
def total(parts, n, BLOCK: tl.constexpr):
    """The sum of n parts, in double precision."""
    at = tl.arange(0, BLOCK)
    found = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, n, BLOCK):
        found += tl.load(parts + start + at, start + at < n, 0.0).to(tl.float64)
    return tl.sum(found, 0)


@triton.jit
def log_weight(i, j, columns, own, following, others):
    """log w_ij, by which column j counts in row i's mixture: its own, the one that follows, any other."""
    return tl.where(i == j, own, tl.where(j == (i + 1) % columns, following, others))


@triton.jit
def over_draws(values, shares, sums, rows, draws, log_draws, BLOCK: tl.constexpr):
    """log 1/S sum_s e^w_s of every row, and each draw's share of the sum, e^w / sum_s e^w."""
    b = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = b < rows
    top = tl.full((BLOCK,), float("-inf"), tl.float64)
    for s in range(draws):
        w = tl.load(values + s * rows + b, row, 0.0)
        top = tl.where(w > top, w, top)
    top = tl.where(finite(top), top, 0.0)
    norm = tl.zeros((BLOCK,), tl.float64)
    for s in range(draws):
        norm += tl.exp(tl.load(values + s * rows + b, row, 0.0) - top)
    for s in range(draws):
        tl.store(shares + s * rows + b, tl.exp(tl.load(values + s * rows + b, row, 0.0) - top) / norm, row)
    found = top + tl.log(norm) - log_draws
    tl.store(sums + tl.program_id(0), tl.sum(tl.where(row, found, 0.0), 0))


@triton.jit
def class_shares(logits, shares, count, rows, classes, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """The softmax of every row of logits, classes before rows; 0 where single precision has no number so small."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, WIDTH)
    own = (i < count)[:, None] & (k < classes)[None, :]
    a = tl.load(logits + i[:, None] * classes + k[None, :], own, float("-inf")).to(tl.float64)
    e = tl.exp(a - tl.max(a, 1)[:, None])
    p = e / tl.sum(e, 1)[:, None]
    p = tl.where(p.to(tl.float32) == 0, 0.0, p)
    tl.store(shares + (i // rows * classes * rows + i % rows)[:, None] + (k * rows)[None, :], p, own)


@triton.jit
def over_classes(
    shares, values, d, sums, up, count, rows, classes, draws, scale, WANTS: tl.constexpr, ADDS: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """sum_k p_k w_k of every row, over all draws that share its logits; and its slope by these, p_k (w_k - sum_j p_j w_j)."""
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, WIDTH)
    own = (i < count)[:, None] & (k < classes)[None, :]
    cell = (i // rows * classes * rows + i % rows)[:, None] + (k * rows)[None, :]
    p = tl.load(shares + cell, own, 0.0)
    found = tl.zeros((ROWS,), tl.float64)
    slope = tl.zeros((ROWS, WIDTH), tl.float64)
    for _ in range(draws):
        w = tl.where(p == 0, 0.0, tl.load(values + cell, own, 0.0))  # a class of probability 0 does not count
        mean = tl.sum(p * w, 1)
        found += mean
        slope += tl.where(p == 0, 0.0, p * (w - mean[:, None]))
        cell += rows * classes
    tl.store(sums + tl.program_id(0), tl.sum(tl.where(i < count, found, 0.0), 0))
    if WANTS:
        place = d + i[:, None] * classes + k[None, :]
        written(place, slope * (scale * tl.load(up).to(tl.float32)), own, ADDS)
