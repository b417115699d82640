# Two views in one term, encoded from the first.
#
#     minimise  I_q(X1;Z) - beta I_q(Z;X1,X2),      q = data(x1,x2) q(z|x1),   beta >= 0.
#
# Derivation.  Z - X1 - X2 is a Markov chain in q, so I_q(Z;X1,X2) = I_q(Z;X1) + I_q(Z;X2|X1) = I_q(Z;X1) exactly, and
# I_q(Z;X1) = H_q(X1) + E_q log p(x1|z) + KL(q(x1|z)||p(x1|z)).  Through both decoders one would get
# H_q(X1,X2) + E_q log p(x1|z) + E_q log p(x2|z), whose gap is the above plus KL(q(x2|x1)||p(x2|z)) >= 0: looser by a
# non-negative row, hence never chosen.  So
#
#     bound = KL(q(z|x1)||p(z)) - beta E_q[log p(x1|z)],      left out: the constant -beta H_q(X1)
#     gap   = KL(q(z)||p(z)) + beta KL(q(x1|z)||p(x1|z)),     both closable.
#
# Inputs: (q(z|x1), mean | logvar, q) (B,L); (p(x1|z), logits, q) (S,B,D1); (x1, value, q) (B,D1).  Nothing of x2.

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


def loss(inputs, *, beta, reduction="mean"):
    rate = _rows(_kl_to_standard_normal(inputs["q(z|x1)", "mean", "q"], inputs["q(z|x1)", "logvar", "q"]))
    fit = _rows(_log_bernoulli(inputs["x1", "value", "q"], inputs["p(x1|z)", "logits", "q"]))
    terms = {
        "KL(q(z|x1)||p(z))": rate.mean().detach(),
        "E_q[log p(x1|z)]": fit.mean().detach(),
    }
    return _reduce(rate - beta * fit, reduction), terms
