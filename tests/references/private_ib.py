# Private information bottleneck, the complexity-leakage-utility trade-off of Razeghi et al. 2022.
#
#     minimise  I_q(X;Z) - beta I_q(Z;C) + gamma I_q(S;Z),      q = data(x,c,s) q(z|x),   beta, gamma >= 0.
#
# Derivation, term by term.
#   complexity   I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z))                                   <= KL(q(z|x)||p(z))
#   utility      I_q(Z;C) = H_q(C) + E_q log p(c|z) + KL(q(c|z)||p(c|z))                        >= H_q(C) + E_q log p(c|z)
#   leakage      needs an upper bound.  S - X - Z gives I_q(S;Z) = I_q(X;Z) - I_q(X;Z|S), where
#                I_q(X;Z|S) = H_q(X|S) + E_q log d(x|z,s) + KL(q(x|z,s)||d(x|z,s)), so that
#                I_q(S;Z) = KL(q(z|x)||p(z)) - E_q log d(x|z,s) - H_q(X|S) - KL(q(z)||p(z)) - KL(q(x|z,s)||d(x|z,s)).
# Without d there remain I_q(S;Z) <= I_q(X;Z) and <= H_q(S), which drop an information or an entropy that nothing closes.
# The first term and the leakage share a text, whose coefficients add up:
#
#     bound = (1 + gamma) KL(q(z|x)||p(z)) - beta E_q[log p(c|z)] - gamma E_q[log d(x|z,s)],
#             left out: the constants -beta H_q(C) - gamma H_q(X|S)
#     gap   = (1 + gamma) KL(q(z)||p(z)) + beta KL(q(c|z)||p(c|z)) + gamma KL(q(x|z,s)||d(x|z,s)),   all closable.
#
# d(x|z,s) is an isotropic normal of scale 1.  s is a conditioner only: the loss does not take it.
#
# Inputs: (q(z|x), mean | logvar, q) (B,L); (p(c|z), logits, q) (S,B,K); (c, value, q) (B,); (d(x|z,s), mean, q) (S,B,D);
# (x, value, q) (B,D).

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


def _kl_to_standard_normal(mean, logvar):
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def _log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    index = index.expand(logp.shape[:-1]).unsqueeze(-1)
    return logp.gather(-1, index).squeeze(-1)


def _log_isotropic(value, mean, scale):
    return (-0.5 * ((value - mean) / scale) ** 2 - math.log(scale) - 0.5 * math.log(2 * math.pi)).sum(-1)


SCALE = 1.0


def loss(inputs, *, beta, gamma, reduction="mean"):
    rate = _rows(_kl_to_standard_normal(inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]))
    utility = _rows(_log_categorical(inputs["c", "value", "q"], inputs["p(c|z)", "logits", "q"]))
    given_s = _rows(_log_isotropic(inputs["x", "value", "q"], inputs["d(x|z,s)", "mean", "q"], SCALE))
    terms = {
        "KL(q(z|x)||p(z))": rate.mean().detach(),
        "E_q[log p(c|z)]": utility.mean().detach(),
        "E_q[log d(x|z,s)]": given_s.mean().detach(),
    }
    return _reduce((1 + gamma) * rate - beta * utility - gamma * given_s, reduction), terms
