"""Hierarchically factorised VAE (Esmaeili et al. 2019), two groups of latents, independent given x. With

    E_x KL(q(z|x)||p(z)) = I(X;Z) + TC(Z1;Z2) + TC(Z1) + TC(Z2) + sum_l KL(q(z_l)||p(z_l)),

the evidence bound gets the weight beta on the total correlation between the groups and gamma on that within:

    KL(q(z1|x)||p(z1)) + KL(q(z2|x)||p(z2)) + (beta - 1) TC(Z1;Z2) + (gamma - 1) (TC(Z1) + TC(Z2)) - E_q[log p(x|z1,z2)].

TC of the aggregated posterior is estimated in the minibatch, every row's posterior one component of the mixture (Chen
et al. 2018), with 1/B for each."""

import math

import torch.nn.functional as F

TERMS = ("KL(q(z1|x)||p(z1))", "KL(q(z2|x)||p(z2))", "TC_q(Z1;Z2)", "TC_q(Z1)", "TC_q(Z2)", "E_q[log p(x|z1,z2)]")


def loss(inputs, *, beta, gamma, reduction="mean"):
    rates, elements = [], []
    for k in "12":
        mean, logvar = inputs[f"q(z{k}|x)", "mean", "q"], inputs[f"q(z{k}|x)", "logvar", "q"]
        rates.append(kl_standard(mean, logvar).mean())
        elements.append(pairs(inputs[f"z{k}", "sample", "q"], mean, logvar))
    groups = [e.sum(-1) for e in elements]
    between = total_correlation(groups[0] + groups[1], groups)
    within = [total_correlation(g, e.unbind(-1)) for g, e in zip(groups, elements)]
    fit = log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z1,z2)", "logits", "q"]).mean()
    values = (*rates, between, *within, fit)
    total = sum(rates) + (beta - 1) * between + (gamma - 1) * sum(within) - fit
    return whole(total, mean.shape[0], reduction), {text: value.detach() for text, value in zip(TERMS, values)}


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


def total_correlation(together, apart):
    """E[log q(z) - sum_k log q(z_k)] with the batch as the mixture: entries (..., i, j), draw i and component j."""
    size = math.log(together.shape[-1])
    joint = together.logsumexp(-1) - size
    return (joint - sum(a.logsumexp(-1) - size for a in apart)).mean()


def pairs(z, mean, logvar):
    """log q(z_il|x_j), coordinate by coordinate: (..., i, j, L)."""
    return -0.5 * ((z.unsqueeze(-2) - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi))
