# Conditional entropy bottleneck (Fischer 2020), from the paper's objective:
#
#     minimise  I_q(X;Z|C) - gamma I_q(Z;C),      q(x,c,z) = data(x,c) q(z|x),   gamma >= 0.
#
# Derivation.  I_q(X;Z|C) = H_q(Z|C) - H_q(Z|X,C).  Z sees C only through X, so H_q(Z|X,C) = -E_q log q(z|x), which
# can be computed.  H_q(Z|C) cannot; for any b(z|c), H_q(Z|C) = -E_q log b(z|c) - KL(q(z|c)||b(z|c)).  And
# I_q(Z;C) = H_q(C) + E_q log p(c|z) + KL(q(c|z)||p(c|z)).  Hence
#
#     bound = KL(q(z|x)||b(z|c)) - gamma E_q[log p(c|z)],      left out: the constant -gamma H_q(C)
#     gap   = KL(q(z|c)||b(z|c)) + gamma KL(q(c|z)||p(c|z)),   both closable.
#
# Given x, z does not depend on c, so that E_q[log q(z|x) - log b(z|c)] is the closed relative entropy of two
# diagonal normals, averaged over the pairs (x, c).
#
# Inputs: (q(z|x), mean | logvar, q) (B,L); (b(z|c), mean | logvar, q) (B,L), at each row's c;
# (p(c|z), logits, q) (S,B,K); (c, value, q) (B,).


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


def _log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    index = index.expand(logp.shape[:-1]).unsqueeze(-1)
    return logp.gather(-1, index).squeeze(-1)


def loss(inputs, *, gamma, reduction="mean"):
    rate = _rows(
        _kl_normals(
            inputs["q(z|x)", "mean", "q"],
            inputs["q(z|x)", "logvar", "q"],
            inputs["b(z|c)", "mean", "q"],
            inputs["b(z|c)", "logvar", "q"],
        )
    )
    fit = _rows(_log_categorical(inputs["c", "value", "q"], inputs["p(c|z)", "logits", "q"]))
    terms = {
        "KL(q(z|x)||b(z|c))": rate.mean().detach(),
        "E_q[log p(c|z)]": fit.mean().detach(),
    }
    return _reduce(rate - gamma * fit, reduction), terms
