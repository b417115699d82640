# Symmetric information bottleneck without decoders (after Abdelaleem et al. 2023).
#
#     minimise  I_q(X1;Z1) + I_q(X2;Z2) - beta I_q(Z1;Z2),      q = data(x1,x2) q(z1|x1) q(z2|x2),   beta >= 0.
#
# Derivation.  I_q(Xv;Zv) = KL(q(zv|xv)||p(zv)) - KL(q(zv)||p(zv)) for either view.  I_q(Z1;Z2) needs a lower bound: with
# f_ij the critic on (z1_i, z2_j), I_q(Z1;Z2) >= E mean_i [ f_ii - log 1/B sum_j e^{f_ij} ], the sum over z2, j = i included.
#
#     bound = KL(q(z1|x1)||p(z1)) + KL(q(z2|x2)||p(z2)) - beta I_q(Z1;Z2) [infonce]
#     gap   = KL(q(z1)||p(z1)) + KL(q(z2)||p(z2)), closable, + beta (I_q(Z1;Z2) - its estimate's expectation).
#
# Inputs: (q(z1|x1), mean | logvar, q) (B,L1); (q(z2|x2), mean | logvar, q) (B,L2); (I_q(Z1;Z2), scores, q) (B,B).

import math


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


def _infonce(scores):
    """Each row tells its own partner from the batch's; the sum in the denominator includes it."""
    size = scores.shape[-1]
    diagonal = scores.diagonal(dim1=-2, dim2=-1)
    return (diagonal - scores.logsumexp(-1) + math.log(size)).mean()


def loss(inputs, *, beta, reduction="mean"):
    mean, logvar = inputs["q(z1|x1)", "mean", "q"], inputs["q(z1|x1)", "logvar", "q"]
    first = _rows(_kl_to_standard_normal(mean, logvar)).mean()
    second = _rows(_kl_to_standard_normal(inputs["q(z2|x2)", "mean", "q"], inputs["q(z2|x2)", "logvar", "q"])).mean()
    shared = _infonce(inputs["I_q(Z1;Z2)", "scores", "q"])
    terms = {
        "KL(q(z1|x1)||p(z1))": first.detach(),
        "KL(q(z2|x2)||p(z2))": second.detach(),
        "I_q(Z1;Z2)": shared.detach(),
    }
    return _reduce(first + second - beta * shared, mean.shape[0], reduction), terms
