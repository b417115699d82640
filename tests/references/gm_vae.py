"""Gaussian mixture VAE (Dilokthanakul et al. 2016): the negative evidence bound of p(w) p(y) p(z|w,y) p(x|z) with the
encoder q(z|x) q(w|x) q(y|z,w), y one of K components, summed out:

    E_q log q(z|x) + KL(q(w|x)||p(w)) + E KL(q(y|z,w)||p(y)) - E sum_y q(y|z,w) log p(z|w,y) - E_q log p(x|z).

log p(z|w,y) is taken at the draw of z, on which q(y|z,w) depends; E_q log q(z|x) is minus the entropy of a normal.

p(z|w,y)'s mean and logvar have a class axis before their rows: (S, K, B, L)."""

import math

import torch.nn.functional as F


def loss(inputs, *, reduction="mean"):
    own = rows(-0.5 * (inputs["q(z|x)", "logvar", "q"] + 1 + math.log(2 * math.pi)).sum(-1))
    noise = rows(kl_standard(inputs["q(w|x)", "mean", "q"], inputs["q(w|x)", "logvar", "q"]))
    parts = inputs["q(y|z,w)", "logits", "q"].log_softmax(-1)  # (S, B, K)
    unsure = rows(((parts + math.log(parts.shape[-1])) * parts.exp()).sum(-1))
    z = inputs["z", "sample", "q"].unsqueeze(-3)
    prior = log_normal(z, inputs["p(z|w,y)", "mean", "q"], inputs["p(z|w,y)", "logvar", "q"])  # (S, K, B)
    prior = rows((parts.exp().transpose(-1, -2) * prior).sum(-2))
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {
        "E_q[log q(z|x)]": own.mean().detach(),
        "KL(q(w|x)||p(w))": noise.mean().detach(),
        "KL(q(y|z,w)||p(y))": unsure.mean().detach(),
        "E_q[log p(z|w,y)]": prior.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return reduce(own + noise + unsure - prior - fit, reduction), terms


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


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_normal(value, mean, logvar):
    return -0.5 * ((value - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
