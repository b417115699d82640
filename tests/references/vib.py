"""Deep variational information bottleneck (Tishby et al. 1999; Alemi et al. 2017):
A - beta E_q[log p(c|z)], A = E_x KL(q(z|x)||p(z)). H_q(C) is left out."""

import torch
import torch.nn.functional as F


def loss(inputs, *, beta, reduction="mean"):
    mu = inputs["q(z|x)", "mean", "q"]
    logvar = inputs["q(z|x)", "logvar", "q"]
    logits = inputs["p(c|z)", "logits", "q"]
    c = inputs["c", "value", "q"]

    kl = rows(-0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(-1))
    log_lik = rows(categorical(logits, c))

    per_row = kl - beta * log_lik
    terms = {"KL(q(z|x)||p(z))": kl.mean().detach(), "E_q[log p(c|z)]": log_lik.mean().detach()}
    return reduce(per_row, reduction), terms


def categorical(logits, c):
    """log p(c), one per row (and per draw where the logits have a leading S)."""
    c = c.expand(logits.shape[:-1])
    nll = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), c.reshape(-1), reduction="none")
    return -nll.reshape(c.shape)


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
