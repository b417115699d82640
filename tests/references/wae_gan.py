"""Wasserstein autoencoder, adversarial (Tolstikhin et al. 2018): the cost |x - G(z)|^2, and codes held to the prior by a
critic in the latent space.

log N(x; G(z), s^2) = -|x - G(z)|^2 / (2 s^2) + const: at s = 0.70710678 it is minus the cost. With f the critic's logit,
D = sigmoid(f) the probability of the prior, the encoder minimises -lambda log D on its own codes: lam s(-f) / 2, s the
softplus, lambda = lam / 2."""

import math

import torch.nn.functional as F

JS = "JS(p(z)||q(z))"


def loss(inputs, *, lam, reduction="mean"):
    x = inputs["x", "value", "q"]
    fit = log_isotropic(x, inputs["p(x|z)", "mean", "q"], 0.70710678).mean()
    f_p, f_q = inputs[JS, "critic", "p"], inputs[JS, "critic_reference", "q"]
    total = lam * 0.5 * F.softplus(-f_q).mean() - fit
    terms = {JS: jensen_shannon(f_p, f_q).detach(), "E_q[log p(x|z)]": fit.detach()}
    return whole(total, x.shape[0], reduction), terms


def critic_loss(name, inputs, *, lam):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    return tell_apart(inputs[JS, "critic", "p"], inputs[JS, "critic_reference", "q"])


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
