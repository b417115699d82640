"""Information bottleneck with MINE (Belghazi et al. 2018): minimise beta I_q(X;Z) - I_q(Z;C).

I_q(X;Z) is the Donsker-Varadhan value of a critic on pairs (x, z) and on pairs of different rows,
E f - log E e^f; the encoder lowers it, through both means, the critic raises it. I_q(Z;C) >= H_q(C) + E_q log p(c|z)."""

import math

I = "I_q(X;Z)"  # noqa: E741


def loss(inputs, *, beta, reduction="mean"):
    c = inputs["c", "value", "q"]
    rate = donsker_varadhan(inputs)
    fit = log_categorical(c, inputs["p(c|z)", "logits", "q"]).mean()
    return whole(beta * rate - fit, c.shape[0], reduction), {I: rate.detach(), "E_q[log p(c|z)]": fit.detach()}


def critic_loss(name, inputs, *, beta):
    if name != I:
        raise ValueError(f"no critic for {name!r}")
    return -donsker_varadhan(inputs)


def donsker_varadhan(inputs):
    f, g = inputs[I, "critic", "q"], inputs[I, "critic_reference", "q"].reshape(-1)
    return f.mean() - (g.logsumexp(0) - math.log(len(g)))


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)
