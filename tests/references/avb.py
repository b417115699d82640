"""Adversarial variational Bayes (Mescheder et al. 2017): minimise KL(q(x,z)||data(x)p(z)) - I_q(Z;X).

The encoder has no density. A logistic critic tells its pairs (x, z) from pairs of data and prior; at its optimum it is
log q(z|x) - log p(z), and the encoder minimises its mean on its own pairs. The decoder's term is E_q log p(x|z)."""

import torch.nn.functional as F

KL = "KL(q(x,z)||data(x)p(z))"


def loss(inputs, *, reduction="mean"):
    rate = rows(inputs[KL, "critic", "q"])
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {KL: rate.mean().detach(), "E_q[log p(x|z)]": fit.mean().detach()}
    return reduce(rate - fit, reduction), terms


def critic_loss(name, inputs):
    if name != KL:
        raise ValueError(f"no critic for {name!r}")
    (other,) = (value for (of, role, _), value in inputs.items() if (of, role) == (KL, "critic_reference"))
    return tell_apart(inputs[KL, "critic", "q"], other)


def rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def reduce(values, reduction):
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"unknown reduction {reduction!r}")


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def tell_apart(f_p, f_q):
    """The logistic loss of telling samples of P from samples of Q."""
    return F.softplus(-f_p).mean() + F.softplus(f_q).mean()
