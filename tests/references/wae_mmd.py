"""Wasserstein autoencoder with MMD (Tolstikhin et al. 2018): the cost |x - G(z)|^2 plus lam MMD^2(q(z), p(z)).

log N(x; G(z), s^2) = -|x - G(z)|^2 / (2 s^2) + const: at s = 0.70710678 it is minus the cost. The MMD is the unbiased
estimate with k(a, b) = sum_s C / (C + |a - b|^2), C = 2 L s, s in 0.1, 0.2, 0.5, 1, 2, 5, 10, for a standard normal prior
in L dimensions, as in the paper's experiments."""

import math

KL = "KL(q(z)||p(z))"
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def loss(inputs, *, lam, reduction="mean"):
    x = inputs["x", "value", "q"]
    fit = log_isotropic(x, inputs["p(x|z)", "mean", "q"], 0.70710678).mean()
    distance = mmd(inputs["z", "sample", "q"], inputs["z", "sample_reference", "p"])
    return whole(lam * distance - fit, x.shape[0], reduction), {KL: distance.detach(), "E_q[log p(x|z)]": fit.detach()}


def kernel(a, b):
    squared = ((a.unsqueeze(1) - b.unsqueeze(0)) ** 2).sum(-1)
    widths = [2 * a.shape[-1] * scale for scale in SCALES]
    return sum(width / (width + squared) for width in widths)


def mmd(a, b):
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    return off_diagonal_mean(kernel(a, a)) + off_diagonal_mean(kernel(b, b)) - 2 * kernel(a, b).mean()


def off_diagonal_mean(k):
    n = k.shape[0]
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)
