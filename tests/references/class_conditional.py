"""Class-conditional generation (Mirza & Osindero 2014): the Jensen-Shannon divergence of pairs (x, c), the model's classes being
the data's; its samples may come several to a row, and the mean is over all."""

import math

import torch.nn.functional as F

JS = "JS(data(x,c)||p(x,c))"


def loss(inputs, *, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {JS} takes rows of two batches")
    f_data = inputs[JS, "critic", "data"]
    f_p = inputs[JS, "critic_reference", "p"]

    js = math.log(2) - 0.5 * softplus(-f_data).mean() - 0.5 * softplus(f_p).mean()

    total = 0.5 * softplus(-f_p).mean()
    return total * f_data.shape[-1] if reduction == "sum" else total, {JS: js.detach()}


def critic_loss(name, inputs):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    f_data = inputs[JS, "critic", "data"]
    f_p = inputs[JS, "critic_reference", "p"]
    return softplus(-f_data).mean() + softplus(f_p).mean()


def softplus(t):
    return -F.logsigmoid(-t)
