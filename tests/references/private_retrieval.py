"""Retrieval by codes that keep an attribute to themselves: minimise gamma I_q(S;Z1) - I_q(Z1;Z2), S - X1 - Z1.

I_q(S;Z1) = I_q(X1;Z1) - I_q(X1;Z1|S) <= KL(q(z1|x1)||p(z1)) - E_q log d(x1|z1,s) - H_q(X1|S), the constant left out; the
information of the codes by InfoNCE."""

import math

FOUND = "I_q(Z1;Z2)"


def loss(inputs, *, gamma, reduction="mean"):
    rate = kl_standard(inputs["q(z1|x1)", "mean", "q"], inputs["q(z1|x1)", "logvar", "q"]).mean()
    fit = log_isotropic(inputs["x1", "value", "q"], inputs["d(x1|z1,s)", "mean", "q"]).mean()
    scores = inputs[FOUND, "scores", "q"]
    found = infonce_of(scores)
    terms = {"KL(q(z1|x1)||p(z1))": rate.detach(), "E_q[log d(x1|z1,s)]": fit.detach(), FOUND: found.detach()}
    return whole(gamma * (rate - fit) - found, scores.shape[-1], reduction), terms


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def infonce_of(scores):
    """Each row tells its own partner from the batch's; the mean in the denominator includes it."""
    return (scores.diagonal() - scores.logsumexp(-1) + math.log(scores.shape[-1])).mean()
