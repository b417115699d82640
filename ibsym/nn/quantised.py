"""z = the class whose vector is nearest to the code; seen as that vector, whose gradient is the code's, straight through."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ibsym.nn.samples import Value
from ibsym.runtime.tensors import _nearest


class Quantised:
    """All the mass on one class for each symbol: codes (..., N, E) and a codebook (K, E); ``symbols`` axes such as N."""

    has_rsample = True

    def __init__(self, code: Tensor, codebook: Tensor, symbols: int):
        self.code, self.codebook, self.symbols = code, codebook, symbols

    @property
    def mean(self) -> Tensor:
        """The one-hot codes of the classes."""
        return F.one_hot(_nearest(self.code, self.codebook), len(self.codebook)).to(self.code.dtype)

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """The same as every draw."""
        return self.mean.expand(*sample_shape, *self.mean.shape)

    rsample = sample

    def log_prob(self, value: Tensor) -> Tensor:
        """0 at the one-hot codes of its classes, minus infinity elsewhere."""
        log_same = ((value * self.mean).sum(-1) == 1).to(self.code.dtype).log()
        return log_same.flatten(-self.symbols).sum(-1) if self.symbols else log_same

    def value(self, copies: int = 1) -> Value:
        """The vectors with the gradient of the codes, and the classes."""
        index = _nearest(self.code, self.codebook)
        vectors = F.embedding(index, self.codebook)
        found = Value(self.code + (vectors - self.code).detach(), 1 + self.symbols, index)
        return found.repeated(copies) if copies > 1 else found


def as_vectors(value: Value, codebook: Tensor) -> Value:
    """A draw of another law, as the vectors of its classes."""
    assert value.index is not None
    return Value(F.embedding(value.index, codebook), value.event, value.index)


def as_classes(value: Value, classes: int) -> Tensor:
    """The one-hot codes of a value that is seen as vectors."""
    assert value.index is not None
    return F.one_hot(value.index, classes).to(value.code.dtype)
