"""Deep InfoMax (Hjelm et al. 2019): maximise alpha JS(q(x,z)||q(x)q(z)) + beta JS(q(y,z)||q(y)q(z)) - gamma JS(q(z)||p(z)).

Y are the features at a place of the image. The paper's estimate of information, -E s(-f) - E s(f) on pairs and on pairs
of different rows, is 2 JS - 2 log 2: encoder and critic both raise it, through both means. The prior's critic tells codes
from prior draws and the encoder lowers its value (minimax)."""

import math

import torch.nn.functional as F

GLOBAL, LOCAL, PRIOR = "JS(q(x,z)||q(x)q(z))", "JS(q(y,z)||q(y)q(z))", "JS(q(z)||p(z))"
SIDES = {GLOBAL: "q", LOCAL: "q", PRIOR: "p"}


def loss(inputs, *, alpha, beta, gamma, reduction="mean"):
    values = {name: jensen_shannon(*logits(inputs, name)) for name in SIDES}
    total = gamma * values[PRIOR] - alpha * values[GLOBAL] - beta * values[LOCAL]
    size = inputs[GLOBAL, "critic", "q"].shape[-1]
    return whole(total, size, reduction), {name: value.detach() for name, value in values.items()}


def critic_loss(name, inputs, *, alpha, beta, gamma):
    if name not in SIDES:
        raise ValueError(f"no critic for {name!r}")
    return tell_apart(*logits(inputs, name))


def logits(inputs, name):
    return inputs[name, "critic", "q"], inputs[name, "critic_reference", SIDES[name]]


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def jensen_shannon(f_p, f_q):
    """log 2 - E_P[s(-f)] / 2 - E_Q[s(f)] / 2, s the softplus: at most the Jensen-Shannon divergence."""
    return math.log(2) - 0.5 * F.softplus(-f_p).mean() - 0.5 * F.softplus(f_q).mean()


def tell_apart(f_p, f_q):
    """The logistic loss of telling samples of P from samples of Q."""
    return F.softplus(-f_p).mean() + F.softplus(f_q).mean()
