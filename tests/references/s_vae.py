"""Hyperspherical VAE (Davidson et al. 2018): KL(vMF(m, k)||U) - E_q[log p(x|z)] on the unit sphere of R^L.

With C(k) = k^(L/2-1) / ((2 pi)^(L/2) I_(L/2-1)(k)) and the sphere's area 2 pi^(L/2) / Gamma(L/2),

    KL(vMF(m, k)||U) = k I_(L/2)(k) / I_(L/2-1)(k) + log C(k) + log area,

whatever the mean direction m."""

import math

import torch
import torch.nn.functional as F


def loss(inputs, *, reduction="mean"):
    kappa, n = inputs["q(z|x)", "concentration", "q"], inputs["q(z|x)", "mean", "q"].shape[-1]
    rate = rows(kl_uniform(kappa, n))
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {"KL(q(z|x)||p(z))": rate.mean().detach(), "E_q[log p(x|z)]": fit.mean().detach()}
    return reduce(rate - fit, reduction), terms


def kl_uniform(kappa, n):
    half = n / 2
    log_bessel = bessel(half - 1, kappa)
    ratio = (bessel(half, kappa) - log_bessel).exp()
    log_c = (half - 1) * kappa.log() - half * math.log(2 * math.pi) - log_bessel
    return kappa * ratio + log_c + math.log(2) + half * math.log(math.pi) - math.lgamma(half)


def rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def reduce(values, reduction):
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"unknown reduction {reduction!r}")


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def bessel(order, kappa, terms=300):
    """log I_order(kappa), by its series, whose terms are positive."""
    m = torch.arange(terms, dtype=kappa.dtype)
    powers = (2 * m + order) * (kappa.unsqueeze(-1) / 2).log()
    return (powers - torch.lgamma(m + 1) - torch.lgamma(m + order + 1)).logsumexp(-1)
