"""SymPy formulas at arrays, in float64: what every function that formulas are written with computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy

from ibsym.families import functions as f

Array = Any
"""A float64 array or a number."""

TAYLOR = 0.5
CUMULANT = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000)
MEAN = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)


def unit_cumulant(t: Array) -> Array:
    """log of the integral of e^(t v) over [0, 1]."""
    t = np.asarray(t, dtype=np.float64)
    near = np.abs(t) < TAYLOR
    safe = np.where(near, 1.0, np.abs(t))
    far = np.maximum(t, 0) + np.log(-np.expm1(-safe) / safe)
    square = t * t
    return np.where(near, t / 2 + sum(c * square ** (k + 1) for k, c in enumerate(CUMULANT)), far)


def unit_mean(t: Array) -> Array:
    """The derivative of the unit cumulant."""
    t = np.asarray(t, dtype=np.float64)
    near = np.abs(t) < TAYLOR
    safe = np.where(near, 1.0, t)
    far = 0.5 + 0.5 / np.tanh(safe / 2) - 1 / safe
    square = t * t
    return np.where(near, 0.5 + t * sum(c * square**k for k, c in enumerate(MEAN)), far)


def log_bessel(n: Array, t: Array) -> Array:
    """log I_v(t) - v log t, v = n/2 - 1: by the power series where SciPy has no number, beyond 1e5 by Debye's expansion."""
    from scipy.special import gammaln, ive

    order, t = np.asarray(n, dtype=np.float64) / 2 - 1, np.asarray(t, dtype=np.float64)
    t = np.where((t >= 0) & np.isfinite(t), t, np.nan)  # elsewhere a concentration is none
    with np.errstate(divide="ignore", invalid="ignore"):
        direct = np.log(ive(order, t)) + t - order * np.log(t)
        r = np.hypot(order, t)
        far = r - order * np.arcsinh(order / t) - np.log(2 * np.pi * r) / 2 + (3 - 5 * (order / r) ** 2) / (24 * r)
        direct = np.where(~np.isfinite(direct) & (t > 1e5), far - order * np.log(t), direct)
    small = np.where(np.isfinite(direct) | np.isnan(t), 0.0, t)
    largest = float(np.max(np.hypot(order, small) - order, initial=0.0)) / 2  # of the largest term of any
    k = np.arange(400 + 2 * np.ceil(largest))
    log_terms = 2 * k * np.log(np.maximum(small[..., None], 1e-300) / 2) - gammaln(k + 1) - gammaln(order[..., None] + k + 1)
    series = np.logaddexp.reduce(log_terms, axis=-1) - order * np.log(2.0)
    return np.where(np.isfinite(direct) | np.isnan(t), direct, series)


def bessel_ratio(n: Array, t: Array) -> Array:
    """I_{v+1}(t) / I_v(t), v = n/2 - 1."""
    t = np.asarray(t, dtype=np.float64)
    return t * np.exp(log_bessel(np.asarray(n) + 2, t) - log_bessel(n, t))


def log_gamma(t: Array) -> Array:
    """log Gamma(t)."""
    from scipy.special import gammaln

    return gammaln(t)


def log_gamma_of_positive(t: Array) -> Array:
    """log Gamma(t), NaN below 0."""
    t = np.asarray(t, dtype=np.float64)
    return log_gamma(np.where(t >= 0, t, np.nan))


def digamma(t: Array) -> Array:
    """The derivative of log Gamma(t), NaN below 0; minus infinity at 0, infinity at -0."""
    from scipy.special import psi

    t = np.asarray(t, dtype=np.float64)
    return np.where(t > 0, psi(np.where(t > 0, t, 1.0)), np.where(t == 0, -np.copysign(np.inf, t), np.nan))


