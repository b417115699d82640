"""Adversarial autoencoder (Makhzani et al. 2016): B - beta R, with B = KL(q(z)||p(z)) read off a logistic
critic and R = E_q[log p(x|z)]. H_q(X) is left out. Only the encoder learns in B, on the samples of q(z), so
the model minimises the critic's value on them."""

import torch.nn.functional as F

B = "KL(q(z)||p(z))"


def loss(inputs, *, beta, reduction="mean"):
    f_q = inputs[B, "critic", "q"]
    logits = inputs["p(x|z)", "logits", "q"]
    x = inputs["x", "value", "q"]

    kl = rows(f_q)
    log_lik = rows(-F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1))

    per_row = kl - beta * log_lik
    terms = {B: kl.mean().detach(), "E_q[log p(x|z)]": log_lik.mean().detach()}
    return reduce(per_row, reduction), terms


def critic_loss(name, inputs, *, beta):
    if name != B:
        raise ValueError(f"no critic for {name!r}")
    f_q = inputs[B, "critic", "q"]
    f_p = inputs[B, "critic_reference", "p"]
    return softplus(-f_q).mean() + softplus(f_p).mean()


def softplus(t):
    return -F.logsigmoid(-t)


def rows(t):
    """(S, B) or (B,) -> (B,)"""
    return t.mean(0) if t.dim() == 2 else t


def reduce(per_row, reduction):
    if reduction == "none":
        return per_row
    if reduction == "mean":
        return per_row.mean()
    if reduction == "sum":
        return per_row.mean() * per_row.shape[0]
    raise ValueError(f"unknown reduction {reduction!r}")
