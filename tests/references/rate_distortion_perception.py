"""Rate, distortion and perception (Blau & Michaeli 2019): minimise I_q(X;Z) - lam I_q(Z;X) + mu JS(data(x)||g(x)).

    KL(q(z|x)||p(z)) - lam E_q[log p(x|z)] + mu JS   (left out: -lam H_q(X)), p(x|z) a normal of scale 1.

g(x) is the law of reconstructions; encoder and decoder minimise the non-saturating surrogate s(-f) / 2 on them."""

import math

import torch.nn.functional as F

JS = "JS(data(x)||g(x))"


def loss(inputs, *, lam, mu, reduction="mean"):
    x = inputs["x", "value", "q"]
    rate = kl_standard(inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]).mean()
    fit = log_isotropic(x, inputs["p(x|z)", "mean", "q"]).mean()
    f_data, f_g = inputs[JS, "critic", "data"], inputs[JS, "critic_reference", "g"]
    total = rate - lam * fit + mu * 0.5 * F.softplus(-f_g).mean()
    terms = {
        "KL(q(z|x)||p(z))": rate.detach(),
        "E_q[log p(x|z)]": fit.detach(),
        JS: jensen_shannon(f_data, f_g).detach(),
    }
    return whole(total, x.shape[0], reduction), terms


def critic_loss(name, inputs, *, lam, mu):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    return tell_apart(inputs[JS, "critic", "data"], inputs[JS, "critic_reference", "g"])


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def jensen_shannon(f_p, f_q):
    """log 2 - E_P[s(-f)] / 2 - E_Q[s(f)] / 2, s the softplus: at most the Jensen-Shannon divergence."""
    return math.log(2) - 0.5 * F.softplus(-f_p).mean() - 0.5 * F.softplus(f_q).mean()


def tell_apart(f_p, f_q):
    """The logistic loss of telling samples of P from samples of Q."""
    return F.softplus(-f_p).mean() + F.softplus(f_q).mean()
