"""f-GAN (Nowozin et al. 2016) for Pearson's divergence, E_Q (p/q - 1)^2, generator g(u) = (u - 1)^2.

With T = g'(e^f) = 2 (e^f - 1) and the conjugate g*(T) = e^f g'(e^f) - g(e^f) = e^(2f) - 1, the divergence is at least
E_data T - E_model g*(T). The generator minimises -E_model T, the paper's surrogate; the constant 2 of it is left out."""

import torch

F_P = "F[pearson](data(x)||p(x))"


def loss(inputs, *, reduction="mean"):
    f_data, f_p = inputs[F_P, "critic", "data"], inputs[F_P, "critic_reference", "p"]
    return whole(-2 * f_p.exp().mean(), f_data.shape[-1], reduction), {F_P: dual(f_data, f_p).detach()}


def critic_loss(name, inputs):
    if name != F_P:
        raise ValueError(f"no critic for {name!r}")
    return -dual(inputs[F_P, "critic", "data"], inputs[F_P, "critic_reference", "p"])


def dual(f_data, f_p):
    return (2 * torch.expm1(f_data)).mean() - torch.expm1(2 * f_p).mean()


def whole(mean, size, reduction):
    """A loss that is no per-row average: its mean, or that times the rows of the first source."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction {reduction!r}: the loss compares rows, it is no per-row average")
    return mean * size if reduction == "sum" else mean
