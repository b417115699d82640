"""VAE with a mixture prior (Tomczak & Welling 2018): beta KL(q(z|x)||p(z)) - E_q[log p(x|z)], p(z) a mixture of normals.

The relative entropy has no closed form: E_q[log q(z|x) - log p(z)] at draws of q(z|x)."""

import math

import torch.nn.functional as F


def loss(inputs, *, beta, reduction="mean"):
    z = inputs["z", "sample", "q"]
    components = log_normal(z.unsqueeze(-2), inputs["p(z)", "mean", "q"], inputs["p(z)", "logvar", "q"])
    log_p = (components + inputs["p(z)", "logits", "q"].log_softmax(-1)).logsumexp(-1)
    rate = rows(log_normal(z, inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]) - log_p)
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {"KL(q(z|x)||p(z))": rate.mean().detach(), "E_q[log p(x|z)]": fit.mean().detach()}
    return reduce(beta * rate - fit, reduction), terms


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


def log_normal(value, mean, logvar):
    return -0.5 * ((value - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
