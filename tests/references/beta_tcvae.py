# beta-TCVAE (Chen et al. 2018), from the paper's objective with alpha = gamma = 1:
#
#     minimise  KL(q(z|x)||p(z)) + (beta - 1) TC_q(Z) - I_q(Z;X),      q = data(x) q(z|x),   beta >= 1.
#
# Derivation.  The first term is computable as it stands.  I_q(Z;X) = H_q(X) + E_q log p(x|z) + KL(q(x|z)||p(x|z)).
# TC_q(Z) = E_q[log q(z) - sum_l log q(z_l)] is of the aggregated posterior, which nothing evaluates; it is estimated in
# the minibatch, with every row's posterior as one component of the mixture:
#
#     log q(z_i) ~ log 1/(N M) sum_j q(z_i|x_j),   log q(z_il) ~ log 1/(N M) sum_j q(z_il|x_j),
#
# M the rows of the batch, N those of the data.  Without N the mean over j takes the place of 1/(N M) sum_j; N moves each
# of the 1 + L logarithms by log N, a constant shift of (L - 1) log N in TC.  Biased either way: the relation is ~.
#
#     bound = KL(q(z|x)||p(z)) + (beta - 1) TC_q(Z) [minibatch-weighted] - E_q[log p(x|z)],   left out: -H_q(X)
#     gap   = KL(q(x|z)||p(x|z)), closable, besides the estimate's error.
#
# The gradient of the estimate goes through the draw and through every row's mean and variance.
#
# Inputs: (q(z|x), mean | logvar, q) (B,L); (z, sample, q) (S,B,L) or (B,L), draws along S against the same B components;
# (p(x|z), logits, q) (S,B,D); (x, value, q) (B,D).

import math

import torch.nn.functional as F


def _rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def _reduce(mean, size, reduction):
    if reduction == "mean":
        return mean
    if reduction == "sum":
        return mean * size
    if reduction == "none":
        raise ValueError("reduction 'none': TC_q(Z) compares the rows of a batch, it is no per-row average")
    raise ValueError(f"unknown reduction {reduction!r}")


def _kl_to_standard_normal(mean, logvar):
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def _log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def _total_correlation(z, mean, logvar, dataset_size):
    """Mean over the draws; z is (..., B, L), mean and logvar are (B, L)."""
    size = mean.shape[0]
    distance = (z.unsqueeze(-2) - mean) ** 2  # (..., i, j, L)
    pairs = -0.5 * (distance / logvar.exp() + logvar + math.log(2 * math.pi))
    shift = math.log(size) if dataset_size is None else math.log(size * dataset_size)
    together = pairs.sum(-1).logsumexp(-1) - shift
    apart = (pairs.logsumexp(-2) - shift).sum(-1)
    return (together - apart).mean()


def loss(inputs, *, beta, reduction="mean", dataset_size=None):
    mean, logvar = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]
    rate = _kl_to_standard_normal(mean, logvar).mean()
    correlation = _total_correlation(inputs["z", "sample", "q"], mean, logvar, dataset_size)
    fit = _rows(_log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"])).mean()
    terms = {
        "KL(q(z|x)||p(z))": rate.detach(),
        "TC_q(Z)": correlation.detach(),
        "E_q[log p(x|z)]": fit.detach(),
    }
    return _reduce(rate + (beta - 1) * correlation - fit, mean.shape[0], reduction), terms
