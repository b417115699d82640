"""FactorVAE (Kim & Mnih 2018): minimise KL(q(z|x)||p(z)) + gamma TC_q(Z) - I_q(Z;X).

TC_q(Z) is the relative entropy of the codes to codes whose coordinates were permuted over the rows, each on its own. A
logistic critic tells them apart and the encoder minimises its mean on the codes. I_q(Z;X) >= H_q(X) + E_q log p(x|z)."""

import torch.nn.functional as F

TC = "TC_q(Z)"


def loss(inputs, *, gamma, reduction="mean"):
    mean = inputs["q(z|x)", "mean", "q"]
    rate = rows(kl_standard(mean, inputs["q(z|x)", "logvar", "q"]))
    dependence = rows(inputs[TC, "critic", "q"])
    fit = rows(log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        TC: dependence.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return reduce(rate + gamma * dependence - fit, reduction), terms


def critic_loss(name, inputs, *, gamma):
    if name != TC:
        raise ValueError(f"no critic for {name!r}")
    (other,) = (value for (of, role, _), value in inputs.items() if (of, role) == (TC, "critic_reference"))
    return tell_apart(inputs[TC, "critic", "q"], other)


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


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def tell_apart(f_p, f_q):
    """The logistic loss of telling samples of P from samples of Q."""
    return F.softplus(-f_p).mean() + F.softplus(f_q).mean()
