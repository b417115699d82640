"""Losses of `benchmarks/gpu.py`, each at a size: its formula by blocks of rows, its goals, its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Given = dict[str, Tensor]
Part = Callable[[Given, slice], Tensor]
"""What some rows add to the loss; all of them together are the loss."""

ELEMENTWISE = (("time", "compile", 1.0), ("floor", "", 1.3))
PAIRS = (("time", "compile", 0.3), ("memory", "by hand", 1 / 20))
FUSED = (("time", "fused", 1.1), ("memory", "fused", 1.0))
PRODUCTS = (("time", "chunked", 1.2), ("memory", "by hand", 1 / 50))
SMALL = (("time", "compile", 1.0),)

GAUSSIAN = {
    "name": "gaussian",
    "objective": "minimize I_q(X;Z) - I_q(Z;X)",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}
CLASSES: dict[str, Any] = {
    "name": "classes",
    "objective": "maximize I_q(Z;T)",
    "variables": {"x": "real[D]", "z": "real[L]", "t": "categorical[K]"},
    "joints": {"q": "data(x,t) q(z|x)", "p": "p(t|z)"},
    "families": {"q(z|x)": "deterministic", "p(t|z)": "categorical"},
}
HEAD = CLASSES | {
    "name": "head",
    "families": {"q(z|x)": "deterministic", "p(t|z)": {"family": "categorical", "head": "linear"}},
}
BY_PRODUCT = {"estimator": "infonce", "critic": "inner-product"}
ONE: dict[str, Any] = {
    "name": "pairs",
    "objective": "maximize I_q(Z1;Z2)",
    "variables": {"x1": "real[D1]", "x2": "real[D2]", "z1": "real[L]", "z2": "real[L]"},
    "joints": {"q": "data(x1,x2) q(z1|x1) q(z2|x2)"},
    "families": {"q(z1|x1)": "deterministic", "q(z2|x2)": "deterministic"},
    "estimators": {"I_q(Z1;Z2)": BY_PRODUCT},
}
BOTH = ONE | {
    "name": "both",
    "objective": "maximize I_q(Z1;Z2)/2 + I_q(Z2;Z1)/2",
    "estimators": {"I_q(Z1;Z2)": BY_PRODUCT, "I_q(Z2;Z1)": BY_PRODUCT},
}

# ------------------------------------------------------------------------------------- formulas, by blocks of rows


def divergence(g: Given, s: slice) -> Tensor:
    """KL(N(m, e^l)||N(0, 1)), summed."""
    mean, logvar = g["z_mean"][s], g["z_logvar"][s]
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum()


def bernoulli(g: Given, s: slice, beta: float = 1.0) -> Tensor:
    """beta KL - log Bernoulli(x)."""
    logits, x = g["x_logits"][s], g["x"][s]
    return (beta * divergence(g, s) + (F.softplus(logits) - x * logits).sum()) / len(g["x"])


def gaussian(g: Given, s: slice, scale: float = 1.0) -> Tensor:
    """-log N(x; mean, scale^2)."""
    fit = 0.5 * ((g["x"][s] - g["x_mean"][s]) / scale) ** 2 + math.log(scale) + 0.5 * math.log(2 * math.pi)
    return fit.sum() / len(g["x"])


def gaussian_bound(g: Given, s: slice) -> Tensor:
    """KL - log N(x; mean, 1)."""
    return divergence(g, s) / len(g["x"]) + gaussian(g, s)


def bottleneck(g: Given, s: slice, beta: float = 1e3) -> Tensor:
    """KL - beta log p(c)."""
    return (divergence(g, s) + beta * F.cross_entropy(g["c_logits"][s], g["c"][s], reduction="sum")) / len(g["c"])


def classes(g: Given, s: slice) -> Tensor:
    """-log p(t) of logits."""
    return F.cross_entropy(g["t_logits"][s], g["t"][s], reduction="sum") / len(g["t"])


def head(g: Given, s: slice) -> Tensor:
    """-log p(t) of a linear head."""
    logits = F.linear(g["t_hidden"][s], g["t_weight"], g["t_bias"])
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), g["t"][s], reduction="sum") / len(
        g["t"]
    )


def correlation(g: Given, s: slice, beta: float = 6.0) -> Tensor:
    """KL + (beta - 1) TC - log Bernoulli(x), every row's posterior a component."""
    pairs = -0.5 * ((g["z"][s].unsqueeze(1) - g["z_mean"]) ** 2 / g["z_logvar"].exp() + g["z_logvar"] + math.log(2 * math.pi))
    size = len(g["z"])
    together, apart = pairs.sum(-1).logsumexp(1) - math.log(size), (pairs.logsumexp(1) - math.log(size)).sum(-1)
    return bernoulli(g, s) + (beta - 1) * (together - apart).sum() / size


