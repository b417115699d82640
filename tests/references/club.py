"""Information bottleneck with the contrastive log-ratio upper bound (Cheng et al. 2020): minimise beta I_q(X;Z) - I_q(Z;C).

    I_q(X;Z) <= E log q(z_i|x_i) - E log q(z_j|x_i), j != i (the encoder is the true conditional);
    I_q(Z;C) >= H_q(C) + E_q log p(c|z), the constant left out.

Draws along S are compared with one another's rows draw by draw."""

import math


def loss(inputs, *, beta, reduction="mean"):
    mean, logvar, z = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"], inputs["z", "sample", "q"]
    every = log_normal(z.unsqueeze(-2), mean, logvar)  # (..., j, i): the draw of row j at the parameters of row i
    size = mean.shape[0]
    own = every.diagonal(dim1=-2, dim2=-1)
    others = (every.sum((-2, -1)) - own.sum(-1)) / (size * (size - 1))
    rate = own.mean() - others.mean()
    fit = log_categorical(inputs["c", "value", "q"], inputs["p(c|z)", "logits", "q"]).mean()
    terms = {"I_q(X;Z)": rate.detach(), "E_q[log p(c|z)]": fit.detach()}
    return whole(beta * rate - fit, size, reduction), terms


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def log_normal(value, mean, logvar):
    return -0.5 * ((value - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)
