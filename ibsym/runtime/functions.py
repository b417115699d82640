"""Special functions that torch lacks: of a unit interval's exponential densities, and Bessel's.

Emission copies what a module uses, comments and all: these functions stand here once, typed and linted.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def _weighted(weight: Tensor, values: Tensor) -> Tensor:
    """weight * values, and 0 where the weight is 0 and the value not finite: 0 log 0 = 0, a masked class does not count."""
    return weight * torch.where((weight.detach() != 0) | (values.detach().abs() < math.inf), values, 0)


def _expected(share: Tensor, values: Tensor) -> Tensor:
    """share * values for a probability, and 0 where it is 0: a class of probability 0 does not count, nor does its slope."""
    return share * torch.where(share > 0, values, 0)


def _xlogx(share: Tensor, log_share: Tensor) -> Tensor:
    """share * log share for a probability, and 0 where it is 0."""
    return share * F.threshold(log_share, -math.inf, 0.0)


def _excess(t: Tensor) -> Tensor:
    """e^t - 1 - t, never negative."""
    return torch.expm1(t) - t


def _log_gamma(t: Tensor) -> Tensor:
    """log Gamma(t), NaN below 0."""
    return torch.lgamma(torch.where(t >= 0, t, math.nan))


def _digamma(t: Tensor) -> Tensor:
    """The derivative of log Gamma(t), NaN below 0."""
    return torch.digamma(torch.where(t >= 0, t, math.nan))


def _defined(t: Tensor) -> Tensor:
    """t for t >= 0, NaN below."""
    return torch.where(t >= 0, t, math.nan)


def _barrier(t: Tensor) -> Tensor:
    """0 for t <= 0, infinity above, NaN at NaN."""
    return torch.where(t > 0, math.inf, torch.where(t <= 0, torch.zeros_like(t), t))


def _capped(t: Tensor) -> Tensor:
    """t, a number above 80 as 80: its exponential is finite, and large beyond use."""
    return torch.where((t > 80) & (t < math.inf), 80.0, t)


def _opened(t: Tensor, x: Tensor) -> Tensor:
    """x where t < 0, infinity elsewhere, NaN at NaN."""
    return torch.where(t < 0, x, torch.where(t >= 0, torch.full_like(t, math.inf), t))


def _is_zero(t: Tensor) -> Tensor:
    """1 at 0, else 0, NaN at NaN."""
    return torch.where(t.isnan(), t, (t == 0).to(t.dtype))


def _log_normal_cell(d: Tensor, w: Tensor | float) -> Tensor:
    """log [Phi(d + w) - Phi(d - w)], in float64: from the tails beyond both ends, or, where the cell is narrow, by its middle's density."""
    x, h = d.abs().double() * math.sqrt(0.5), torch.as_tensor(w, dtype=torch.float64, device=d.device) * math.sqrt(0.5)
    product, near = x * h, (x - h).clamp(min=-6)  # erfc(-6) is 2
    tails = torch.special.erfcx(near) - torch.exp(-4 * product) * torch.special.erfcx(x + h)
    wide = torch.log(tails.clamp(min=1e-200)) - near.square()
    curved = 1 - 2 / 3 * h.square()
    narrow = torch.addcmul(torch.log(h) + curved / 2, x.square(), curved, value=-1) + math.log(16 / math.pi) / 2 - 0.5
    return (torch.where(product + h <= 1e-3, narrow, wide) - math.log(2)).to(d.dtype)


def _log_laplace_cell(d: Tensor, w: Tensor | float) -> Tensor:
    """log [F(d + w) - F(d - w)], F the distribution function of e^-|t| / 2."""
    x, h = torch.broadcast_tensors(d.abs(), torch.as_tensor(w, dtype=d.dtype, device=d.device))
    beside = x >= h
    outside = h - torch.where(beside, x, h) + torch.log(-torch.expm1(-2 * h) / 2)
    inner, half = torch.where(beside, 0, x), torch.where(beside, 1, h)
    return torch.where(beside, outside, torch.log(-(torch.expm1(inner - half) + torch.expm1(-inner - half)) / 2))


def _unit_cumulant(t: Tensor) -> Tensor:
    """A(t) = log of the integral of e^(t v) over [0, 1] = log (e^t - 1)/t; its Taylor series near 0."""
    near = t.abs() < 0.5
    u = torch.where(near, t, torch.zeros_like(t)) ** 2
    series = u * (
        1 / 24 + u * (-1 / 2880 + u * (1 / 181440 + u * (-1 / 9676800 + u * (1 / 479001600 - u * 691 / 15692092416000))))
    )
    size = torch.where(near, torch.ones_like(t), t.abs())
    return torch.where(near, t / 2 + series, t.clamp(min=0) + torch.log(-torch.expm1(-size) / size))


def _unit_mean(t: Tensor) -> Tensor:
    """A'(t) = 1/(1 - e^-t) - 1/t, the mean of v in [0, 1] under a density that goes as e^(t v); its Taylor series near 0."""
    near = t.abs() < 0.5
    small = torch.where(near, t, torch.zeros_like(t))
    u = small**2
    series = small * (
        1 / 12 + u * (-1 / 720 + u * (1 / 30240 + u * (-1 / 1209600 + u * (1 / 47900160 - u * 691 / 1307674368000))))
    )
    size = torch.where(near, torch.ones_like(t), t.abs())
    low = 1 / size - torch.exp(-size) / -torch.expm1(-size)
    return torch.where(near, 0.5 + series, torch.where(t > 0, 1 - low, low))


def _log_bessel(dimensions: int, t: Tensor) -> Tensor:
    """log I_v(t) - v log t, v = dimensions / 2 - 1: finite at 0, NaN below."""
    return _bessel(dimensions, t)[0]


def _bessel_ratio(dimensions: int, t: Tensor) -> Tensor:
    """I_{v+1}(t) / I_v(t), v = dimensions / 2 - 1: between 0 and 1, NaN below 0."""
    return _bessel(dimensions, t)[1]


def _bessel(dimensions: int, t: Tensor) -> tuple[Tensor, Tensor]:
    """log I_v(t) - v log t and I_{v+1}(t) / I_v(t), v = dimensions / 2 - 1, computed in float64; NaN below 0.

    I_{v+1}(t) t^-(v+1) is an integral of e^(t c) (1 - c^2)^(a-1) over -1 < c < 1, up to a constant. With c = tanh(y/2) and
    y the mode, asinh(t/a), plus 2 sinh(u)/sqrt(a), sums over a grid of u have 15 digits. Then I_v = (n/t) I_{v+1} + I_{v+2},
    n the dimensions.
    """
    exact, a = torch.where(t >= 0, t, math.nan).double(), (dimensions + 1) / 2
    u = torch.linspace(-3.7, 3.7, 96, dtype=torch.float64, device=t.device)
    y = torch.asinh(exact.detach() / a).unsqueeze(-1) + 2 / math.sqrt(a) * torch.sinh(u)
    far = torch.sigmoid(-y)  # (1 - c) / 2
    exponents = a * (2 * F.logsigmoid(y) - y) + torch.log(torch.cosh(u)) - 2 * far * exact.unsqueeze(-1)
    below = dimensions + exact * (1 - 2 * (exponents.softmax(-1) * far).sum(-1))
    constant = math.log(7.4 / 95 * 2 / math.sqrt(a * math.pi)) + dimensions / 2 * math.log(2) - math.lgamma(a)
    return (exact + exponents.logsumexp(-1) + torch.log(below) + constant).to(t.dtype), (exact / below).to(t.dtype)