def mixture(g: Given, s: slice) -> Tensor:
    """log q(z|x) - log sum_m w_m N(z; m_m, e^l_m) - log Bernoulli(x), at draws z."""

    def log_normal(mean: Tensor, logvar: Tensor) -> Tensor:
        return -0.5 * ((z - mean) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi)).sum(-1)

    z = g["z"][s]
    own = log_normal(g["q_z_mean"][s], g["q_z_logvar"][s])
    z = z.unsqueeze(1)
    prior = (log_normal(g["p_z_mean"], g["p_z_logvar"]) + g["p_z_logits"].log_softmax(-1)).logsumexp(1)
    logits, x = g["x_logits"][s], g["x"][s]
    return ((own - prior).sum() + (F.softplus(logits) - x * logits).sum()) / len(g["x"])


def discrepancy(g: Given, s: slice, kernel: Callable[[Tensor], Tensor]) -> Tensor:
    """The unbiased squared maximum mean discrepancy of z and its reference."""
    z, r = g["z"], g["z_reference"]
    a, b, ab = (((u[s].unsqueeze(1) - v) ** 2).sum(-1) for u, v in ((z, z), (r, r), (z, r)))
    n, itself = len(z), kernel(z.new_zeros(1)).sum()
    rows = len(z[s])
    return (kernel(a).sum() + kernel(b).sum() - 2 * rows * itself) / (n * (n - 1)) - 2 * kernel(ab).sum() / n**2


def infovae(g: Given, s: slice, alpha: float = 0.5, lam: float = 100.0) -> Tensor:
    """(1 - alpha) KL + (alpha + lam - 1) MMD - log Bernoulli(x)."""
    width = 2 * g["z"].shape[-1]
    return bernoulli(g, s, 1 - alpha) + (alpha + lam - 1) * discrepancy(g, s, lambda d: torch.exp(-d / width))


