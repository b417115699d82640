"""VQ-VAE (van den Oord, Vinyals & Kavukcuoglu 2017), equation 3, for codes of M symbols each:

    L = log p(x|z_q(x)) + ||sg[z_e(x)] - e||^2 + beta ||z_e(x) - sg[e]||^2,  beta = 0.25,

where the first term is meant with a minus, e is the codebook's vector that is nearest to the encoder's output z_e(x) (equations 1 and 2),
and sg stops gradients. The relative entropy of q(z|x), which is one-hot, to a uniform prior over K classes is log K a symbol, a constant
that the paper leaves out; normalising constants stay in here. The decoder is called with z_e + sg[z_q - z_e], outside of the loss."""

import math


def loss(inputs, *, reduction="mean"):
    z_e = inputs["q(z|x)", "code", "q"]  # (B, M, E)
    codebook = inputs["q(z|x)", "codebook", "q"]  # (K, E)
    distances = ((z_e.unsqueeze(-2) - codebook) ** 2).sum(-1)  # (B, M, K)
    nearest = distances.detach().argmin(-1)
    e = codebook[nearest]
    rate = z_e.shape[-2] * math.log(codebook.shape[0])
    fit = rows(log_normal(inputs["x", "value", "q"], inputs["p(x|z)", "mean", "q"]))
    moves_codebook = ((z_e.detach() - e) ** 2).sum((-2, -1))
    commitment = ((z_e - e.detach()) ** 2).sum((-2, -1))
    terms = {
        "KL(q(z|x)||p(z))": fit.new_tensor(rate),
        "E_q[log p(x|z)]": fit.mean().detach(),
        "codebook[q(z|x)]": moves_codebook.mean().detach(),
        "commitment[q(z|x)]": commitment.mean().detach(),
    }
    return reduce(rate - fit + moves_codebook + 0.25 * commitment, reduction), terms


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


def log_normal(value, mean):
    """log N(value; mean, 1)"""
    return -0.5 * ((value - mean) ** 2 + math.log(2 * math.pi)).sum(-1)
