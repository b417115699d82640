# Two views fused into one code (the joint encoder of Suzuki et al. 2017).
#
#     minimise  I_q(X1,X2;Z) - beta I_q(Z;X1,X2),      q = data(x1,x2) q(z|x1,x2),   beta >= 0.
#
# Derivation.  I_q(X1,X2;Z) = KL(q(z|x1,x2)||p(z)) - KL(q(z)||p(z)).  In p the views are independent given z, so that
# p(x1,x2|z) = p(x1|z) p(x2|z) and I_q(Z;X1,X2) = H_q(X1,X2) + E_q log p(x1|z) + E_q log p(x2|z) + KL(q(x1,x2|z)||p(x1,x2|z)).
#
#     bound = KL(q(z|x1,x2)||p(z)) - beta E_q[log p(x1|z)] - beta E_q[log p(x2|z)],   left out: -beta H_q(X1,X2)
#     gap   = KL(q(z)||p(z)) + beta KL(q(x1,x2|z)||p(x1,x2|z)); the second part is closable as far as the views are
#             independent given z.
#
# p(x2|z) is an isotropic normal of fixed scale 0.5.
#
# Inputs: (q(z|x1,x2), mean | logvar, q) (B,L); (p(x1|z), logits, q) (S,B,D1); (p(x2|z), mean, q) (S,B,D2);
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


def _log_isotropic(value, mean, scale):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


SCALE = 0.5


def loss(inputs, *, beta, reduction="mean"):
    rate = _rows(_kl_to_standard_normal(inputs["q(z|x1,x2)", "mean", "q"], inputs["q(z|x1,x2)", "logvar", "q"]))
    first = _rows(_log_bernoulli(inputs["x1", "value", "q"], inputs["p(x1|z)", "logits", "q"]))
    second = _rows(_log_isotropic(inputs["x2", "value", "q"], inputs["p(x2|z)", "mean", "q"], SCALE))
    terms = {
        "KL(q(z|x1,x2)||p(z))": rate.mean().detach(),
        "E_q[log p(x1|z)]": first.mean().detach(),
        "E_q[log p(x2|z)]": second.mean().detach(),
    }
    return _reduce(rate - beta * first - beta * second, reduction), terms
