"""InfoNCE (van den Oord et al. 2018): maximise I_q(Z;Y) >= E mean_i [f_ii - log 1/B sum_j e^f_ij], at most log B.

f_ij is the critic on (z_i, y_j); the sum is over the second variable and includes j = i. Encoder and critic minimise the
one loss, minus the bound: there is no loss of the critic's own."""

import math


def loss(inputs, *, reduction="mean"):
    scores = inputs["I_q(Z;Y)", "scores", "q"]
    kept = infonce_of(scores)
    return whole(-kept, scores.shape[-1], reduction), {"I_q(Z;Y)": kept.detach()}


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def infonce_of(scores):
    """Each row tells its own partner from the batch's; the mean in the denominator includes it."""
    return (scores.diagonal() - scores.logsumexp(-1) + math.log(scores.shape[-1])).mean()
