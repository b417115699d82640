"""Bounded information bottleneck autoencoder (Voloshynovskiy et al. 2019): A - B - beta (R - D), with
A = E_x KL(q(z|x)||p(z)), B = KL(q(z)||p(z)), R = E_q[log p(x|z)], D = KL(q(x)||p(x)); B and D are read off
logistic critics. The encoder learns in B, on the samples of q(z): the critic's value. The decoder learns in D,
on the samples of p(x): the non-saturating surrogate."""

import torch
import torch.nn.functional as F

B = "KL(q(z)||p(z))"
D = "KL(q(x)||p(x))"


def loss(inputs, *, beta, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {D} takes rows of two batches")
    mu = inputs["q(z|x)", "mean", "q"]
    logvar = inputs["q(z|x)", "logvar", "q"]
    logits = inputs["p(x|z)", "logits", "q"]
    x = inputs["x", "value", "q"]

    kl = (-0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(-1)).mean()
    latent = inputs[B, "critic", "q"].mean()
    log_lik = (-F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)).mean()
    data = inputs[D, "critic", "q"].mean()
    data_surrogate = softplus(-inputs[D, "critic_reference", "p"]).mean()

    total = kl - latent - beta * log_lik + beta * data_surrogate
    terms = {
        "KL(q(z|x)||p(z))": kl.detach(),
        B: latent.detach(),
        "E_q[log p(x|z)]": log_lik.detach(),
        D: data.detach(),
    }
    return total * x.shape[0] if reduction == "sum" else total, terms


def critic_loss(name, inputs, *, beta):
    if name not in (B, D):
        raise ValueError(f"no critic for {name!r}")
    f_q = inputs[name, "critic", "q"]
    f_p = inputs[name, "critic_reference", "p"]
    return softplus(-f_q).mean() + softplus(f_p).mean()


def softplus(t):
    return -F.logsigmoid(-t)
