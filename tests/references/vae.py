"""Variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014): A - R, with
A = E_x KL(q(z|x)||p(z)) and R = E_q[log p(x|z)]. H_q(X) is left out."""

import torch
import torch.nn.functional as F


def loss(inputs, *, reduction="mean"):
    mu = inputs["q(z|x)", "mean", "q"]
    logvar = inputs["q(z|x)", "logvar", "q"]
    logits = inputs["p(x|z)", "logits", "q"]
    x = inputs["x", "value", "q"]

    kl = rows(-0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(-1))
    log_lik = rows(-F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1))

    per_row = kl - log_lik
    terms = {"KL(q(z|x)||p(z))": kl.mean().detach(), "E_q[log p(x|z)]": log_lik.mean().detach()}
    return reduce(per_row, reduction), terms


def rows(t):
    """(S, B) or (B,) -> (B,)"""
    return t.mean(0) if t.dim() == 2 else t


def reduce(per_row, reduction):
    if reduction == "none":
        return per_row
    if reduction == "mean":
        return per_row.mean()
    if reduction == "sum":
        return per_row.mean() * per_row.shape[0]
    raise ValueError(f"unknown reduction {reduction!r}")
