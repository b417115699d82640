"""Bidirectional GAN, adversarially learned inference (Donahue et al. 2017; Dumoulin et al. 2017): the
Jensen-Shannon divergence of the pairs (x, z) of encoder and generator, by its dual with a logistic critic.
Both sides learn, each through the non-saturating surrogate on its own samples."""

import math

import torch.nn.functional as F

JS = "JS(q(x,z)||p(x,z))"


def loss(inputs, *, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {JS} takes rows of two batches")
    f_q = inputs[JS, "critic", "q"]
    f_p = inputs[JS, "critic_reference", "p"]

    js = math.log(2) - 0.5 * softplus(-f_q).mean() - 0.5 * softplus(f_p).mean()

    total = 0.5 * softplus(f_q).mean() + 0.5 * softplus(-f_p).mean()
    return total * f_q.shape[-1] if reduction == "sum" else total, {JS: js.detach()}


def critic_loss(name, inputs):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    f_q = inputs[JS, "critic", "q"]
    f_p = inputs[JS, "critic_reference", "p"]
    return softplus(-f_q).mean() + softplus(f_p).mean()


def softplus(t):
    return -F.logsigmoid(-t)
