"""Multimodal VAE (Wu & Goodman 2018): the evidence bounds of both modalities together and of each alone,

    ELBO(X) = sum_i lam_i E log p(x_i|z) - beta KL(encoder||p(z)),

minimised as minus their sum. The joint encoder q(z|x1,x2), in the paper the product of the experts a(z|x1), b(z|x2) and
the prior, is a normal. The second decoder is a normal of scale 1."""

import math

import torch.nn.functional as F


def loss(inputs, *, beta, lam1, lam2, reduction="mean"):
    def rate(factor, joint):
        return rows(kl_standard(inputs[factor, "mean", joint], inputs[factor, "logvar", joint]))

    def fit1(joint):
        return rows(log_bernoulli(inputs["x1", "value", joint], inputs["p(x1|z)", "logits", joint]))

    def fit2(joint):
        return rows(log_isotropic(inputs["x2", "value", joint], inputs["p(x2|z)", "mean", joint]))

    rates = {
        "KL(q(z|x1,x2)||p(z))": rate("q(z|x1,x2)", "q"),
        "KL(a(z|x1)||p(z))": rate("a(z|x1)", "a"),
        "KL(b(z|x2)||p(z))": rate("b(z|x2)", "b"),
    }
    firsts = {"E_q[log p(x1|z)]": fit1("q"), "E_a[log p(x1|z)]": fit1("a")}
    seconds = {"E_q[log p(x2|z)]": fit2("q"), "E_b[log p(x2|z)]": fit2("b")}
    terms = {text: value.mean().detach() for text, value in (rates | firsts | seconds).items()}
    total = beta * sum(rates.values()) - lam1 * sum(firsts.values()) - lam2 * sum(seconds.values())
    return reduce(total, reduction), terms


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


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
