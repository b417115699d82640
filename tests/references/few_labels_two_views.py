"""Two views, many pairs, few labels: with q the labelled and u the unlabelled pairs, and one encoder for each view,

    minimise I_u(X1;Z1) + I_u(X2;Z2) - beta I_q(Z1;C) - beta I_q(Z2;C) - gamma I_u(Z1;Z2).

The rates through the priors, the classes through a classifier for each code (left out: -2 beta H_q(C)), the information of
the codes by InfoNCE over the unlabelled batch."""

import math

SHARED = "I_u(Z1;Z2)"


def loss(inputs, *, beta, gamma, reduction="mean"):
    rates = {
        f"KL(u(z{k}|x{k})||p(z{k}))": kl_standard(
            inputs[f"q(z{k}|x{k})", "mean", "u"], inputs[f"q(z{k}|x{k})", "logvar", "u"]
        ).mean()
        for k in (1, 2)
    }
    c = inputs["c", "value", "q"]
    fits = {f"E_q[log {factor}]": log_categorical(c, inputs[factor, "logits", "q"]).mean() for factor in ("p(c|z1)", "r(c|z2)")}
    shared = infonce_of(inputs[SHARED, "scores", "u"])
    total = sum(rates.values()) - beta * sum(fits.values()) - gamma * shared
    terms = {text: value.detach() for text, value in (rates | fits | {SHARED: shared}).items()}
    return whole(total, c.shape[0], reduction), terms


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)


def infonce_of(scores):
    """Each row tells its own partner from the batch's; the mean in the denominator includes it."""
    return (scores.diagonal() - scores.logsumexp(-1) + math.log(scores.shape[-1])).mean()
