"""Semi-supervised VAE, M2 (Kingma et al. 2014). Labelled pairs q, unlabelled images u, one encoder q(z|x,c) and one decoder:

    minimise KL(q(x,c)||p(x,c)) + KL(u(x)||p(x)) - alpha E_q log u(c|x).

Labelled: KL(q(z|x,c)||p(z)) - E_q log p(x|z,c), the constants -H_q(X,C) and log K left out.
Unlabelled: KL(u(c|x)||p(c)) + sum_c u(c|x) [KL(q(z|x,c)||p(z)) - E log p(x|z,c)], the class summed out, -H_u(X) left out.

What depends on c under u has a class axis before its rows: (S, K, B, ...)."""

import math

import torch.nn.functional as F


def loss(inputs, *, alpha, reduction="mean"):
    x, rate = inputs["x", "value", "q"], kl_standard(inputs["q(z|x,c)", "mean", "q"], inputs["q(z|x,c)", "logvar", "q"])
    rate, fit = rate.mean(), log_bernoulli(x, inputs["p(x|z,c)", "logits", "q"]).mean()
    named = log_categorical(inputs["c", "value", "q"], inputs["u(c|x)", "logits", "q"]).mean()

    classes = inputs["u(c|x)", "logits", "u"].log_softmax(-1)  # (B_u, K)
    weights = classes.exp().T
    unsure = ((classes + math.log(classes.shape[-1])) * classes.exp()).sum(-1).mean()
    rate_u = kl_standard(inputs["q(z|x,c)", "mean", "u"], inputs["q(z|x,c)", "logvar", "u"])  # (K, B_u)
    fit_u = log_bernoulli(inputs["x", "value", "u"], inputs["p(x|z,c)", "logits", "u"])  # (S, K, B_u)
    rate_u, fit_u = (weights * rate_u).sum(-2).mean(), (weights * fit_u).sum(-2).mean()
    terms = {
        "KL(q(z|x,c)||p(z))": rate.detach(),
        "E_q[log p(x|z,c)]": fit.detach(),
        "E_q[log u(c|x)]": named.detach(),
        "KL(u(c|x)||p(c))": unsure.detach(),
        "KL(u(z|x,c)||p(z))": rate_u.detach(),
        "E_u[log p(x|z,c)]": fit_u.detach(),
    }
    return whole(rate - fit + unsure + rate_u - fit_u - alpha * named, x.shape[0], reduction), terms


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)
