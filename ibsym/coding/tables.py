"""p(code | codes before it) as tables of whole numbers that sum to 2^24: what the entropy coder is told, by encoder and decoder alike.

A code on a grid is told by its place around the model's centre: 128 cells of the width 2^b, b = 0 while they reach far enough, otherwise as
wide as a quarter of the scale; then its place within the cell, evenly; and what lies outside of all cells by an escape and its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ibsym.coding.fixed import FRACTION, MASS, SCALE, Affine, Network, Whole, applied, distribution

TOTAL = 1 << SCALE
HALF = 64  # cells on either side of the centre
FARTHEST = 1 << 15  # codes lie within [-2^15, 2^15)
WIDEST = 10  # 2^10 cells of 64 reach as far as codes do
LIMIT = 1 << 29  # of a mean, in multiples of 2^-12


class Channel(Protocol):
    """Symbols go to a file, or come from it; both ends call the same functions in the same order."""

    def table(self, counts: Whole, symbols: Whole | None) -> Whole:
        """Symbols 0, 1, ..., each with the probabilities ``counts / 2^24`` of its row."""

    def even(self, sizes: Whole, symbols: Whole | None) -> Whole:
        """Symbols below the sizes, all of them equally likely."""


class Entropy(Protocol):
    """The law of a code's numbers at its network's outputs."""

    def code(self, raw: Sequence[Whole], rows: int, channel: Channel, codes: Whole | None) -> Whole:
        """``(rows, n)`` symbols, written where they are given and read where they are not."""


def normalised(mass: Whole) -> Whole:
    """Rows of counts above zero that sum to 2^24, close to shares of 2^30 or less; what is left over is the largest one's."""
    size = mass.shape[1]
    counts = 1 + (mass * (TOTAL - size) >> MASS)
    counts[np.arange(len(counts)), counts.argmax(1)] += TOTAL - counts.sum(1)
    return counts


@dataclass(frozen=True)
class Bits:
    """Bernoulli."""

    def code(self, raw: Sequence[Whole], rows: int, channel: Channel, codes: Whole | None) -> Whole:
        """P(1) = s(logit)."""
        (logits,) = raw
        one = np.clip(applied("sigmoid", logits), 1, TOTAL - 1).reshape(-1)
        found = channel.table(np.stack([TOTAL - one, one], 1), None if codes is None else codes.reshape(-1))
        return found.reshape(rows, -1)


@dataclass(frozen=True)
class Classes:
    """Categorical: the logits' last axis has the classes."""

    number: int

    def code(self, raw: Sequence[Whole], rows: int, channel: Channel, codes: Whole | None) -> Whole:
        """P(k) = e^l_k / sum_j e^l_j."""
        (logits,) = raw
        flat = logits.reshape(-1, self.number)
        weight = applied("exp", flat - flat.max(1, keepdims=True))
        mass = (weight << MASS - SCALE) * (1 << SCALE) // weight.sum(1, keepdims=True)
        found = channel.table(normalised(mass), None if codes is None else codes.reshape(-1))
        return found.reshape(rows, -1)


@dataclass(frozen=True)
class Even:
    """Uniform over so many values."""

    number: int
    size: int

    def code(self, raw: Sequence[Whole], rows: int, channel: Channel, codes: Whole | None) -> Whole:
        """P(k) = 1/n."""
        sizes = np.full(rows * self.size, self.number)
        return channel.even(sizes, None if codes is None else codes.reshape(-1)).reshape(rows, -1)


@dataclass(frozen=True)
class Grid:
    """A location and a scale: the mass of a cell of the width ``width``; ``inverse`` names how one over the scale is had."""

    law: str
    width: int  # in multiples of 2^-16
    inverse: str
    fixed: int = 0  # one over the scale where it is a number, times 2^24

    def places(self, raw: Sequence[Whole]) -> tuple[Whole, Whole]:
        """The mean in cells, times 2^12, and one over the scale in cells, times 2^24."""
        mean = (np.clip(raw[0], -LIMIT, LIMIT) << 16) // self.width
        match self.inverse:
            case "number":
                inverse = np.full_like(mean, self.fixed)
            case "scale":
                inverse = (1 << SCALE + FRACTION) // np.clip(raw[1], 1 << FRACTION - 8, 1 << 40)
            case function:
                inverse = applied(function, raw[1])
        return mean.reshape(-1), np.clip(inverse * self.width >> 16, 1, 1 << 32).reshape(-1)

    def code(self, raw: Sequence[Whole], rows: int, channel: Channel, codes: Whole | None) -> Whole:
        """P(k) = F((k + 1/2 - m)/s) - F((k - 1/2 - m)/s)."""
        mean, inverse = self.places(raw)
        centre = np.clip((mean + (1 << FRACTION - 1)) >> FRACTION, -FARTHEST, FARTHEST)
        shift = np.clip(22 - np.frexp(inverse.astype(np.float64))[1], 0, WIDEST).astype(np.int64)
        known = None if codes is None else codes.reshape(-1)
        place, low = None, np.zeros_like(mean)
        if known is not None:
            place = (known - centre >> shift) + HALF
            place = np.where((place >= 0) & (place < 2 * HALF), place, 2 * HALF)
        place = channel.table(self.counts(mean, inverse, centre, shift), place)
        inside = place < 2 * HALF
        if (wide := inside & (shift > 0)).any():
            rest = None if known is None else (known - centre & (1 << shift) - 1)[wide]
            low[wide] = channel.even(1 << shift[wide], rest)
        found = centre + ((place - HALF) << shift) + low
        if not inside.all():
            numbers = None if known is None else known[~inside] + FARTHEST
            found[~inside] = channel.even(np.full((~inside).sum(), 2 * FARTHEST), numbers) - FARTHEST
        return found.reshape(rows, -1)

    def counts(self, mean: Whole, inverse: Whole, centre: Whole, shift: Whole) -> Whole:
        """The cells' masses around the centres, and the rest's."""
        edges = (centre[:, None] + (np.arange(-HALF, HALF + 1) << shift[:, None])) << FRACTION
        distance = edges - (1 << FRACTION - 1) - mean[:, None]
        reach = distribution(self.law, np.clip(distance, -(1 << 29), 1 << 29) * inverse[:, None])
        mass = np.diff(reach, axis=1)
        return normalised(np.concatenate([mass, (1 << MASS) - mass.sum(1, keepdims=True)], 1))


@dataclass(frozen=True)
class Prior:
    """A code variable's entropy model: which codes it sees, its network or free numbers, the sizes of its parameters, and the law."""

    variable: str
    given: tuple[str, ...]
    network: Network | None
    free: Whole
    sizes: tuple[int, ...]
    entropy: Entropy

    def raw(self, inputs: Whole, rows: int) -> list[Whole]:
        """Its parameters, before they are brought into their domains."""
        found = self.network(inputs) if self.network is not None else np.broadcast_to(self.free, (rows, len(self.free)))
        return np.split(found, np.cumsum(self.sizes)[:-1], axis=1)

    def numbers(self) -> Iterator[Whole]:
        """All of its whole numbers."""
        yield self.free
        for layer in self.network.layers if self.network is not None else ():
            if isinstance(layer, Affine):
                yield from (layer.weight, layer.bias)
