# beta-DVCCA (Abdelaleem et al. 2023; Wang et al. 2016), from the paper's objective:
#
#     minimise  I_q(X1;Z) - beta I_q(Z;X1) - beta I_q(Z;X2),      q = data(x1,x2) q(z|x1),   beta >= 0.
#
# Derivation.  I_q(X1;Z) = KL(q(z|x1)||p(z)) - KL(q(z)||p(z)), and for each view v
# I_q(Z;Xv) = H_q(Xv) + E_q log p(xv|z) + KL(q(xv|z)||p(xv|z)).  Hence
#
#     bound = KL(q(z|x1)||p(z)) - beta E_q[log p(x1|z)] - beta E_q[log p(x2|z)],   left out: -beta (H_q(X1) + H_q(X2))
#     gap   = KL(q(z)||p(z)) + beta KL(q(x1|z)||p(x1|z)) + beta KL(q(x2|z)||p(x2|z)),   all closable.
#
# Inputs: (q(z|x1), mean | logvar, q) (B,L); (p(x1|z), logits, q) (S,B,D1); (p(x2|z), mean | logvar, q) (S,B,D2);
# (x1, value, q) (B,D1); (x2, value, q) (B,D2).

import math

import torch.nn.functional as F


def _rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def _reduce(rows, reduction):
    if reduction == "mean":
        return rows.mean()
    if reduction == "sum":
        return rows.sum()
    if reduction == "none":
        return rows
    raise ValueError(f"unknown reduction {reduction!r}")


def _kl_to_standard_normal(mean, logvar):
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def _log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def _log_normal(value, mean, logvar):
    return -0.5 * ((value - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)


def loss(inputs, *, beta, reduction="mean"):
    rate = _rows(_kl_to_standard_normal(inputs["q(z|x1)", "mean", "q"], inputs["q(z|x1)", "logvar", "q"]))
    first = _rows(_log_bernoulli(inputs["x1", "value", "q"], inputs["p(x1|z)", "logits", "q"]))
    second = _rows(
        _log_normal(
            inputs["x2", "value", "q"],
            inputs["p(x2|z)", "mean", "q"],
            inputs["p(x2|z)", "logvar", "q"],
        )
    )
    terms = {
        "KL(q(z|x1)||p(z))": rate.mean().detach(),
        "E_q[log p(x1|z)]": first.mean().detach(),
        "E_q[log p(x2|z)]": second.mean().detach(),
    }
    return _reduce(rate - beta * first - beta * second, reduction), terms
