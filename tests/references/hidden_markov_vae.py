"""Variational hidden Markov model of three steps: the negative evidence bound of the chain z1, z2, z3 of K states, x_t
emitted by z_t, with a chain as encoder, all states summed out:

    KL(q(z1|x)||p(z1)) + E KL(q(z2|z1,x)||p(z2|z1)) + E KL(q(z3|z2,x)||p(z3|z2)) - sum_t E log p(x_t|z_t).

What depends on a state has its class axis before the rows, several in the order of the variables: q(z2|z1,x2,x3) has
logits (K, B, K), p(x2|z2) (K, B, D2); p(z2|z1), the same for all rows, (K, K) or (K, B, K)."""

import torch.nn.functional as F

CHAIN = ("q(z1|x1,x2,x3)", "q(z2|z1,x2,x3)", "q(z3|z2,x3)")


def loss(inputs, *, reduction="mean"):
    first, second, third = (inputs[factor, "logits", "q"].log_softmax(-1) for factor in CHAIN)
    one = first.exp().T  # (K, B): the law of z1, then of z2 and z3
    two = (one.unsqueeze(-1) * second.exp()).sum(0).T
    three = (two.unsqueeze(-1) * third.exp()).sum(0).T
    start = (first.exp() * (first - inputs["p(z1)", "logits", "q"].log_softmax(-1))).sum(-1)
    middle = (one * step(second, inputs["p(z2|z1)", "logits", "q"])).sum(0)
    end = (two * step(third, inputs["p(z3|z2)", "logits", "q"])).sum(0)
    fits = [
        (law * log_bernoulli(inputs[f"x{t}", "value", "q"], inputs[f"p(x{t}|z{t})", "logits", "q"])).sum(0)
        for t, law in ((1, one), (2, two), (3, three))
    ]
    terms = {
        "KL(q(z1|x1,x2,x3)||p(z1))": start.mean().detach(),
        "KL(q(z2|z1,x2,x3)||p(z2|z1))": middle.mean().detach(),
        "KL(q(z3|z2,x3)||p(z3|z2))": end.mean().detach(),
    } | {f"E_q[log p(x{t}|z{t})]": fit.mean().detach() for t, fit in enumerate(fits, 1)}
    return reduce(start + middle + end - sum(fits), reduction), terms


def step(own, logits):
    """KL of the encoder's next state to the model's, for each state before: (K, B)."""
    model = logits.log_softmax(-1)
    model = model.unsqueeze(1) if model.dim() == 2 else model
    return (own.exp() * (own - model)).sum(-1)


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
