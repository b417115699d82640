"""Special functions that torch lacks: of a unit interval's exponential densities, and Bessel's.

Emission copies what a module uses, comments and all: these functions stand here once, typed and linted.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _weighted(weight: Tensor, values: Tensor) -> Tensor:
    """weight * values, and 0 where the weight is 0 and the value not finite: 0 log 0 = 0, a masked class does not count."""
    return weight * torch.where((weight != 0) | (values.abs() < math.inf), values, 0)


def _expected(share: Tensor, values: Tensor) -> Tensor:
    """share * values for a probability, and 0 where it is 0: a class of probability 0 does not count, nor does its slope."""
    return share * torch.where(share > 0, values, 0)


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
    """log [Phi(d + w) - Phi(d - w)], in float64: Taylor's series where the cell is narrow, else from the middle or its near edge."""
    x, h = torch.broadcast_tensors(d.abs().double(), torch.as_tensor(w, dtype=torch.float64, device=d.device))
    narrow = (h >= 0) & (h * x.clamp(min=1) <= 1 / 32)
    centre, half = torch.where(narrow, x, 0), torch.where(narrow, h, 1)
    u, v = centre**2, half**2
    mean = 1 + v * ((u - 1) / 6 + v * ((u * (u - 6) + 3) / 120 + v * (u * (u * (u - 15) + 45) - 15) / 5040))
    inside = torch.log(half * mean) - u / 2 - math.log(math.pi / 2) / 2
    x, h = torch.where(narrow, 0, x), torch.where(narrow, 1, h)
    near, far, root = (x - h).clamp(min=0), x + h, math.sqrt(0.5)
    edges = torch.special.erfcx(root * near) - torch.exp(-2 * x * h) * torch.special.erfcx(root * far)
    middle = torch.log1p(-(torch.erfc(root * (h - x).clamp(min=0)) + torch.erfc(root * far)) / 2)
    wide = torch.where(x >= h, torch.log(edges / 2) - near**2 / 2, middle)
    return torch.where(narrow, inside, wide).to(d.dtype)


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
    """log I_v(t) - v log t, v = dimensions / 2 - 1: finite at 0, NaN below, computed in float64."""
    return _bessel(dimensions / 2 - 1, torch.where(t >= 0, t, math.nan).double())[0].to(t.dtype)


def _bessel_ratio(dimensions: int, t: Tensor) -> Tensor:
    """I_{v+1}(t) / I_v(t), v = dimensions / 2 - 1: between 0 and 1, NaN below 0, computed in float64."""
    exact = torch.where(t >= 0, t, math.nan).double()
    return (exact * _bessel(dimensions / 2 - 1, exact)[1]).to(t.dtype)


def _bessel(order: float, t: Tensor) -> tuple[Tensor, Tensor]:
    """log I_v(t) - v log t and I_{v+1}(t) / (t I_v(t)).

    Debye's expansion at an order of 50 and more, then down by I_{w-1} = 2w/t I_w + I_{w+1}, whose terms are positive: each over I_top and
    over as many factors of the scale, so that none is too large.
    """
    above = max(0, math.ceil(50 - order))
    top = order + above
    scale, start = top + torch.sqrt(top**2 + t**2), _log_bessel_debye(top, t)
    here, before = torch.ones_like(t), torch.exp(_log_bessel_debye(top + 1, t) - start) * scale
    first, second = 1 / scale, (t / scale) ** 2
    for w in range(above):
        here, before = torch.add(second * before, first * here, alpha=2 * (top - w)), here
    return start + torch.log(here) + above * torch.log(scale), before / (here * scale)


def _log_bessel_debye(order: float, t: Tensor) -> Tensor:
    """log I_w(t) - w log t by Debye's uniform expansion, for large orders w (DLMF 10.41)."""
    root = torch.sqrt(order**2 + t**2)
    p = order / root
    q, s = p**2, p / order
    first = s * (3 - 5 * q) / 24
    second = s**2 * (81 + q * (-462 + 385 * q)) / 1152
    third = s**3 * (30375 + q * (-369603 + q * (765765 - 425425 * q))) / 414720
    fourth = s**4 * (4465125 + q * (-94121676 + q * (349922430 + q * (-446185740 + 185910725 * q)))) / 39813120
    return (
        root
        - order * torch.log(order + root)
        - 0.5 * torch.log(2 * math.pi * root)
        + torch.log1p(first + second + third + fourth)
    )
