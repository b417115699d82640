# A contrastive representation (van den Oord et al. 2018) that pays for what it takes from X.
#
#     minimise  beta I_q(X;Z) - I_q(Z;Y),      q = data(x,y) q(z|x),   beta >= 0.
#
# Derivation.  I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)).  I_q(Z;Y) needs a lower bound: with f_ij the critic on
# (z_i, y_j), I_q(Z;Y) >= E mean_i [ f_ii - log 1/B sum_j e^{f_ij} ], at most log B; the sum is over the second variable
# and includes j = i.
#
#     bound = beta KL(q(z|x)||p(z)) - I_q(Z;Y) [infonce]
#     gap   = beta KL(q(z)||p(z)), closable, + I_q(Z;Y) - its estimate's expectation, which falls with B and with the critic.
#
# Encoder and critic minimise the one loss: there is no loss of the critic's own, and the scores carry the gradient to both.
#
# Inputs: (q(z|x), mean | logvar, q) (B,L); (I_q(Z;Y), scores, q) (B,B).

import math


def _rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def _reduce(mean, size, reduction):
    if reduction == "mean":
        return mean
    if reduction == "sum":
        return mean * size
    if reduction == "none":
        raise ValueError("reduction 'none': I_q(Z;Y) compares the rows of a batch, it is no per-row average")
    raise ValueError(f"unknown reduction {reduction!r}")


def _kl_to_standard_normal(mean, logvar):
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def _infonce(scores):
    """Each row tells its own partner from the batch's; the sum in the denominator includes it."""
    size = scores.shape[-1]
    diagonal = scores.diagonal(dim1=-2, dim2=-1)
    return (diagonal - scores.logsumexp(-1) + math.log(size)).mean()


def loss(inputs, *, beta, reduction="mean"):
    mean, logvar = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]
    rate = _rows(_kl_to_standard_normal(mean, logvar)).mean()
    kept = _infonce(inputs["I_q(Z;Y)", "scores", "q"])
    terms = {"KL(q(z|x)||p(z))": rate.detach(), "I_q(Z;Y)": kept.detach()}
    return _reduce(beta * rate - kept, mean.shape[0], reduction), terms
