"""Deterministic information bottleneck (Strouse & Schwab 2017): minimise H_q(Z) - beta I_q(Z;C), Z one of M symbols.

H_q(Z) = CE(q(z)||p(z)) - KL(q(z)||p(z)) and I_q(Z;C) = H_q(C) + E_q log p(c|z) + KL(q(c|z)||p(c|z)), so that, without
the constant beta H_q(C), the bound is

    -E_q[log p(z)] - beta E_q[log p(c|z)],   gap KL(q(z)||p(z)) + beta KL(q(c|z)||p(c|z)).

E_q[log p(z)] = mean_x sum_z q(z|x) log p(z) exactly; the classifier reads a relaxed draw of z."""


def loss(inputs, *, beta, reduction="mean"):
    share = inputs["q(z|x)", "logits", "q"].softmax(-1)
    code = rows((share * inputs["p(z)", "logits", "q"].log_softmax(-1)).sum(-1))
    fit = rows(log_categorical(inputs["c", "value", "q"], inputs["p(c|z)", "logits", "q"]))
    terms = {"E_q[log p(z)]": code.mean().detach(), "E_q[log p(c|z)]": fit.mean().detach()}
    return reduce(-code - beta * fit, reduction), terms


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


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)
