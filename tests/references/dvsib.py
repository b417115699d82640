# Deep variational symmetric information bottleneck (Abdelaleem et al. 2023).
#
#     minimise  I_q(X1;Z1) + I_q(X2;Z2) - beta I_q(Z1;Z2) - beta I_q(Z1;X1) - beta I_q(Z2;X2),
#     q = data(x1,x2) q(z1|x1) q(z2|x2),   beta >= 0.
#
# Derivation, for either view v:  I_q(Xv;Zv) = KL(q(zv|xv)||p(zv)) - KL(q(zv)||p(zv));
# I_q(Zv;Xv) = H_q(Xv) + E_q log p(xv|zv) + KL(q(xv|zv)||p(xv|zv)).  I_q(Z1;Z2) >= E mean_i [ f_ii - log 1/B sum_j e^{f_ij} ],
# f_ij the critic on (z1_i, z2_j), the sum over z2, j = i included.
#
#     bound = KL(q(z1|x1)||p(z1)) + KL(q(z2|x2)||p(z2)) - beta I_q(Z1;Z2) [infonce]
#             - beta E_q[log p(x1|z1)] - beta E_q[log p(x2|z2)],          left out: -beta (H_q(X1) + H_q(X2))
#     gap   = sum_v KL(q(zv)||p(zv)) + beta sum_v KL(q(xv|zv)||p(xv|zv)), closable, + beta (I_q(Z1;Z2) - its estimate's
#             expectation).
#
# p(x1|z1) is an isotropic normal of scale 1.
#
# Inputs: (q(z1|x1), mean | logvar, q) (B,L1); (q(z2|x2), mean | logvar, q) (B,L2); (I_q(Z1;Z2), scores, q) (B,B);
# (p(x1|z1), mean, q) (S,B,D1); (p(x2|z2), logits, q) (S,B,D2); (x1, value, q) (B,D1); (x2, value, q) (B,D2).

import math

import torch.nn.functional as F


def _rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def _reduce(mean, size, reduction):
    if reduction == "mean":
        return mean
    if reduction == "sum":
        return mean * size
    if reduction == "none":
        raise ValueError("reduction 'none': I_q(Z1;Z2) compares the rows of a batch, it is no per-row average")
    raise ValueError(f"unknown reduction {reduction!r}")


def _kl_to_standard_normal(mean, logvar):
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def _log_isotropic(value, mean, scale):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


def _log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def _infonce(scores):
    """Each row tells its own partner from the batch's; the sum in the denominator includes it."""
    size = scores.shape[-1]
    diagonal = scores.diagonal(dim1=-2, dim2=-1)
    return (diagonal - scores.logsumexp(-1) + math.log(size)).mean()


SCALE = 1.0


def loss(inputs, *, beta, reduction="mean"):
    mean, logvar = inputs["q(z1|x1)", "mean", "q"], inputs["q(z1|x1)", "logvar", "q"]
    first = _rows(_kl_to_standard_normal(mean, logvar)).mean()
    second = _rows(_kl_to_standard_normal(inputs["q(z2|x2)", "mean", "q"], inputs["q(z2|x2)", "logvar", "q"])).mean()
    shared = _infonce(inputs["I_q(Z1;Z2)", "scores", "q"])
    fit1 = _rows(_log_isotropic(inputs["x1", "value", "q"], inputs["p(x1|z1)", "mean", "q"], SCALE)).mean()
    fit2 = _rows(_log_bernoulli(inputs["x2", "value", "q"], inputs["p(x2|z2)", "logits", "q"])).mean()
    terms = {
        "KL(q(z1|x1)||p(z1))": first.detach(),
        "KL(q(z2|x2)||p(z2))": second.detach(),
        "I_q(Z1;Z2)": shared.detach(),
        "E_q[log p(x1|z1)]": fit1.detach(),
        "E_q[log p(x2|z2)]": fit2.detach(),
    }
    total = first + second - beta * (shared + fit1 + fit2)
    return _reduce(total, mean.shape[0], reduction), terms
