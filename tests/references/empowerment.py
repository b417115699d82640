"""Variational empowerment (Mohamed & Rezende 2015): maximise I_w(T;A|S) >= H_w(A|S) + E_w log r(a|s,t).

w(a|s) is the policy, t the state that the action leads to, r the inverse model that reads the action off. The entropy of
the policy is exact, the action that r is asked for is the relaxed draw that went through the environment. The loss is
minus the bound; its terms are the two expected log-densities."""


def loss(inputs, *, reduction="mean"):
    policy = inputs["w(a|s)", "logits", "w"].log_softmax(-1)
    own = rows((policy.exp() * policy).sum(-1))
    read = rows((inputs["a", "sample", "w"] * inputs["r(a|s,t)", "logits", "w"].log_softmax(-1)).sum(-1))
    terms = {"E_w[log w(a|s)]": own.mean().detach(), "E_w[log r(a|s,t)]": read.mean().detach()}
    return reduce(own - read, reduction), terms


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
