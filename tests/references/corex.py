"""Correlation explanation (Ver Steeg & Galstyan 2014), bound of Gao et al. 2019:

    maximise TC(X) - TC(X|Z) = sum_i I_q(Z;X_i) - I_q(X1,X2,X3;Z)
          >= sum_i E_q[log p(x_i|z)] - KL(q(z|x1,x2,x3)||p(z))   (left out: sum_i H_q(X_i)).

The loss is minus that."""

import torch.nn.functional as F


def loss(inputs, *, reduction="mean"):
    rate = rows(kl_standard(inputs["q(z|x1,x2,x3)", "mean", "q"], inputs["q(z|x1,x2,x3)", "logvar", "q"]))
    fits = {
        f"E_q[log p(x{i}|z)]": rows(log_bernoulli(inputs[f"x{i}", "value", "q"], inputs[f"p(x{i}|z)", "logits", "q"]))
        for i in (1, 2, 3)
    }
    terms = {text: value.mean().detach() for text, value in fits.items()}
    terms["KL(q(z|x1,x2,x3)||p(z))"] = rate.mean().detach()
    return reduce(rate - sum(fits.values()), reduction), terms


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
