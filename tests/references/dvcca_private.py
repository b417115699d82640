"""Deep variational CCA with private codes (Wang et al. 2016; weight: Abdelaleem et al. 2023):

    minimise I_q(X1;Z) + I_q(X1;W1) + I_q(X2;W2) - beta I_q(Z,W1;X1) - beta I_q(Z,W2;X2),
    q = data(x1,x2) q(z|x1) q(w1|x1) q(w2|x2).

Every rate through its prior, every other term through a decoder of the shared and one private code:

    KL(q(z|x1)||p(z)) + KL(q(w1|x1)||p(w1)) + KL(q(w2|x2)||p(w2)) - beta E_q[log p(x1|z,w1)] - beta E_q[log p(x2|z,w2)],

the constants -beta (H_q(X1) + H_q(X2)) left out. The second decoder is a normal of scale 1."""

import math

import torch.nn.functional as F


def loss(inputs, *, beta, reduction="mean"):
    rates = {
        f"KL({factor}||{prior})": rows(kl_standard(inputs[factor, "mean", "q"], inputs[factor, "logvar", "q"]))
        for factor, prior in (("q(z|x1)", "p(z)"), ("q(w1|x1)", "p(w1)"), ("q(w2|x2)", "p(w2)"))
    }
    fits = {
        "E_q[log p(x1|z,w1)]": rows(log_bernoulli(inputs["x1", "value", "q"], inputs["p(x1|z,w1)", "logits", "q"])),
        "E_q[log p(x2|z,w2)]": rows(log_isotropic(inputs["x2", "value", "q"], inputs["p(x2|z,w2)", "mean", "q"])),
    }
    terms = {text: value.mean().detach() for text, value in (rates | fits).items()}
    return reduce(sum(rates.values()) - beta * sum(fits.values()), reduction), terms


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
