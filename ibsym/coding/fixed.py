"""x = n / 2^12: networks and functions in whole numbers, the same on every machine, with every library and number of threads.

Sums of whole numbers do not depend on their order, so a network whose weights are rounded to multiples of 2^-16 and whose activations are
rounded to multiples of 2^-12 has one result, where floating point has one for each order of summation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mpmath
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ibsym.errors import NetworkError

Whole = NDArray[np.int64]

FRACTION = 12  # bits after the point of an activation
WEIGHT = 16  # and of a weight
ROOM = 62  # bits of a sum of products
MOST = 1 << 30  # of an activation
SCALE = 24  # bits after the point of an inverse scale, and of a probability
STEP, SPAN = 5, 32  # functions are tabulated at multiples of 2^-5 within [-32, 32]


def whole(numbers: Tensor, bits: int, what: str) -> Whole:
    """The nearest multiples of 2^-bits; a power of two scales without error, so that all machines round the same number."""
    found = numbers.detach().cpu().double().numpy()
    if not np.isfinite(found).all():
        raise NetworkError(f"{what}: has numbers that are not finite\n  write: a model whose training ended well")
    return np.clip(np.rint(found * (1 << bits)), -(2.0**52), 2.0**52).astype(np.int64)


@dataclass(frozen=True)
class Affine:
    """W x + b; ``most`` is the largest activation with which no sum overflows."""

    weight: Whole
    bias: Whole
    most: int

    @staticmethod
    def of(layer: nn.Linear, what: str) -> Affine:
        """A layer's numbers, rounded."""
        weight = whole(layer.weight, WEIGHT, what)
        bias = np.zeros(len(weight), np.int64) if layer.bias is None else whole(layer.bias, WEIGHT + FRACTION, what)
        row = max(1, int(np.abs(weight).sum(1).max(initial=0)))
        return Affine(weight, np.clip(bias, -(1 << ROOM - 1), 1 << ROOM - 1), min(MOST, (1 << ROOM - 1) // row))

    def __call__(self, x: Whole) -> Whole:
        """The layer at activations, rounded half up."""
        total = np.clip(x, -self.most, self.most) @ self.weight.T + self.bias
        return (total + (1 << WEIGHT - 1)) >> WEIGHT


@dataclass(frozen=True)
class Rectifier:
    """max(x, 0)."""

    def __call__(self, x: Whole) -> Whole:
        """The layer at activations."""
        return np.maximum(x, 0)


@dataclass(frozen=True)
class Network:
    """Layers one after another."""

    layers: tuple[Affine | Rectifier, ...]

    @staticmethod
    def of(module: nn.Module, what: str) -> Network:
        """A feed-forward network in whole numbers; other layers than linear and rectified ones are refused by name."""
        return Network(tuple(_layers(module, what)))

    def __call__(self, x: Whole) -> Whole:
        """The network at activations."""
        for layer in self.layers:
            x = layer(x)
        return x


def _layers(module: nn.Module, what: str) -> Iterator[Affine | Rectifier]:
    match module:
        case nn.Sequential():
            for inner in module:
                yield from _layers(inner, what)
        case nn.Linear():
            yield Affine.of(module, what)
        case nn.ReLU():
            yield Rectifier()
        case nn.Identity() | nn.Flatten():
            pass
        case _:
            raise NetworkError(
                f"{what}: a {type(module).__name__} has no form in whole numbers, and an entropy model is computed in them\n"
                "  write: a torch.nn.Sequential of Linear and ReLU"
            )


FUNCTIONS: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "exp": mpmath.exp,
    # one over a scale, from a number without bounds: as default networks make scales (ibsym.nn.distributions.shaped), and as they are
    "logarithm": lambda x: mpmath.exp(-4 * mpmath.tanh(x / 8)),
    "logvar": lambda x: mpmath.exp(-x / 2),
    "positive": lambda x: 1 / (mpmath.log1p(mpmath.exp(x)) + mpmath.mpf(1) / 10000),
}
CUMULATIVE: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "normal": lambda x: mpmath.ncdf(x) if x > -7 else mpmath.mpf(0),  # less than 2^-31
    "laplace": lambda x: mpmath.exp(x) / 2,
    "logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
}
"""Distribution functions at location 0 and scale 1, below 0."""

FINE, REACH = 6, 24  # distribution functions are tabulated at multiples of 2^-6 within [-24, 24]
MASS = 30  # bits of a distribution function's values


@functools.cache
def function(name: str) -> Whole:
    """A function's values, times 2^24, at the multiples of 2^-5 in [-32, 32]: 30 digits, then rounded, so that all machines agree."""
    with mpmath.workdps(30):
        points = (mpmath.mpf(n) / (1 << STEP) for n in range(-SPAN << STEP, (SPAN << STEP) + 1))
        values = [min(int(mpmath.nint(FUNCTIONS[name](p) * (1 << SCALE))), 1 << 40) for p in points]
    return np.array(values, dtype=np.int64)


@functools.cache
def cumulative(name: str) -> Whole:
    """F, times 2^30, at the multiples of 2^-6 in [-24, 24]; F(-t) = 1 - F(t)."""
    with mpmath.workdps(30):
        points = (mpmath.mpf(n) / (1 << FINE) for n in range(-REACH << FINE, 1))
        lower = [int(mpmath.nint(CUMULATIVE[name](p) * (1 << MASS))) for p in points]
    return np.array([*lower, *((1 << MASS) - v for v in lower[-2::-1])], dtype=np.int64)


def applied(name: str, x: Whole) -> Whole:
    """The function at activations, each at the nearest point of the table, times 2^24."""
    index = (x + (1 << FRACTION - STEP - 1)) >> FRACTION - STEP
    return function(name)[np.clip(index, -SPAN << STEP, SPAN << STEP) + (SPAN << STEP)]


def distribution(name: str, t: Whole) -> Whole:
    """F(t / 2^36), times 2^30, on straight lines between the points of the table: monotone, as its values are."""
    shift = FRACTION + SCALE - FINE
    inside = np.clip(t, -REACH << FRACTION + SCALE, (REACH << FRACTION + SCALE) - 1)
    index, rest = inside >> shift, inside & ((1 << shift) - 1)
    table = cumulative(name)
    low, high = table[index + (REACH << FINE)], table[index + (REACH << FINE) + 1]
    return low + ((high - low) * rest >> shift)
