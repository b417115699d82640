"""InfoMax VAE (Rezaabad & Vishwanath 2020): minimise beta KL(q(z|x)||p(z)) - I_q(Z;X) - alpha I_q(X;Z).

I_q(Z;X) >= H_q(X) + E_q log p(x|z), the constant left out. The reward alpha I_q(X;Z) is the relative entropy of pairs
(x, z) to pairs of different rows, by its dual (Nguyen et al. 2010)

    I >= 1 + E_pairs[f] - E_shuffled[e^f]   (the paper's critic is f + 1),

which encoder and critic both raise: the encoder's gradient passes through both means."""

import torch.nn.functional as F

I = "I_q(X;Z)"  # noqa: E741


def loss(inputs, *, alpha, beta, reduction="mean"):
    mean = inputs["q(z|x)", "mean", "q"]
    rate = kl_standard(mean, inputs["q(z|x)", "logvar", "q"]).mean()
    fit = log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]).mean()
    reward = dual(inputs)
    terms = {"KL(q(z|x)||p(z))": rate.detach(), "E_q[log p(x|z)]": fit.detach(), I: reward.detach()}
    return whole(beta * rate - fit - alpha * reward, mean.shape[0], reduction), terms


def critic_loss(name, inputs, *, alpha, beta):
    if name != I:
        raise ValueError(f"no critic for {name!r}")
    return -dual(inputs)


def dual(inputs):
    return 1 + inputs[I, "critic", "q"].mean() - inputs[I, "critic_reference", "q"].exp().mean()


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)
