"""Distributions that torch.distributions lacks, with what is asked of them here: draws, a centre, log-densities."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch import distributions as td
from torch.distributions import constraints

Shape = Size | list[int] | tuple[int, ...]


def noise(shape: Size, like: Tensor) -> Tensor:
    """Uniform numbers within (0, 1)."""
    return torch.rand(shape, dtype=like.dtype, device=like.device).clamp(1e-7, 1 - 1e-7)


def gaussian_noise(shape: Size, like: Tensor) -> Tensor:
    """Normal numbers of a tensor's type."""
    return torch.randn(shape, dtype=like.dtype, device=like.device)


class Logistic(td.Distribution):
    """m + b logit(u), u uniform."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, mean: Tensor, scale: Tensor, validate_args: bool | None = None):
        self.centre, self.scale = torch.broadcast_tensors(mean, scale)
        super().__init__(self.centre.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The centre."""
        return self.centre

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        """Draws through which gradients flow."""
        return self.centre + self.scale * torch.logit(noise(self._extended_shape(Size(sample_shape)), self.centre))

    def log_prob(self, value: Tensor) -> Tensor:
        """log s(y) + log s(-y) - log b."""
        y = (value - self.centre) / self.scale
        return F.logsigmoid(y) + F.logsigmoid(-y) - self.scale.log()


class DiscretisedLogistic(Logistic):
    """A logistic draw in the nearest of the grid's cells; without a number of bins, the grid of counts."""

    has_rsample = False

    def __init__(self, mean: Tensor, scale: Tensor, bins: Tensor | None = None, validate_args: bool | None = None):
        super().__init__(mean, scale, validate_args=validate_args)
        self.step = 1 / (bins.max() - 1) if bins is not None else torch.ones(())
        self.last = 1.0 if bins is not None else None

    @property
    def mean(self) -> Tensor:
        """The centre's cell."""
        return self.cell(self.centre)

    def cell(self, value: Tensor) -> Tensor:
        """The nearest value of the grid."""
        return ((value / self.step).round() * self.step).clamp(0, self.last)

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        """Draws; no gradient passes."""
        return self.cell(super().rsample(sample_shape)).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """log of the mass of the value's cell, open at the ends."""
        high, low = (value + self.step / 2 - self.centre) / self.scale, (value - self.step / 2 - self.centre) / self.scale
        within = F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(-self.step / self.scale))
        found = torch.where(value <= self.step / 2, F.logsigmoid(high), within)
        return found if self.last is None else torch.where(value >= self.last - self.step / 2, F.logsigmoid(-low), found)


class ZeroInflatedNegativeBinomial(td.NegativeBinomial):
    """0 with probability s(g), else a negative binomial count."""

    def __init__(self, total_count: Tensor, logits: Tensor, gate_logits: Tensor, validate_args: bool | None = None):
        self.gate_logits = gate_logits
        super().__init__(total_count, logits=logits, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """s(-g) times that of the count."""
        return torch.sigmoid(-self.gate_logits) * super().mean

    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        """Draws; no gradient passes."""
        count = super().sample(sample_shape)
        return count * (torch.rand_like(count) > torch.sigmoid(self.gate_logits))

    def log_prob(self, value: Tensor) -> Tensor:
        """log(s(g) + s(-g) r(0)) at 0, log s(-g) + log r(v) elsewhere."""
        counted = F.logsigmoid(-self.gate_logits) + super().log_prob(value)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(self.gate_logits).expand_as(counted), counted), counted)


class PowerSpherical(td.Distribution):
    """t m + (1 - t^2)^(1/2) u: t = 2 Beta(a, b) - 1 along the mean, u uniform across it (De Cao & Aziz 2020)."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, mean: Tensor, concentration: Tensor, validate_args: bool | None = None):
        self.direction, self.concentration = mean, concentration
        self.half = (mean.shape[-1] - 1) / 2
        super().__init__(concentration.shape, mean.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The direction, where it is densest."""
        return self.direction

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        """Draws through which gradients flow."""
        shape = self._extended_shape(Size(sample_shape))
        mean = self.direction.expand(shape)
        beta = td.Beta(self.half + self.concentration, torch.full_like(self.concentration, self.half), validate_args=False)
        along = (2 * beta.rsample(Size(sample_shape)) - 1).unsqueeze(-1)
        across = torch.randn_like(mean)
        across = F.normalize(across - (across * mean).sum(-1, keepdim=True) * mean, dim=-1)
        return along * mean + (1 - along**2).clamp_min(1e-12).sqrt() * across

    def log_prob(self, value: Tensor) -> Tensor:
        """k log(1 + <m, v>) + log C(k)."""
        a, both = self.half + self.concentration, 2 * self.half + self.concentration
        constant = torch.lgamma(both) - torch.lgamma(a) - both * math.log(2) - self.half * math.log(math.pi)
        return self.concentration * torch.log1p((self.direction * value).sum(-1)) + constant


