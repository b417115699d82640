# VAE with Laplace encoder, decoder and prior, the scales of the first two learned.
#
#     minimise  I_q(X;Z) - I_q(Z;X),      q = data(x) q(z|x).
#
# Derivation.  I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)); I_q(Z;X) = H_q(X) + E_q log p(x|z) + KL(q(x|z)||p(x|z)).
#
#     bound = KL(q(z|x)||p(z)) - E_q[log p(x|z)],          left out: the constant -H_q(X)
#     gap   = KL(q(z)||p(z)) + KL(q(x|z)||p(x|z)),         both closable.
#
# For Laplace(a, b) and Laplace(a', b') with d = |a - a'|, E log p of the first is -log(2b) - 1, and
# E|z - a'| = d + b exp(-d/b); hence  KL = log(b'/b) + (d + b exp(-d/b)) / b' - 1.  The prior has b' = 1, a learned mean a'.
#
# Inputs: (q(z|x), mean | scale, q) (B,L), scale > 0; (p(z), mean, q), with no conditioner: (L,), or anything that
# broadcasts; (p(x|z), mean | scale, q) (S,B,D), scale > 0; (x, value, q) (B,D).

import torch


def _rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def _reduce(rows, reduction):
    if reduction == "mean":
        return rows.mean()
    if reduction == "sum":
        return rows.sum()
    if reduction == "none":
        return rows
    raise ValueError(f"unknown reduction {reduction!r}")


def _log_laplace(value, mean, scale):
    return (-(value - mean).abs() / scale - torch.log(2 * scale)).sum(-1)


def loss(inputs, *, reduction="mean"):
    mean, scale = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "scale", "q"]
    distance = (mean - inputs["p(z)", "mean", "q"]).abs()
    rate = _rows((-scale.log() + distance + scale * (-distance / scale).exp() - 1).sum(-1))
    fit = _rows(_log_laplace(inputs["x", "value", "q"], inputs["p(x|z)", "mean", "q"], inputs["p(x|z)", "scale", "q"]))
    terms = {
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return _reduce(rate - fit, reduction), terms
