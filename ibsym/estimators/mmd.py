"""MMD^2(P,Q) = E k(a,a') + E k(b,b') - 2 E k(a,b): zero if and only if P = Q, for a characteristic kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ibsym.estimators.base import Batch, Estimator, Option, Value

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Of inverse multiquadratic kernels (Tolstikhin et al. 2018)."""


def value(m: Batch) -> Any:
    """Unbiased: equal pairs are left out within each sample."""
    a, b = m.samples()
    sides = {"aa": (a, a), "bb": (b, b), "ab": (a, b)}
    kernel, about = kernel_of(m, a)
    said = {"aa": f"d = |a - b|^2, within a, within b and across; {about}"}
    squares = {k: m.named(f"d_{k}", m.distances(*pair), said.get(k, "")) for k, pair in sides.items()}
    k = {n: m.named(f"k_{n}", kernel(d)) for n, d in squares.items()}
    return m.mean_of_others(k["aa"]) + m.mean_of_others(k["bb"]) - 2 * m.mean(k["ab"])


def kernel_of(m: Batch, points: Any) -> tuple[Callable[[Any], Any], str]:
    """The kernel as a function of the squared distance, and what it is; its width is the number of coordinates unless one is given."""
    width = m.option("bandwidth")
    square = m.coordinates(points) if width is None else m.exact(width) ** 2
    name = "n, the number of coordinates" if width is None else f"{width}^2"
    if m.option("kernel") == "inverse-multiquadratic":
        about = f"inverse multiquadratic kernels, k = sum over s of c / (c + d) with c = 2 s h, h = {name}"
        widths = [2 * m.exact(s) * square for s in m.option("scales")]
        return lambda d: sum(w / (w + d) for w in widths), about
    return lambda d: m.exp(-d / (2 * square)), f"Gaussian kernel, k = exp(-d / 2h) with h = {name}"


ESTIMATOR = Estimator(
    name="mmd",
    statement=r"D(P\|Q) \approx \mathrm{MMD}^2(P,Q)",
    estimates=("KL",),
    example="KL(q(z)||p(z))",
    sources=("Gretton et al. 2012", "Zhao et al. 2019"),
    known="surrogate, zero iff equal",
    options=(
        Option("kernel", "choice", "rbf", choices=("rbf", "inverse-multiquadratic")),
        Option("bandwidth", "number"),
        Option("scales", "numbers", SCALES),
    ),
    value=Value(value, "unbiased, E k(a, a') + E k(b, b') - 2 E k(a, b)", why="compares two samples as wholes"),
    coupled=True,
    called=("kernel", "rbf", "maximum-mean-discrepancy"),
)
