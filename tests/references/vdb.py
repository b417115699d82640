"""Variational discriminator bottleneck (Peng et al. 2019): a GAN (logistic critic, non-saturating surrogate for
the generator) whose critic sees x through a code t of at most Ic nats, averaged over data and model. The rate
is bounded by the mean of KL(e(t|x)||r(t)), r standard normal; mu is the multiplier."""

import math

import torch
import torch.nn.functional as F

JS = "JS(data(x)||p(x))"


def loss(inputs, *, Ic, mu, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {JS} takes rows of two batches")
    f_data = inputs[JS, "critic", "data"]
    f_p = inputs[JS, "critic_reference", "p"]

    js = math.log(2) - 0.5 * softplus(-f_data).mean() - 0.5 * softplus(f_p).mean()

    total = 0.5 * softplus(-f_p).mean()
    return total * f_data.shape[-1] if reduction == "sum" else total, {JS: js.detach()}


def critic_loss(name, inputs, *, Ic, mu):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    f_data = inputs[JS, "critic", "data"]
    f_p = inputs[JS, "critic_reference", "p"]
    logistic = softplus(-f_data).mean() + softplus(f_p).mean()
    return logistic + mu * (rate(inputs) - Ic)


def rate(inputs):
    """The upper bound of I_m(X;T) that is held to Ic."""
    return 0.5 * code_kl(inputs, "data") + 0.5 * code_kl(inputs, "p")


def dual_step(mu, Ic, value, step):
    """The multiplier after one ascent step; value is the rate."""
    return max(0.0, mu + step * (value - Ic))


def code_kl(inputs, joint):
    mean = inputs["e(t|x)", "mean", joint]
    logvar = inputs["e(t|x)", "logvar", joint]
    return (-0.5 * (1 + logvar - mean**2 - torch.exp(logvar)).sum(-1)).mean()


def softplus(t):
    return -F.logsigmoid(-t)
