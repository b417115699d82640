"""Contrastive predictive coding (van den Oord et al. 2018): maximise I(C;Z1) + I(C;Z2), the context against the codes of
the next two steps, each by InfoNCE over the codes of all rows, the own one included. The loss is minus the sum."""

import math

STEPS = ("I_q(C;Z1)", "I_q(C;Z2)")


def loss(inputs, *, reduction="mean"):
    scores = [inputs[text, "scores", "q"] for text in STEPS]
    values = [infonce_of(s) for s in scores]
    return whole(-sum(values), scores[0].shape[-1], reduction), {t: v.detach() for t, v in zip(STEPS, values)}


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def infonce_of(scores):
    """Each row tells its own partner from the batch's; the mean in the denominator includes it."""
    return (scores.diagonal() - scores.logsumexp(-1) + math.log(scores.shape[-1])).mean()
