"""Variational deep embedding (Jiang et al. 2017): the negative evidence bound of p(c) p(z|c) p(x|z) with the encoder
q(z|x) q(c|x), the cluster c summed out:

    KL(q(c|x)||p(c)) + sum_c q(c|x) KL(q(z|x)||p(z|c)) - E_q log p(x|z).

Given x, z and c are independent under q, so that every inner relative entropy of normals is closed. p(z|c)'s mean and
logvar have a class axis before their rows, where they have any: (K, L) or (K, B, L)."""

import torch.nn.functional as F


def loss(inputs, *, reduction="mean"):
    mean, logvar = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]
    clusters, prior = inputs["q(c|x)", "logits", "q"].log_softmax(-1), inputs["p(c)", "logits", "q"].log_softmax(-1)
    unsure = rows((clusters.exp() * (clusters - prior)).sum(-1))
    centre, width = inputs["p(z|c)", "mean", "q"], inputs["p(z|c)", "logvar", "q"]
    if centre.dim() == 2:
        centre, width = centre.unsqueeze(1), width.unsqueeze(1)
    rate = rows((clusters.exp().T * kl_normals(mean, logvar, centre, width)).sum(-2))
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {
        "KL(q(c|x)||p(c))": unsure.mean().detach(),
        "KL(q(z|x)||p(z|c))": rate.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return reduce(unsure + rate - fit, reduction), terms


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


def kl_normals(mean, logvar, mean_r, logvar_r):
    quadratic = (logvar.exp() + (mean - mean_r) ** 2) / logvar_r.exp()
    return 0.5 * (quadratic - 1 + logvar_r - logvar).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
