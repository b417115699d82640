"""Semi-supervised information bottleneck (Voloshynovskiy et al. 2020). q is labelled, u unlabelled:
A_u - B_u - beta_c (E_q[log p(c|z)] - KL(q(c)||u(c))) - beta_x (E_u[log p(x|z)] - KL(u(x)||p(x))).
B_u and the data-space term are read off logistic critics: the encoder learns in B_u, on the samples of u(z) (the
critic's value); the decoder in the data-space term, on the samples of p(x) (the non-saturating surrogate)."""

import math

import torch
import torch.nn.functional as F

A_U = "KL(u(z|x)||p(z))"
B_U = "KL(u(z)||p(z))"
D_U = "KL(u(x)||p(x))"
D_C = "KL(q(c)||u(c))"


def loss(inputs, *, beta_c, beta_x, reduction="mean"):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: {D_C} and others take rows of several batches")
    mu = inputs["q(z|x)", "mean", "u"]
    logvar = inputs["q(z|x)", "logvar", "u"]
    c_logits = inputs["p(c|z)", "logits", "q"]
    c = inputs["c", "value", "q"]
    c_logits_u = inputs["p(c|z)", "logits", "u"]
    x_logits = inputs["p(x|z)", "logits", "u"]
    x = inputs["x", "value", "u"]

    kl = (-0.5 * (1 + logvar - mu**2 - torch.exp(logvar)).sum(-1)).mean()
    latent = inputs[B_U, "critic", "u"].mean()
    label = categorical(c_logits, c).mean()
    marginal = class_marginal_kl(c, c_logits_u)
    log_lik = (-F.binary_cross_entropy_with_logits(x_logits, x.expand_as(x_logits), reduction="none").sum(-1)).mean()
    data = inputs[D_U, "critic", "u"].mean()
    data_surrogate = softplus(-inputs[D_U, "critic_reference", "p"]).mean()

    total = kl - latent - beta_c * label + beta_c * marginal - beta_x * log_lik + beta_x * data_surrogate
    terms = {
        A_U: kl.detach(),
        B_U: latent.detach(),
        "E_q[log p(c|z)]": label.detach(),
        D_C: marginal.detach(),
        "E_u[log p(x|z)]": log_lik.detach(),
        D_U: data.detach(),
    }
    return total * c.shape[0] if reduction == "sum" else total, terms


def critic_loss(name, inputs, *, beta_c, beta_x):
    if name not in (B_U, D_U):
        raise ValueError(f"no critic for {name!r}")
    f_u = inputs[name, "critic", "u"]
    f_p = inputs[name, "critic_reference", "p"]
    return softplus(-f_u).mean() + softplus(f_p).mean()


def class_marginal_kl(c, logits):
    """KL of the labels' frequencies to the mean prediction on the unlabelled rows (and draws)."""
    K = logits.shape[-1]
    frequency = F.one_hot(c, K).to(logits.dtype).mean(0)
    log_p = F.log_softmax(logits.reshape(-1, K), dim=-1)
    log_mean = torch.logsumexp(log_p, dim=0) - math.log(log_p.shape[0])
    present = frequency > 0
    return (frequency[present] * (frequency[present].log() - log_mean[present])).sum()


def categorical(logits, c):
    """log p(c), one per row (and per draw where the logits have a leading S)."""
    c = c.expand(logits.shape[:-1])
    nll = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), c.reshape(-1), reduction="none")
    return -nll.reshape(c.shape)


def softplus(t):
    return -F.logsigmoid(-t)
