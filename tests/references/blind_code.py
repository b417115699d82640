"""A code of few bits that does not say whose it is: minimise H_q(Z) + gamma I_q(S;Z) - beta I_q(Z;X|S), S - X - Z.

H_q(Z) = -E_q log p(z) - KL(q(z)||p(z)), exactly for bits: mean_x of the cross-entropy of q(z|x) to p(z).
I_q(S;Z) = I_q(X;Z) - I_q(X;Z|S), with I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)), and
I_q(X;Z|S) = H_q(X|S) + E_q log d(x|z,s) + KL(q(x|z,s)||d(x|z,s)):

    -E_q[log p(z)] + gamma KL(q(z|x)||p(z)) - (beta + gamma) E_q[log d(x|z,s)]   (left out: -(beta + gamma) H_q(X|S))."""

import math

import torch.nn.functional as F


def loss(inputs, *, beta, gamma, reduction="mean"):
    logits, prior = inputs["q(z|x)", "logits", "q"], inputs["p(z)", "logits", "q"]
    share = logits.sigmoid()
    code = rows(log_bernoulli(share, prior))
    rate = rows(log_bernoulli(share, logits)) - code
    fit = rows(log_isotropic(inputs["x", "value", "q"], inputs["d(x|z,s)", "mean", "q"]))
    terms = {
        "E_q[log p(z)]": code.mean().detach(),
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log d(x|z,s)]": fit.mean().detach(),
    }
    return reduce(gamma * rate - code - (beta + gamma) * fit, reduction), terms


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


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
