"""Ladder VAE (Sonderby et al. 2016), two layers drawn from the top: minimise beta I_q(X;Z1,Z2) - I_q(Z1,Z2;X).

    beta KL(q(z2|x)||p(z2)) + beta E KL(q(z1|x,z2)||p(z1|z2)) - E_q[log p(x|z1)]   (left out: -H_q(X)).

Given x and z2, z1 depends on nothing else: both relative entropies are closed, the second at each draw of z2."""

import torch.nn.functional as F


def loss(inputs, *, beta, reduction="mean"):
    def law(factor):
        return inputs[factor, "mean", "q"], inputs[factor, "logvar", "q"]

    top = rows(kl_standard(*law("q(z2|x)")))
    bottom = rows(kl_normals(*law("q(z1|x,z2)"), *law("p(z1|z2)")))
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z1)", "logits", "q"]))
    terms = {
        "KL(q(z2|x)||p(z2))": top.mean().detach(),
        "KL(q(z1|x,z2)||p(z1|z2))": bottom.mean().detach(),
        "E_q[log p(x|z1)]": fit.mean().detach(),
    }
    return reduce(beta * (top + bottom) - fit, reduction), terms


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


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
