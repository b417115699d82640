"""VAE/GAN (Larsen et al. 2016; Voloshynovskiy et al. 2019): A - R + D, with A = E_x KL(q(z|x)||p(z)),
R = E_q[log p(x|z)] and D = KL(q(x)||p(x)) read off a logistic critic. Only the decoder learns in D, on the
samples of p(x), so the model minimises the non-saturating surrogate there."""

import torch
import torch.nn.functional as F

D = "KL(q(x)||p(x))"


def loss(inputs, *, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {D} takes rows of two batches")
    mu = inputs["q(z|x)", "mean", "q"]
    logvar = inputs["q(z|x)", "logvar", "q"]
    logits = inputs["p(x|z)", "logits", "q"]
    x = inputs["x", "value", "q"]
    f_q = inputs[D, "critic", "q"]
    f_p = inputs[D, "critic_reference", "p"]

    kl = (-0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(-1)).mean()
    log_lik = (-F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)).mean()

    total = kl - log_lik + softplus(-f_p).mean()
    terms = {"KL(q(z|x)||p(z))": kl.detach(), "E_q[log p(x|z)]": log_lik.detach(), D: f_q.mean().detach()}
    return total * x.shape[0] if reduction == "sum" else total, terms


def critic_loss(name, inputs):
    if name != D:
        raise ValueError(f"no critic for {name!r}")
    f_q = inputs[D, "critic", "q"]
    f_p = inputs[D, "critic_reference", "p"]
    return softplus(-f_q).mean() + softplus(f_p).mean()


def softplus(t):
    return -F.logsigmoid(-t)
