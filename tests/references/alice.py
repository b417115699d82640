"""ALICE (Li et al. 2017): the bidirectional GAN with explicit cycle-consistency, JS(q(x,z)||p(x,z)) + lam H_q(X|Z).

H_q(X|Z) <= -E_q log p(x|z), p(x|z) a normal of scale 1. Both sides learn, each by the non-saturating surrogate on its own
pairs: s(f) / 2 for the encoder, s(-f) / 2 for the decoder."""

import math

import torch.nn.functional as F

JS = "JS(q(x,z)||p(x,z))"


def loss(inputs, *, lam, reduction="mean"):
    x = inputs["x", "value", "q"]
    f_q, f_p = inputs[JS, "critic", "q"], inputs[JS, "critic_reference", "p"]
    fit = log_isotropic(x, inputs["p(x|z)", "mean", "q"]).mean()
    total = 0.5 * F.softplus(f_q).mean() + 0.5 * F.softplus(-f_p).mean() - lam * fit
    terms = {JS: jensen_shannon(f_q, f_p).detach(), "E_q[log p(x|z)]": fit.detach()}
    return whole(total, x.shape[0], reduction), terms


def critic_loss(name, inputs, *, lam):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    return tell_apart(inputs[JS, "critic", "q"], inputs[JS, "critic_reference", "p"])


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def jensen_shannon(f_p, f_q):
    """log 2 - E_P[s(-f)] / 2 - E_Q[s(f)] / 2, s the softplus: at most the Jensen-Shannon divergence."""
    return math.log(2) - 0.5 * F.softplus(-f_p).mean() - 0.5 * F.softplus(f_q).mean()


def tell_apart(f_p, f_q):
    """The logistic loss of telling samples of P from samples of Q."""
    return F.softplus(-f_p).mean() + F.softplus(f_q).mean()
