"""InfoVAE (Zhao et al. 2019): (1 - alpha) A + (alpha + lam - 1) B - R, with A = E_x KL(q(z|x)||p(z)),
R = E_q[log p(x|z)], and MMD^2 (unbiased, Gaussian kernel; Gretton et al. 2012) in place of B = KL(q(z)||p(z)).
H_q(X) is left out."""

import torch
import torch.nn.functional as F

B = "KL(q(z)||p(z))"


def loss(inputs, *, alpha, lam, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {B} by mmd is not an average over rows")
    mu = inputs["q(z|x)", "mean", "q"]
    logvar = inputs["q(z|x)", "logvar", "q"]
    logits = inputs["p(x|z)", "logits", "q"]
    x = inputs["x", "value", "q"]
    z_q = inputs["z", "sample", "q"]
    z_p = inputs["z", "sample_reference", "p"]

    kl = (-0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(-1)).mean()
    log_lik = (-F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)).mean()
    mmd2 = mmd(z_q.reshape(-1, z_q.shape[-1]), z_p.reshape(-1, z_p.shape[-1]))

    total = (1 - alpha) * kl + (alpha + lam - 1) * mmd2 - log_lik
    terms = {"KL(q(z|x)||p(z))": kl.detach(), B: mmd2.detach(), "E_q[log p(x|z)]": log_lik.detach()}
    return total * x.shape[0] if reduction == "sum" else total, terms


def mmd(a, b):
    n, m = a.shape[0], b.shape[0]
    k_aa, k_bb, k_ab = kernel(a, a), kernel(b, b), kernel(a, b)
    within_a = (k_aa.sum() - k_aa.diagonal().sum()) / (n * (n - 1))
    within_b = (k_bb.sum() - k_bb.diagonal().sum()) / (m * (m - 1))
    return within_a + within_b - 2 * k_ab.mean()


def kernel(a, b):
    squared_distance = ((a[:, None, :] - b[None, :, :]) ** 2).sum(-1)
    return torch.exp(-squared_distance / (2 * a.shape[-1]))
