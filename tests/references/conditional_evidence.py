# The conditional evidence bound (Sohn et al. 2015).
#
#     minimise  KL(q(x|c)||p(x|c)),      q(x,c,z) = data(x,c) q(z|x,c),   p(x|c) = sum_z p(z|c) p(x|z,c).
#
# KL(q(x|c)||p(x|c)) = -H_q(X|C) - E_q log p(x|c), and log p(x|c) = log p(z|c) + log p(x|z,c) - log p(z|x,c) for every z, so that
#
#     -E_q log p(x|c) = KL(q(z|x,c)||p(z|c)) - E_q[log p(x|z,c)] - KL(q(z|x,c)||p(z|x,c)),
#     bound = KL(q(z|x,c)||p(z|c)) - E_q[log p(x|z,c)],      left out: the constant -H_q(X|C).
#
# c is a conditioner only: the loss does not take it.  Inputs: (q(z|x,c), mean | logvar, q) (B,L); (p(z|c), mean | logvar, q) (B,L);
# (p(x|z,c), logits, q) (S,B,D); (x, value, q) (B,D).

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


def _kl_normals(mean, logvar, mean_r, logvar_r):
    quadratic = (logvar.exp() + (mean - mean_r) ** 2) / logvar_r.exp()
    return 0.5 * (quadratic - 1 + logvar_r - logvar).sum(-1)


def _log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def loss(inputs, *, reduction="mean"):
    rate = _rows(
        _kl_normals(
            inputs["q(z|x,c)", "mean", "q"],
            inputs["q(z|x,c)", "logvar", "q"],
            inputs["p(z|c)", "mean", "q"],
            inputs["p(z|c)", "logvar", "q"],
        )
    )
    fit = _rows(_log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z,c)", "logits", "q"]))
    terms = {
        "KL(q(z|x,c)||p(z|c))": rate.mean().detach(),
        "E_q[log p(x|z,c)]": fit.mean().detach(),
    }
    return _reduce(rate - fit, reduction), terms
