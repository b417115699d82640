# Information bottleneck whose decoder has a linear head over a large vocabulary (Alemi et al. 2017; Wijmans et al. 2025).
#
#     minimise  beta I_q(X;Z) - I_q(Z;T),      q = data(x,t) q(z|x),   t one of K classes,   beta >= 0.
#
# Derivation.  I_q(X;Z) = KL(q(z|x)||p(z)) - KL(q(z)||p(z)); I_q(Z;T) = H_q(T) + E_q log p(t|z) + KL(q(t|z)||p(t|z)).
#
#     bound = beta KL(q(z|x)||p(z)) - E_q[log p(t|z)],          left out: the constant -H_q(T)
#     gap   = beta KL(q(z)||p(z)) + KL(q(t|z)||p(t|z)),         both closable.
#
# p(t|z) = softmax(W h(z) + b)_t, h what the network makes of z, W and b the same for all rows.
#
# Inputs: (q(z|x), mean | logvar, q) (B,L); (p(t|z), hidden, q) (S,B,N); (p(t|z), weight, q) (K,N); (p(t|z), bias, q) (K,);
# (t, value, q) (B,).


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


def loss(inputs, *, beta, reduction="mean"):
    mean, logvar = inputs["q(z|x)", "mean", "q"], inputs["q(z|x)", "logvar", "q"]
    rate = 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)
    hidden, weight, bias = (inputs["p(t|z)", role, "q"] for role in ("hidden", "weight", "bias"))
    log_p = (hidden @ weight.T + bias).log_softmax(-1)
    index = inputs["t", "value", "q"].expand(log_p.shape[:-1]).unsqueeze(-1)
    fit = _rows(log_p.gather(-1, index).squeeze(-1))
    terms = {"KL(q(z|x)||p(z))": rate.mean().detach(), "E_q[log p(t|z)]": fit.mean().detach()}
    return _reduce(beta * rate - fit, reduction), terms
