"""D_g(P||Q) = sum_x q g(p/q), by the generator's name, over finite distributions, and its variational dual.

Conventions at the boundary are the limits of the perspective q g(p/q): a divergence is infinite exactly where its limit is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _xlogy(x: Array, y: Array) -> Array:
    """x log y with 0 log 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > 0, x * np.log(y), 0.0)


def entropy(p: Array) -> float:
    """H(P) = -sum p log p."""
    return float(-_xlogy(p, p).sum())


def correlation(p: Array) -> float:
    """TC(P) = sum_i H(P_i) - H(P), over the axes of P."""
    parts = [p.sum(axis=tuple(j for j in range(p.ndim) if j != i)) for i in range(p.ndim)]
    return sum(map(entropy, parts)) - entropy(p)


def independent(p: Array) -> Array:
    """prod_i P_i, over the axes of P."""
    product = np.ones([1] * p.ndim)
    for i in range(p.ndim):
        product = product * p.sum(axis=tuple(j for j in range(p.ndim) if j != i), keepdims=True)
    return product


def _kl(p: Array, q: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)


def _pearson(p: Array, q: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p == q, 0.0, (p - q) ** 2 / q)


def _jensen_shannon(p: Array, q: Array) -> Array:
    middle = (p + q) / 2
    return (_kl(p, middle) + _kl(q, middle)) / 2


PERSPECTIVES: dict[str, Callable[[Array, Array], Array]] = {
    "kl": _kl,
    "reverse-kl": lambda p, q: _kl(q, p),
    "pearson": _pearson,
    "neyman": lambda p, q: _pearson(q, p),
    "squared-hellinger": lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2,
    "jensen-shannon": _jensen_shannon,
    "jeffreys": lambda p, q: _kl(p, q) + _kl(q, p),
}
"""q g(p/q) pointwise: the generators of :data:`ibsym.terms.reading.GENERATORS`."""

GENERATORS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "kl": (lambda u: u * np.log(u), lambda u: np.log(u) + 1),
    "reverse-kl": (lambda u: -np.log(u), lambda u: -1 / u),
    "pearson": (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1)),
    "neyman": (lambda u: (1 - u) ** 2 / u, lambda u: 1 - 1 / u**2),
    "squared-hellinger": (lambda u: (np.sqrt(u) - 1) ** 2, lambda u: 1 - 1 / np.sqrt(u)),
    "jensen-shannon": (
        lambda u: (u * np.log(u) - (1 + u) * np.log((1 + u) / 2)) / 2,
        lambda u: np.log(2 * u / (1 + u)) / 2,
    ),
    "jeffreys": (lambda u: (u - 1) * np.log(u), lambda u: np.log(u) + 1 - 1 / u),
}
"""g and its derivative."""


def divergence(generator: str, p: Array, q: Array) -> float:
    """D_g(P||Q) = E_Q g(p/q)."""
    return float(PERSPECTIVES[generator](p, q).sum())


def dual(generator: str, p: Array, q: Array, critic: Array) -> float:
    """E_P g'(e^f) - E_Q [e^f g'(e^f) - g(e^f)] <= D_g(P||Q), with equality at f = log p/q."""
    g, slope = GENERATORS[generator]
    u = np.exp(critic)
    return float((p * slope(u)).sum() - (q * (u * slope(u) - g(u))).sum())


def donsker_varadhan(p: Array, q: Array, critic: Array) -> float:
    """E_P f - log E_Q e^f <= KL(P||Q)."""
    return float((p * critic).sum() - np.log((q * np.exp(critic)).sum()))


def logistic(p: Array, q: Array, critic: Array) -> float:
    """log 2 + E_P log sigmoid(f) / 2 + E_Q log sigmoid(-f) / 2 <= JS(P,Q)."""
    return float(np.log(2) - (p * np.logaddexp(0, -critic)).sum() / 2 - (q * np.logaddexp(0, critic)).sum() / 2)
