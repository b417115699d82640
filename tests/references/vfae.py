"""Variational fair autoencoder (Louizos et al. 2016), all rows labelled, q = data(x,s,c) q(z1|x,s) q(z2|z1,c):

    E_q log q(z1|x,s) - E_q log p(z1|z2,c) + KL(q(z2|z1,c)||p(z2)) - E_q log p(x|z1,s)      the evidence bound given s and c
    - alpha E_q log r(c|z1)                                                                  a classifier on the fair code
    + lam MMD^2                                                 between pairs (z1, s) and z1 and s of different rows.

z2 depends on z1, so that log p(z1|z2,c) is sampled; E_q log q(z1|x,s) is minus the entropy of a normal. The MMD is the
unbiased estimate with the Gaussian kernel exp(-|a - b|^2 / (2 n)) on the n coordinates of (z1, s)."""

import math

import torch
import torch.nn.functional as F

FAIR = "KL(q(s,z1)||q(z1)q(s))"


def loss(inputs, *, alpha, lam, reduction="mean"):
    x, z1 = inputs["x", "value", "q"], inputs["z1", "sample", "q"]
    own = -0.5 * (inputs["q(z1|x,s)", "logvar", "q"] + 1 + math.log(2 * math.pi)).sum(-1).mean()
    upper = kl_standard(inputs["q(z2|z1,c)", "mean", "q"], inputs["q(z2|z1,c)", "logvar", "q"]).mean()
    lower = log_normal(z1, inputs["p(z1|z2,c)", "mean", "q"], inputs["p(z1|z2,c)", "logvar", "q"]).mean()
    fit = log_bernoulli(x, inputs["p(x|z1,s)", "logits", "q"]).mean()
    named = log_categorical(inputs["c", "value", "q"], inputs["r(c|z1)", "logits", "q"]).mean()
    together = beside(z1, inputs["s", "value", "q"])
    apart = beside(inputs["z1", "sample_reference", "q"], inputs["s", "sample_reference", "q"])
    distance = mmd(together, apart)
    terms = {
        "E_q[log q(z1|x,s)]": own.detach(),
        "E_q[log p(z1|z2,c)]": lower.detach(),
        "KL(q(z2|z1,c)||p(z2))": upper.detach(),
        "E_q[log p(x|z1,s)]": fit.detach(),
        "E_q[log r(c|z1)]": named.detach(),
        FAIR: distance.detach(),
    }
    return whole(own - lower + upper - fit - alpha * named + lam * distance, x.shape[0], reduction), terms


def beside(a, b):
    """Coordinates of both, one row for each draw."""
    return torch.cat([a, b.expand(*a.shape[:-1], b.shape[-1])], -1).reshape(-1, a.shape[-1] + b.shape[-1])


def kernel(a, b):
    return (-((a.unsqueeze(1) - b.unsqueeze(0)) ** 2).sum(-1) / (2 * a.shape[-1])).exp()


def mmd(a, b):
    return off_diagonal_mean(kernel(a, a)) + off_diagonal_mean(kernel(b, b)) - 2 * kernel(a, b).mean()


def off_diagonal_mean(k):
    n = k.shape[0]
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_normal(value, mean, logvar):
    return -0.5 * ((value - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)
