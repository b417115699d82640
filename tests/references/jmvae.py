"""Joint multimodal VAE (Suzuki et al. 2017), JMVAE-kl:

    minimise KL(data(x1,x2)||p(x1,x2)) + alpha KL(q(z|x1,x2)||a(z|x1)) + alpha KL(q(z|x1,x2)||b(z|x2)).

The first term is bounded by the negative evidence bound, KL(q(z|x1,x2)||p(z)) - E_q log p(x1|z) - E_q log p(x2|z), the
constant -H_q(X1,X2) left out, with gap KL(q(z|x1,x2)||p(z|x1,x2)). The second decoder is a normal of scale 1."""

import math

import torch.nn.functional as F


def loss(inputs, *, alpha, reduction="mean"):
    def law(factor):
        return inputs[factor, "mean", "q"], inputs[factor, "logvar", "q"]

    both, first, second = law("q(z|x1,x2)"), law("a(z|x1)"), law("b(z|x2)")
    rate = rows(kl_standard(*both))
    fit1 = rows(log_bernoulli(inputs["x1", "value", "q"], inputs["p(x1|z)", "logits", "q"]))
    fit2 = rows(log_isotropic(inputs["x2", "value", "q"], inputs["p(x2|z)", "mean", "q"]))
    apart1, apart2 = rows(kl_normals(*both, *first)), rows(kl_normals(*both, *second))
    terms = {
        "KL(q(z|x1,x2)||p(z))": rate.mean().detach(),
        "E_q[log p(x1|z)]": fit1.mean().detach(),
        "E_q[log p(x2|z)]": fit2.mean().detach(),
        "KL(q(z|x1,x2)||a(z|x1))": apart1.mean().detach(),
        "KL(q(z|x1,x2)||b(z|x2))": apart2.mean().detach(),
    }
    return reduce(rate - fit1 - fit2 + alpha * (apart1 + apart2), reduction), terms


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


def kl_normals(mean, logvar, mean_r, logvar_r):
    quadratic = (logvar.exp() + (mean - mean_r) ** 2) / logvar_r.exp()
    return 0.5 * (quadratic - 1 + logvar_r - logvar).sum(-1)


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