def log(t: Array) -> Array:
    """log t, minus infinity at 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(t))


def xlogx(t: Array) -> Array:
    """t log t, and 0 at 0."""
    t = np.asarray(t, dtype=np.float64)
    return np.where(t == 0, 0.0, t * np.log(np.where(t == 0, 1.0, t)))


def weighted(w: Array, t: Array) -> Array:
    """w t, and 0 where w is 0 and t not finite."""
    with np.errstate(invalid="ignore"):
        return np.where((np.asarray(w) == 0) & ~np.isfinite(t), 0.0, w * np.asarray(t))


def log_normal_cell(d: Array, w: Array) -> Array:
    """log [Phi(d + w) - Phi(d - w)]: by Gauss and Legendre where the cell is narrow, else from the tails."""
    from scipy.special import log_ndtr

    x, w = np.broadcast_arrays(np.abs(np.asarray(d, dtype=np.float64)), np.asarray(w, dtype=np.float64))
    narrow = (w >= 0) & (w <= 1) & (x * w <= 2)
    places, weights = np.polynomial.legendre.leggauss(20)
    t, centre = np.where(narrow, w, 0.0)[..., None] * (places + 1) / 2, np.where(narrow, x, 0.0)
    mean = np.sum(weights / 2 * np.cosh(centre[..., None] * t) * np.exp(-(t**2) / 2), axis=-1)
    inside = np.log(2 * np.where(narrow, w, 1.0) * mean) - centre**2 / 2 - np.log(2 * np.pi) / 2
    near, far = log_ndtr(w - x), log_ndtr(-w - x)
    ratio = np.where(near == -np.inf, 0.0, np.exp(np.minimum(far - near, -2 * x * w)))  # as it is, but for rounding
    return np.where(narrow, inside, near + np.log1p(-ratio))


def log_laplace_cell(d: Array, w: Array) -> Array:
    """log [F(d + w) - F(d - w)], F of e^-|t| / 2."""
    x, w = np.abs(np.asarray(d, dtype=np.float64)), np.asarray(w, dtype=np.float64)
    beside = x >= w
    outside = w - np.where(beside, x, w) + np.log(-np.expm1(-2 * w) / 2)
    inner = np.where(beside, 0.0, x)
    return np.where(beside, outside, np.log(-(np.expm1(inner - w) + np.expm1(-inner - w)) / 2))


FUNCTIONS: dict[type, Callable[..., Array]] = {
    sympy.exp: np.exp,
    sympy.log: log,
    sympy.Abs: np.abs,
    sympy.loggamma: log_gamma,
    f.logsigmoid: lambda t: -np.logaddexp(0.0, -t),
    f.sigmoid: lambda t: np.exp(-np.logaddexp(0.0, -t)),
    f.binary_cross_entropy: lambda v, a: (1 - v) * a + np.logaddexp(0.0, -a),
    f.expm1: np.expm1,
    f.xlogx: xlogx,
    f.log_gamma: log_gamma_of_positive,
    f.digamma: digamma,
    f.defined: lambda t: np.where(np.asarray(t) >= 0, t, np.nan),
    f.capped: lambda t: np.where((np.asarray(t) > f.CAP) & (np.asarray(t) < np.inf), f.CAP, t),
    f.barrier: lambda t: np.where(np.asarray(t) > 0, np.inf, np.where(np.isnan(t), np.nan, 0.0)),
    f.opened: lambda t, x: np.where(np.asarray(t) < 0, x, np.where(np.isnan(t), np.nan, np.inf)),
    f.is_zero: lambda t: np.where(np.isnan(t), np.nan, np.asarray(t) == 0),
    f.log_normal_cell: log_normal_cell,
    f.log_laplace_cell: log_laplace_cell,
    f.standardised: lambda d, logvar: d * np.exp(-logvar / 2),
    f.weighted: weighted,
    f.expected: lambda a, t: weighted(np.exp(a), t),
    f.unit_cumulant: unit_cumulant,
    f.unit_mean: unit_mean,
    f.log_bessel: log_bessel,
    f.bessel_ratio: bessel_ratio,
}


def value(expression: sympy.Expr, symbols: Mapping[str, Array]) -> Array:
    """The formula's value; no text is ever evaluated.

    >>> float(value(sympy.exp(sympy.Symbol("t")) / 2, {"t": 0.0}))
    0.5
    """
    if isinstance(expression, sympy.Symbol):
        return symbols[expression.name]
    if expression.is_number and expression.is_Atom:
        return float(expression)
    arguments = [value(a, symbols) for a in expression.args]
    if isinstance(expression, sympy.Add):
        return sum(arguments[1:], arguments[0])
    if isinstance(expression, sympy.Mul):
        result = arguments[0]
        for argument in arguments[1:]:
            result = result * argument
        return result
    if isinstance(expression, sympy.Pow):
        base, exponent = arguments
        return base ** (int(expression.exp) if expression.exp.is_Integer and expression.exp > 0 else exponent)
    return FUNCTIONS[type(expression)](*arguments)
