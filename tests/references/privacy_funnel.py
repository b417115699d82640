"""Privacy funnel (Makhdoumi et al. 2014), bound of Razeghi et al. 2022: minimise I_q(S;Z) - beta I_q(Z;X).

S - X - Z, so that I_q(S;Z) = I_q(X;Z) - I_q(X;Z|S), with
I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)) and I_q(X;Z|S) = H_q(X|S) + E_q log d(x|z,s) + KL(q(x|z,s)||d(x|z,s)):

    KL(q(z|x)||p(z)) - E_q[log d(x|z,s)] - beta E_q[log p(x|z)]   (left out: -H_q(X|S) - beta H_q(X)).

Both decoders are normals of scale 1."""

import math


def loss(inputs, *, beta, reduction="mean"):
    x = inputs["x", "value", "q"]
    rate = rows(kl_standard(inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]))
    given = rows(log_isotropic(x, inputs["d(x|z,s)", "mean", "q"]))
    fit = rows(log_isotropic(x, inputs["p(x|z)", "mean", "q"]))
    terms = {
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log d(x|z,s)]": given.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return reduce(rate - given - beta * fit, reduction), terms


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


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_isotropic(value, mean, scale=1.0):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)
