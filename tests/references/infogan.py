"""InfoGAN (Chen et al. 2016; Barber & Agakov 2003): the GAN's Jensen-Shannon term (logistic critic,
non-saturating surrogate for the generator) - lam E_p[log r(c|x)]. H_p(C) is left out."""

import math

import torch.nn.functional as F

JS = "JS(data(x)||p(x))"


def loss(inputs, *, lam, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {JS} takes rows of two batches")
    f_data = inputs[JS, "critic", "data"]
    f_p = inputs[JS, "critic_reference", "p"]
    logits = inputs["r(c|x)", "logits", "p"]
    c = inputs["c", "value", "p"].expand(logits.shape[:-1])

    js = math.log(2) - 0.5 * softplus(-f_data).mean() - 0.5 * softplus(f_p).mean()
    log_lik = -F.cross_entropy(logits.reshape(-1, logits.shape[-1]), c.reshape(-1))

    total = 0.5 * softplus(-f_p).mean() - lam * log_lik
    terms = {JS: js.detach(), "E_p[log r(c|x)]": log_lik.detach()}
    return total * f_data.shape[-1] if reduction == "sum" else total, terms


def critic_loss(name, inputs, *, lam):
    if name != JS:
        raise ValueError(f"no critic for {name!r}")
    f_data = inputs[JS, "critic", "data"]
    f_p = inputs[JS, "critic_reference", "p"]
    return softplus(-f_data).mean() + softplus(f_p).mean()


def softplus(t):
    return -F.logsigmoid(-t)
