"""InfoBot (Goyal et al. 2019), with demonstrated actions for the return: minimise beta I_q(G;Z|S) - I_q(Z;A|S).

I_q(G;Z|S) <= KL(q(z|s,g)||p(z)),   I_q(Z;A|S) >= H_q(A|S) + E_q log p(a|s,z), the constant left out."""


def loss(inputs, *, beta, reduction="mean"):
    rate = rows(kl_standard(inputs["q(z|s,g)", "mean", "q"], inputs["q(z|s,g)", "logvar", "q"]))
    fit = rows(log_categorical(inputs["a", "value", "q"], inputs["p(a|s,z)", "logits", "q"]))
    terms = {"KL(q(z|s,g)||p(z))": rate.mean().detach(), "E_q[log p(a|s,z)]": fit.mean().detach()}
    return reduce(beta * rate - fit, reduction), terms


def rows(values):
    """One number per row: the Monte-Carlo axis, where there is one, is averaged away."""
    return values.mean(0) if values.dim() == 2 else values


def reduce(values, reduction):
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"unknown reduction {reduction!r}")


def kl_standard(mean, logvar):
    """KL(N(mean, e^logvar) || N(0, 1))"""
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)
