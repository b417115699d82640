"""log Gamma and its derivatives in kernels: eight steps up the recurrence where t is small, then Stirling's series, in double precision."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def raised(t):
    """t, or eight steps above where it is small."""
    return tl.where(t < 8, t + 8, t)


@triton.jit
def log_gamma(x):
    """log Gamma(x) for x >= 0, NaN below."""
    t = x.to(tl.float64)
    y = raised(t)
    z = 1 / (y * y)
    s = z * (1.0 / 156) - 691.0 / 360360
    s = s * z + 1.0 / 1188
    s = s * z - 1.0 / 1680
    s = s * z + 1.0 / 1260
    s = s * z - 1.0 / 360
    s = s * z + 1.0 / 12
    steps = t * (t + 1) * (t + 2) * (t + 3) * (t + 4) * (t + 5) * (t + 6) * (t + 7)
    found = (y - 0.5) * (tl.log(y) - 1) + 0.41893853320467274178 + s / y
    found -= tl.log(tl.where(t < 8, steps, 1.0))
    found = tl.where(t < float("inf"), found, t)
    return tl.where(t < 0, float("nan"), found).to(tl.float32)


@triton.jit
def digamma(x):
    """The derivative of log Gamma."""
    t = x.to(tl.float64)
    y = raised(t)
    z = 1 / (y * y)
    s = z * (3617.0 / 8160) - 1.0 / 12
    s = s * z + 691.0 / 32760
    s = s * z - 1.0 / 132
    s = s * z + 1.0 / 240
    s = s * z - 1.0 / 252
    s = s * z + 1.0 / 120
    s = s * z - 1.0 / 12
    u = t * (t + 8)  # steps k and 8 - k together: (t + k)(t + 8 - k) = u + k (8 - k)
    steps = (2 * u + 19) / ((u + 7) * (u + 12)) + (1.5 * u + 23.5) / ((u + 15) * (u + 16))
    found = tl.log(y) - 0.5 / y + s * z - tl.where(t < 8, (2 * t + 8) * steps + 1 / t, 0.0)
    return tl.where(t < 0, float("nan"), found).to(tl.float32)


@triton.jit
def trigamma(x):
    """The derivative of digamma."""
    t = x.to(tl.float64)
    y = raised(t)
    z = 1 / (y * y)
    s = z * (-3617.0 / 510) + 7.0 / 6
    s = s * z - 691.0 / 2730
    s = s * z + 5.0 / 66
    s = s * z - 1.0 / 30
    s = s * z + 1.0 / 42
    s = s * z - 1.0 / 30
    s = s * z + 1.0 / 6
    u = t * (t + 8)
    steps = 1 / (t * t) + 1 / (u + 16)
    steps += (2 * u + 50) / ((u + 7) * (u + 7)) + (2 * u + 40) / ((u + 12) * (u + 12)) + (2 * u + 34) / ((u + 15) * (u + 15))
    found = 1 / y + 0.5 * z + s * z / y + tl.where(t < 8, steps, 0.0)
    return tl.where(t < 0, float("nan"), found).to(tl.float32)
