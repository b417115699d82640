"""Variational hidden Markov model of three steps: the negative evidence bound of the chain z1, z2, z3 of K states, x_t
emitted by z_t, with a chain as encoder, the states relaxed draws:

    KL(q(z1|x)||p(z1)) + E KL(q(z2|z1,x)||p(z2|z1)) + E KL(q(z3|z2,x)||p(z3|z2)) - sum_t E log p(x_t|z_t).

Every state is drawn last of what it depends on, so that each relative entropy is closed at the state before."""

import torch.nn.functional as F

CHAIN = (("q(z1|x1,x2,x3)", "p(z1)"), ("q(z2|z1,x2,x3)", "p(z2|z1)"), ("q(z3|z2,x3)", "p(z3|z2)"))


def loss(inputs, *, reduction="mean"):
    rates, fits = {}, {}
    for own, model in CHAIN:
        log_q, log_p = (inputs[factor, "logits", "q"].log_softmax(-1) for factor in (own, model))
        rates[f"KL({own}||{model})"] = rows((log_q.exp() * (log_q - log_p)).sum(-1))
    for t in "123":
        value = log_bernoulli(inputs[f"x{t}", "value", "q"], inputs[f"p(x{t}|z{t})", "logits", "q"])
        fits[f"E_q[log p(x{t}|z{t})]"] = rows(value)
    terms = {text: value.mean().detach() for text, value in (rates | fits).items()}
    return reduce(sum(rates.values()) - sum(fits.values()), reduction), terms


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
