# VAE with a binary code and a learned Bernoulli prior.
#
#     minimise  beta I_q(X;Z) - I_q(Z;X),      q = data(x) q(z|x),   z a vector of L bits,   beta >= 0.
#
# Derivation.  I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)); I_q(Z;X) = H_q(X) + E_q log p(x|z) + KL(q(x|z)||p(x|z)).
#
#     bound = beta KL(q(z|x)||p(z)) - E_q[log p(x|z)],          left out: the constant -H_q(X)
#     gap   = beta KL(q(z)||p(z)) + KL(q(x|z)||p(x|z)),         both closable.
#
# With logits a and a' per bit and s = sigmoid(a): E log q = s a - softplus(a), E log p = s a' - softplus(a'), so that
# KL = s (a - a') - softplus(a) + softplus(a').
#
# Inputs: (q(z|x), logits, q) (B,L); (p(z), logits, q), with no conditioner: (L,), or anything that broadcasts;
# (p(x|z), logits, q) (S,B,D); (x, value, q) (B,D).

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


def _log_bernoulli(value, logits):
    return (value * logits - F.softplus(logits)).sum(-1)


def loss(inputs, *, beta, reduction="mean"):
    code, prior = inputs["q(z|x)", "logits", "q"], inputs["p(z)", "logits", "q"]
    rate = _rows((code.sigmoid() * (code - prior) - F.softplus(code) + F.softplus(prior)).sum(-1))
    fit = _rows(_log_bernoulli(inputs["x", "value", "q"], inputs["p(x|z)", "logits", "q"]))
    terms = {
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log p(x|z)]": fit.mean().detach(),
    }
    return _reduce(beta * rate - fit, reduction), terms
