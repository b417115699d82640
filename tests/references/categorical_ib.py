# Information bottleneck with a categorical code.
#
#     minimise  I_q(X;Z) - beta I_q(Z;C),      q = data(x,c) q(z|x),   z one of M symbols,   beta >= 0.
#
# Derivation.  I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)); I_q(Z;C) = H_q(C) + E_q log p(c|z) + KL(q(c|z)||p(c|z)).
#
#     bound = KL(q(z|x)||p(z)) - beta E_q[log p(c|z)],          left out: the constant -beta H_q(C)
#     gap   = KL(q(z)||p(z)) + beta KL(q(c|z)||p(c|z)),         both closable.
#
# The prior is uniform, p(z) = 1/M: KL(q(z|x)||p(z)) = log M + sum_z q(z|x) log q(z|x), closed.  E_q[log p(c|z)] is over
# draws of z; where the draw is relaxed (concrete), p(c|z) is evaluated between symbols and the term is a surrogate of
# itself, a matter of where the logits come from and not of this formula.
#
# Inputs: (q(z|x), logits, q) (B,M); (p(c|z), logits, q) (S,B,K); (c, value, q) (B,).

import math


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


def _log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    index = index.expand(logp.shape[:-1]).unsqueeze(-1)
    return logp.gather(-1, index).squeeze(-1)


def loss(inputs, *, beta, reduction="mean"):
    log_code = inputs["q(z|x)", "logits", "q"].log_softmax(-1)
    rate = _rows((log_code.exp() * log_code).sum(-1) + math.log(log_code.shape[-1]))
    fit = _rows(_log_categorical(inputs["c", "value", "q"], inputs["p(c|z)", "logits", "q"]))
    terms = {
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log p(c|z)]": fit.mean().detach(),
    }
    return _reduce(rate - beta * fit, reduction), terms
