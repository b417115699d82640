"""Conditional GAN (Mirza & Osindero 2014): the Jensen-Shannon divergence of pairs (x, c) of data and of generator, the
class drawn from the data. A logistic critic; the generator minimises the non-saturating surrogate s(-f) / 2."""

import math

import torch.nn.functional as F

JS = "JS(data(x,c)||p(x,c))"


def loss(inputs, *, reduction="mean"):
    f_data, f_p = inputs[JS, "critic", "data"], inputs[JS, "critic_reference", "p"]
    total = 0.5 * F.softplus(-f_p).mean()
    return whole(total, f_data.shape[-1], reduction), {JS: jensen_shannon(f_data, f_p).detach()}


def critic_loss(name, inputs):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    return tell_apart(inputs[JS, "critic", "data"], inputs[JS, "critic_reference", "p"])


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def jensen_shannon(f_p, f_q):
    """log 2 - E_P[s(-f)] / 2 - E_Q[s(f)] / 2, s the softplus: at most the Jensen-Shannon divergence."""
    return math.log(2) - 0.5 * F.softplus(-f_p).mean() - 0.5 * F.softplus(f_q).mean()


def tell_apart(f_p, f_q):
    """The logistic loss of telling samples of P from samples of Q."""
    return F.softplus(-f_p).mean() + F.softplus(f_q).mean()
