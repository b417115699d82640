"""Novelty detection with an adversarial autoencoder (Pidhorskyi et al. 2018): trained on the inliers alone,

    minimise JS(p(z)||q(z)) + JS(inliers(x)||p(x)) - beta I_q(Z;X).

Two logistic critics, one on codes and one on images. The encoder minimises s(-f) / 2 on its codes, the decoder on what it
makes of prior draws (non-saturating); the reconstruction is a normal's log-likelihood of scale 1."""

import math

import torch.nn.functional as F

CODES, IMAGES = "JS(p(z)||q(z))", "JS(inliers(x)||p(x))"
SIDES = {CODES: ("p", "q"), IMAGES: ("inliers", "p")}


def loss(inputs, *, beta, reduction="mean"):
    x = inputs["x", "value", "q"]
    fit = log_isotropic(x, inputs["p(x|z)", "mean", "q"]).mean()
    sides = {name: logits(inputs, name) for name in SIDES}
    total = sum(0.5 * F.softplus(-f_q).mean() for _, f_q in sides.values()) - beta * fit
    terms = {name: jensen_shannon(*both).detach() for name, both in sides.items()}
    return whole(total, x.shape[0], reduction), terms | {"E_q[log p(x|z)]": fit.detach()}


def critic_loss(name, inputs, *, beta):
    if name not in SIDES:
        raise ValueError(f"no critic for {name!r}")
    return tell_apart(*logits(inputs, name))


def logits(inputs, name):
    first, second = SIDES[name]
    return inputs[name, "critic", first], inputs[name, "critic_reference", second]


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
