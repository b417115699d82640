"""Mutual information machine (Livne et al. 2019), asymmetric: with q(x,z) = data(x) q(z|x) and p(x,z) = p(z) p(x|z),

    minimise 1/2 CE(q(x,z)||q(x,z)) + 1/2 CE(q(x,z)||p(x,z))
           = -1/2 E_q[log q(z|x) + log p(x|z) + log p(z)] + H_q(X)/2, the constant left out.

As it stands in the terms: H_q(X,Z) = H_q(X) - E_q log q(z|x), and 1/2 KL(q(x,z)||p(x,z)) =
1/2 KL(q(z|x)||p(z)) - 1/2 E_q log p(x|z) - H_q(X)/2. E_q log q(z|x) is minus the entropy of a normal."""

import math

import torch.nn.functional as F


def loss(inputs, *, reduction="mean"):
    mean, logvar = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]
    own = rows(-0.5 * (logvar + 1 + math.log(2 * math.pi)).sum(-1))
    rate = rows(kl_standard(mean, logvar))
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {
        "E_q[log q(z|x)]": own.mean().detach(),
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return reduce(-own + rate / 2 - fit / 2, reduction), terms


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


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
