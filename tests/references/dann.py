"""Domain-adversarial training (Ganin et al. 2016), equations 9 to 15: labels from one source, domains from another, a code z = G_f(x),

    E = L_y - lam L_d,    L_y = -mean log G_y(c|z),    L_d = -mean log G_d(s|z);

features and classifier minimise E, the domain classifier minimises L_d (the gradient of lam L_d is reversed on its way to the features).
The labelled and the domain batch are separate here; with the entropy of the domains, H(S) - L_d estimates I(Z;S) from below."""

import torch.nn.functional as F


def loss(inputs, *, lam, reduction="mean"):
    label = log_categorical(inputs["c", "value", "q"], inputs["p(c|z)", "logits", "q"])
    domain = log_bernoulli(inputs["s", "value", "u"], inputs["a(s|z)", "logits", "u"]).mean()
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: labels and domains come in two batches")
    value = lam * domain - label.mean()
    size = inputs["c", "value", "q"].shape[0]
    terms = {"I_u(Z;S)": domain.detach(), "E_q[log p(c|z)]": label.mean().detach()}
    return value * size if reduction == "sum" else value, terms


def critic_loss(name, inputs, *, lam):
    """L_d, on codes that are cut from the features."""
    return -log_bernoulli(inputs["s", "value", "u"], inputs["a(s|z)", "logits", "u"]).mean()


def log_bernoulli(value, logits):
    """The domains' bits, of which the paper has one."""
    return (value * logits - F.softplus(logits)).sum(-1)


def log_categorical(index, logits):
    logp = logits.log_softmax(-1)
    return logp.gather(-1, index.expand(logp.shape[:-1]).unsqueeze(-1)).squeeze(-1)
