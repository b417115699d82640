# Two encoders that find each other's codes by inner products (van den Oord et al. 2018; Radford et al. 2021; Cheng et al. 2025).
#
#     maximise  1/2 I_q(Z1;Z2) + 1/2 I_q(Z2;Z1),      q = data(x1,x2) q(z1|x1) q(z2|x2).
#
# Derivation.  I(A;B) >= E mean_i [ f_ii - log 1/B sum_j e^{f_ij} ], at most log B, for every f; here f_ij = <a_i, b_j> / T, a and b the
# embeddings of the two codes, T > 0 a temperature of the term's own. The sum is over the second variable and includes j = i.
#
#     bound = 1/2 I_q(Z1;Z2) [infonce] + 1/2 I_q(Z2;Z1) [infonce]
#     gap   = each information less its estimate's expectation.
#
# Inputs: (z1, embedding, q) (B,E); (z2, embedding, q) (B,E); (I_q(Z1;Z2), temperature, q) (); (I_q(Z2;Z1), temperature, q) ().

import math


def _reduce(mean, size, reduction):
    if reduction == "mean":
        return mean
    if reduction == "sum":
        return mean * size
    if reduction == "none":
        raise ValueError("reduction 'none': I_q(Z1;Z2) compares the rows of a batch, it is no per-row average")
    raise ValueError(f"unknown reduction {reduction!r}")


def _infonce(scores):
    """Each row tells its own partner from the batch's; the sum in the denominator includes it."""
    return (scores.diagonal() - scores.logsumexp(-1) + math.log(scores.shape[-1])).mean()


def loss(inputs, *, reduction="mean"):
    first, second = inputs["z1", "embedding", "q"], inputs["z2", "embedding", "q"]
    there = _infonce(first @ second.T / inputs["I_q(Z1;Z2)", "temperature", "q"])
    back = _infonce(second @ first.T / inputs["I_q(Z2;Z1)", "temperature", "q"])
    terms = {"I_q(Z1;Z2)": there.detach(), "I_q(Z2;Z1)": back.detach()}
    return _reduce(-there / 2 - back / 2, first.shape[0], reduction), terms