class UniformSphere(td.Distribution):
    """Uniform on the unit sphere of R^n, as many of them as ``like`` has vectors: no direction is its centre."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, like: Tensor, validate_args: bool | None = None):
        self.like = like
        super().__init__(like.shape[:-1], like.shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        """Draws."""
        return F.normalize(gaussian_noise(self._extended_shape(Size(sample_shape)), self.like), dim=-1)


class VonMisesFisher(td.Distribution):
    """von Mises-Fisher on the unit sphere of R^n (Wood 1994; Figurnov et al. 2018)."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, mean: Tensor, concentration: Tensor, validate_args: bool | None = None):
        self.direction, self.concentration = mean, concentration
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The direction, where it is densest."""
        return self.direction

    def rsample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        """Draws through which gradients flow to the parameters."""
        shape = self._extended_shape(Size(sample_shape))
        noise, mean = gaussian_noise(shape, self.direction), self.direction.expand(shape)
        tangent = F.normalize(noise - (noise * mean).sum(-1, keepdim=True) * mean, dim=-1)
        along = self._cosine(shape[:-1]).unsqueeze(-1)
        return along * mean + (1 - along**2).clamp_min(1e-12).sqrt() * tangent

    def _cosine(self, shape: tuple[int, ...]) -> Tensor:
        """<z, mean>, by Wood's rejection, with the gradient of its distribution function: dw/dk = -(dF/dk) / f."""
        kappa, n = self.concentration.expand(shape), self.direction.shape[-1]
        with torch.no_grad():
            w = self._accepted(kappa, n)
            slope = cosine_slope(w, kappa, n).to(w.dtype) if self.concentration.requires_grad else torch.zeros_like(w)
        return w + slope * (kappa - kappa.detach())

    @staticmethod
    def _accepted(kappa: Tensor, n: int) -> Tensor:
        b = (n - 1) / (2 * kappa + (4 * kappa**2 + (n - 1) ** 2).sqrt())
        x0 = (1 - b) / (1 + b)
        c = kappa * x0 + (n - 1) * torch.log1p(-(x0**2))
        half = kappa.new_tensor((n - 1) / 2)
        beta, found, open_places = (
            td.Beta(half, half, validate_args=False),
            x0.clone(),
            torch.ones_like(kappa, dtype=torch.bool),
        )
        for _ in range(100):
            if not open_places.any():
                break
            tried = beta.sample(kappa.shape)
            w = (1 - (1 + b) * tried) / (1 - (1 - b) * tried)
            level = kappa * w + (n - 1) * torch.log1p(-x0 * w) - c
            accepted = open_places & (level >= torch.rand_like(kappa).log())
            found, open_places = torch.where(accepted, w, found), open_places & ~accepted
        return found.clamp(-1 + 1e-7, 1 - 1e-7)


def cosine_slope(w: Tensor, kappa: Tensor, n: int) -> Tensor:
    """-(dF/dk) / f at w, for the density f(w) ~ exp(k w) (1 - w^2)^((n-3)/2) on [-1, 1], by quadrature over the angle."""
    nodes, weights = (torch.from_numpy(x).to(w.device) for x in np.polynomial.legendre.leggauss(96))
    w, kappa = w.double().unsqueeze(-1), kappa.double().unsqueeze(-1)

    def integral(start: Tensor, shift: Tensor | float) -> Tensor:
        angle = start + (math.pi - start) * (nodes + 1) / 2
        density = (kappa * (angle.cos() - 1)).exp() * angle.sin() ** (n - 2)
        return ((angle.cos() - shift) * density * weights).sum(-1, keepdim=True) * (math.pi - start) / 2

    zero = torch.zeros_like(w)
    mass = integral(zero, -1.0) - integral(zero, 0.0)
    mean = integral(zero, 0.0) / mass
    here = (kappa * (w - 1)).exp() * (1 - w**2) ** ((n - 3) / 2)
    # From w's angle to pi the cosine runs from w down to -1: the integral is that of the distribution function.
    return (-integral(w.acos(), mean) / here).squeeze(-1)


class RelaxedOneHotCategorical(td.RelaxedOneHotCategorical):
    """The same, with a centre."""

    @property
    def mean(self) -> Tensor:
        """softmax(a), where there is no noise."""
        return self.logits.softmax(-1)
