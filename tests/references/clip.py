"""Contrastive language-image pretraining (Radford et al. 2021): each code finds its partner among the batch's, from either
side. Half of the cross-entropy over the rows of the scores and half of that over the columns; log B makes each a lower
bound of the information. The second term's scores are, in the paper, the first's transposed."""

import math

import torch
import torch.nn.functional as F

FIRST, SECOND = "I_q(Z1;Z2)", "I_q(Z2;Z1)"


def loss(inputs, *, reduction="mean"):
    forward, backward = inputs[FIRST, "scores", "q"], inputs[SECOND, "scores", "q"]
    target, size = torch.arange(forward.shape[-1]), math.log(forward.shape[-1])
    first, second = (size - F.cross_entropy(scores, target) for scores in (forward, backward))
    return whole(-(first + second) / 2, forward.shape[-1], reduction), {FIRST: first.detach(), SECOND: second.detach()}


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean
