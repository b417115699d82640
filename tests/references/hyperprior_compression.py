"""Compression with a scale hyperprior (Balle et al. 2018): minimise I_q(X;Y,Z) - lam I_q(Y;X), codes with uniform noise of
width 1, whose density given x is 1:

    -E_q log P(y|z) - E_q log P(z) - lam E_q log p(x|y)   (left out: -lam H_q(X)),

P the entropy models' mass of a cell of width 1 around the noisy code, Phi((v + 1/2 - m) / s) - Phi((v - 1/2 - m) / s).
p(x|y) is a normal of scale 1."""

import math

import torch


def loss(inputs, *, lam, reduction="mean"):
    def bits(variable, factor):
        value = inputs[variable, "sample", "q"]
        return rows(-log_cell(value, inputs[factor, "mean", "q"], inputs[factor, "logvar", "q"]))

    y, z = bits("y", "p(y|z)"), bits("z", "p(z)")
    fit = rows(log_isotropic(inputs["x", "value", "q"], inputs["p(x|y)", "mean", "q"]))
    terms = {
        "KL(q(y|x)||p(y|z))": y.mean().detach(),
        "KL(q(z|x)||p(z))": z.mean().detach(),
        "E_q[log p(x|y)]": fit.mean().detach(),
    }
    return reduce(y + z - lam * fit, reduction), terms


def log_cell(value, mean, logvar):
    """log of a normal's mass within 1/2 of the value, on the side of the mean where it does not cancel."""
    scale, distance = (logvar / 2).exp(), (value - mean).abs()
    near, far = torch.special.log_ndtr((0.5 - distance) / scale), torch.special.log_ndtr((-0.5 - distance) / scale)
    return (near + torch.log1p(-(far - near).exp())).sum(-1)


def rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def reduce(values, reduction):
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"unknown reduction {reduction!r}")


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)
