"""Importance-weighted autoencoder (Burda et al. 2016): maximise E log 1/S sum_s p(x, z_s) / q(z_s|x), z_s ~ q(z|x).

The loss is minus that. Without a Monte-Carlo axis there is one draw."""

import math

import torch
import torch.nn.functional as F


def loss(inputs, *, reduction="mean"):
    z, x = inputs["z", "sample", "q"], inputs["x", "value", "q"]
    weights = log_normal(z, torch.zeros_like(z), torch.zeros_like(z))
    weights = weights + log_bernoulli(x, inputs["p(x|z)", "logits", "q"])
    weights = weights - log_normal(z, inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"])
    if weights.dim() == 1:
        weights = weights.unsqueeze(0)
    value = weights.logsumexp(0) - math.log(weights.shape[0])
    return reduce(-value, reduction), {"E_q[log p(x)]": value.mean().detach()}


def reduce(values, reduction):
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"unknown reduction {reduction!r}")


def log_normal(value, mean, logvar):
    return -0.5 * ((value - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
