# VAE with two layers of latents.
#
#     minimise  KL(data(x)||p(x)),      q = data(x) q(z1|x) q(z2|z1),   p = p(z2) p(z1|z2) p(x|z1).
#
# Derivation.  KL(data(x)||p(x)) = -H(X) - E log p(x).  By the relative entropy of the joints,
# KL(data(x)||p(x)) = KL(q(x,z1,z2)||p(x,z1,z2)) - KL(q(z1,z2|x)||p(z1,z2|x)), and the logarithms of the joints are sums:
#
#     bound = E_q[log q(z1|x)] + E_q[log q(z2|z1)] - E_q[log p(z2)] - E_q[log p(z1|z2)] - E_q[log p(x|z1)]
#           = E_q[log q(z1|x)] + KL(q(z2|z1)||p(z2)) - E_q[log p(z1|z2)] - E_q[log p(x|z1)],   left out: -H(X)
#     gap   = KL(q(z1|x)||p(z1|x)) + KL(q(z2|z1)||p(z2|z1)),   closable   (given z1, z2 is independent of x on both sides).
#
# KL(q(z2|z1)||p(z2)) is closed at each draw of z1.  E_q[log q(z1|x) - log p(z1|z2)] is NOT the closed relative entropy
# of the two normals: given x, z1 depends on z2.  Its entropy part alone is closed, E_q[log q(z1|x)] = -H_q(Z1|X);
# log p(z1|z2) is evaluated at the pair (z1, z2) that was drawn, and z1 carries a gradient.
#
# Inputs: (q(z1|x), logvar, q) (B,L1); (z1, sample, q) (S,B,L1); (q(z2|z1), mean | logvar, q) (S,B,L2), at that draw;
# (p(z1|z2), mean | logvar, q) (S,B,L1), at a draw z2 ~ q(z2|z1); (p(x|z1), logits, q) (S,B,D); (x, value, q) (B,D).
# The entropy of a normal does not depend on its mean, which therefore enters through the draws alone.
#
# entropy="sampled" evaluates log q(z1|x) at the draw instead, another estimate of the same number, and needs
# (q(z1|x), mean, q) (B,L1) as well.

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


def _log_normal(value, mean, logvar):
    return -0.5 * ((value - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)


def _log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def loss(inputs, *, reduction="mean", entropy="closed"):
    logvar, z1 = inputs["q(z1|x)", "logvar", "q"], inputs["z1", "sample", "q"]
    if entropy == "closed":
        encoder = _rows(-0.5 * (logvar + 1 + math.log(2 * math.pi)).sum(-1))
    else:
        encoder = _rows(_log_normal(z1, inputs["q(z1|x)", "mean", "q"], logvar))
    upper = _rows(_kl_to_standard_normal(inputs["q(z2|z1)", "mean", "q"], inputs["q(z2|z1)", "logvar", "q"]))
    lower = _rows(_log_normal(z1, inputs["p(z1|z2)", "mean", "q"], inputs["p(z1|z2)", "logvar", "q"]))
    fit = _rows(_log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z1)", "logits", "q"]))
    terms = {
        "E_q[log q(z1|x)]": encoder.mean().detach(),
        "KL(q(z2|z1)||p(z2))": upper.mean().detach(),
        "E_q[log p(z1|z2)]": lower.mean().detach(),
        "E_q[log p(x|z1)]": fit.mean().detach(),
    }
    return _reduce(encoder + upper - lower - fit, reduction), terms
