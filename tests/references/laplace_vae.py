# VAE with a Laplace decoder of fixed scale and an isotropic normal prior.
#
#     minimise  I_q(X;Z) - I_q(Z;X),      q = data(x) q(z|x).
#
# Derivation.  I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)); I_q(Z;X) = H_q(X) + E_q log p(x|z) + KL(q(x|z)||p(x|z)).
#
#     bound = KL(q(z|x)||p(z)) - E_q[log p(x|z)],          left out: the constant -H_q(X)
#     gap   = KL(q(z)||p(z)) + KL(q(x|z)||p(x|z)),         both closable.
#
# p(z) = N(m, 2^2 I) with a learned mean m, so that per coordinate
# KL = ((var + (mean - m)^2) / 4 - 1 - log var) / 2 + log 2.
# p(x|z) = Laplace(mean, b = 0.5): log p = -|x - mean| / b - log(2 b) per coordinate; with b = 0.5 the constant is zero.
#
# Inputs: (q(z|x), mean | logvar, q) (B,L); (p(z), mean, q), with no conditioner: (L,), or anything that broadcasts;
# (p(x|z), mean, q) (S,B,D); (x, value, q) (B,D).

import math


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


PRIOR_SCALE = 2.0
SCALE = 0.5


def loss(inputs, *, reduction="mean"):
    mean, logvar = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]
    distance = (mean - inputs["p(z)", "mean", "q"]) ** 2
    kl = 0.5 * ((logvar.exp() + distance) / PRIOR_SCALE**2 - 1 - logvar) + math.log(PRIOR_SCALE)
    rate = _rows(kl.sum(-1))
    error = (inputs["x", "value", "q"] - inputs["p(x|z)", "mean", "q"]).abs()
    fit = _rows((-error / SCALE - math.log(2 * SCALE)).sum(-1))
    terms = {
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return _reduce(rate - fit, reduction), terms
