"""Generative compression (Santurkar et al. 2018; Agustsson et al. 2019; Tschannen et al. 2018), a code of L bits:

    minimise H_q(Z) - beta I_q(Z;X) + gamma JS(data(x)||g(x)).

The rate is bounded by an entropy model, H_q(Z) <= -E_q log p(z), here exactly mean_x sum_l of the cross-entropy of two
bits; the distortion is a normal's of scale 1; g(x) is the law of reconstructions, on which encoder and decoder minimise
the non-saturating surrogate s(-f) / 2 of a logistic critic's divergence."""

import math

import torch.nn.functional as F

JS = "JS(data(x)||g(x))"


def loss(inputs, *, beta, gamma, reduction="mean"):
    x, prior = inputs["x", "value", "q"], inputs["p(z)", "logits", "q"]
    code = log_bernoulli(inputs["q(z|x)", "logits", "q"].sigmoid(), prior).mean()
    fit = log_isotropic(x, inputs["p(x|z)", "mean", "q"]).mean()
    f_data, f_g = inputs[JS, "critic", "data"], inputs[JS, "critic_reference", "g"]
    total = -code - beta * fit + gamma * 0.5 * F.softplus(-f_g).mean()
    terms = {
        "E_q[log p(z)]": code.detach(),
        "E_q[log p(x|z)]": fit.detach(),
        JS: jensen_shannon(f_data, f_g).detach(),
    }
    return whole(total, x.shape[0], reduction), terms


def critic_loss(name, inputs, *, beta, gamma):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    return tell_apart(inputs[JS, "critic", "data"], inputs[JS, "critic_reference", "g"])


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def jensen_shannon(f_p, f_q):
    """log 2 - E_P[s(-f)] / 2 - E_Q[s(f)] / 2, s the softplus: at most the Jensen-Shannon divergence."""
    return math.log(2) - 0.5 * F.softplus(-f_p).mean() - 0.5 * F.softplus(f_q).mean()


def tell_apart(f_p, f_q):
    """The logistic loss of telling samples of P from samples of Q."""
    return F.softplus(-f_p).mean() + F.softplus(f_q).mean()