def wae(g: Given, s: slice, lam: float = 10.0) -> Tensor:
    """lam MMD - log N(x; mean, 1/2)."""
    widths = [2 * g["z"].shape[-1] * c for c in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return lam * discrepancy(g, s, lambda d: sum((w / (w + d) for w in widths), d.new_zeros(()))) + gaussian(g, s, 0.70710678)


def one(g: Given, s: slice) -> Tensor:
    """-(log e^f_ii / mean_j e^f_ij)."""
    first, second = g["z1_embedding"], g["z2_embedding"]
    table = first[s] @ second.T
    table = table.to(torch.promote_types(table.dtype, torch.float32)) / g["z1_z2_temperature"]
    own = torch.arange(len(first), device=first.device)[s]
    return (F.cross_entropy(table, own, reduction="sum") - len(own) * math.log(len(second))) / len(first)


def both(g: Given, s: slice) -> Tensor:
    """The mean of one direction and the other."""
    turned = {"z1_embedding": g["z2_embedding"], "z2_embedding": g["z1_embedding"], "z1_z2_temperature": g["z2_z1_temperature"]}
    return (one(g, s) + one(turned, s)) / 2


# ------------------------------------------------------------------------------------- rows of the table


@dataclass(frozen=True)
class Row:
    """A loss at a size; ``formula`` is its value by blocks of rows, ``hand`` the hand-written reference, or else the formula at once."""

    title: str
    spec: Any
    formula: Part
    sizes: dict[str, int]
    hand: str = ""
    goals: tuple[tuple[str, str, float], ...] = ()
    dtype: torch.dtype = torch.float32
    fused: tuple[str, ...] = ()
    block: int = 1 << 30
    small: bool = False
    tuned: bool = False  # max-autotune as well

    @property
    def stem(self) -> str:
        """The emitted module's file, without its suffix."""
        name: str = self.spec if isinstance(self.spec, str) else self.spec["name"]
        return name.replace("-", "_")

    def text(self) -> str:
        """The emitted module, all in one file."""
        import ibsym
        from ibsym.codegen import emit
        from ibsym.lowering import lower

        spec = ibsym.load(self.spec) if isinstance(self.spec, str) else ibsym.Spec(**self.spec)
        return emit(lower(ibsym.audit(ibsym.derive(spec), worlds=1)), "bundle")


def rows() -> list[Row]:
    """All rows, in the order of the page."""
    large, heads = {"B": 1024, "D": 12288, "L": 32}, {"B": 8192, "K": 50000, "N": 1024, "L": 1}
    found = [
        Row("vae 32 x 784, overhead", "vae", bernoulli, {"B": 32, "D": 784, "L": 32}, "vae", SMALL, small=True, tuned=True),
        Row("vae 256 x 784", "vae", bernoulli, {"B": 256, "D": 784, "L": 32}, "vae", ELEMENTWISE[:1]),
        Row("vae 1024 x 12288", "vae", bernoulli, large, "vae", ELEMENTWISE, tuned=True),
        Row(
            "beta-vae 1024 x 12288",
            "beta-vae",
            lambda g, s: bernoulli(g, s, 4.0),
            large,
            "beta_vae",
            ELEMENTWISE,
        ),
        Row("Gaussian decoder 1024 x 12288", GAUSSIAN, gaussian_bound, large, "", ELEMENTWISE),
        Row("vib 8192 x 1000 classes", "vib", bottleneck, {"B": 8192, "K": 1000, "L": 32}, "vib", ELEMENTWISE),
        Row(
            "cross-entropy 8192 x 1000", CLASSES, classes, {"B": 8192, "K": 1000}, "", ELEMENTWISE, fused=("liger, of a copy",)
        ),
        Row(
            "cross-entropy 4096 x 50000",
            CLASSES,
            classes,
            {"B": 4096, "K": 50000},
            "",
            ELEMENTWISE,
            fused=("liger, of a copy",),
            tuned=True,
        ),
    ]
    for b in (1024, 4096):
        sizes, goals = {"B": b, "L": 64, "D": 64}, PAIRS if b == 4096 else ()
        found += [
            Row(
                f"total correlation {b} x 64", "beta-tcvae", correlation, sizes, "beta_tcvae", goals, block=64, tuned=b == 4096
            ),
            Row(f"infovae discrepancy {b} x 64", "infovae", infovae, sizes, "infovae", goals, block=64),
            Row(f"wae discrepancy {b} x 64, 7 scales", "wae-mmd", wae, sizes, "wae_mmd", goals, block=64),
        ]
    sizes = {"B": 4096, "M": 500, "L": 64, "D": 64}
    found.append(Row("mixture 4096 x 500, 64 wide", "vampprior-vae", mixture, sizes, "vampprior_vae", PAIRS, block=256))
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        fused = ("liger", "liger float32 sums", "cut", "cut filtered")
        found.append(Row(f"linear head 8192 x 50000, {name}", HEAD, head, heads, "", FUSED, dtype, fused, block=1024))
        pairs = {"B": 32768, "E": 256}
        found += [
            Row(f"InfoNCE 32768 x 256, {name}", ONE, one, pairs, "", PRODUCTS, dtype, ("chunked",), block=1024),
            Row(f"InfoNCE both ways 32768 x 256, {name}", BOTH, both, pairs, "", PRODUCTS, dtype, ("chunked",), block=1024),
        ]
    return found


TINY = {"B": 12, "D": 5, "L": 3, "K": 7, "M": 6, "N": 4, "E": 4}


def arguments(row: Row, loss: Any, device: str, tiny: bool) -> Given:
    """Random arguments; everything but values learns."""
    torch.manual_seed(0)
    sizes = {axis: min(n, TINY[axis]) if tiny else n for axis, n in row.sizes.items()}
    result: Given = {}
    for entry in loss.INPUTS:
        lengths = [sizes[a[0]] for a in entry.shape if a != "S"]
        if entry.role == "value" and entry.name in ("t", "c"):
            made = torch.randint(0, sizes["K"], lengths, device=device)
        elif entry.role == "value":
            made = (
                torch.rand(lengths, device=device).round()
                if "x_logits" in {i.name for i in loss.INPUTS}
                else torch.randn(lengths, device=device)
            )
        elif entry.role == "temperature":
            made = torch.tensor(0.9, device=device)
        else:
            factor = {"logits": 3.0, "weight": sizes.get("N", 1) ** -0.5, "bias": 0.0, "embedding": sizes.get("E", 1) ** -0.25}
            made = torch.randn(lengths, device=device) * factor.get(entry.role, 1.0)
            made = made.to(row.dtype if entry.role in ("hidden", "weight", "bias", "embedding") else torch.float32)
        result[entry.name] = made.requires_grad_(entry.role not in ("value", "sample_reference", "temperature"))
    return result
