"""An asymmetric numeral system: symbols to words of 32 bits, and back; constriction does the arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibsym.coding.container import damaged
from ibsym.coding.fixed import Whole
from ibsym.training.failures import need

need("constriction", purpose="compression", extra="compression")

import constriction  # noqa: E402

Categorical, Uniform = constriction.stream.model.Categorical, constriction.stream.model.Uniform
AnsCoder = constriction.stream.stack.AnsCoder
Words = NDArray[np.uint32]


def weights(counts: Whole) -> NDArray[np.float32]:
    """Counts that sum to 2^24 are exact in single precision, and the coder only adds and multiplies them: equal inputs, equal tables."""
    return counts.astype(np.float32)


class Writer:
    """Keeps what it is told, and encodes it from behind: the coder is a stack."""

    def __init__(self) -> None:
        self.parts: list[tuple[bool, Whole, Whole]] = []

    def table(self, counts: Whole, symbols: Whole | None) -> Whole:
        """Takes the symbols down."""
        assert symbols is not None
        self.parts.append((True, counts, symbols))
        return symbols

    def even(self, sizes: Whole, symbols: Whole | None) -> Whole:
        """Takes the symbols down."""
        assert symbols is not None
        self.parts.append((False, sizes, symbols))
        return symbols

    def onto(self, stack: Any) -> None:
        """Everything onto the stack, the first symbol last."""
        for table, model, symbols in reversed(self.parts):
            if table:
                stack.encode_reverse(symbols.astype(np.int32), Categorical(perfect=False), weights(model))
            else:
                stack.encode_reverse(symbols.astype(np.int32), Uniform(), model.astype(np.int32))


class Reader:
    """Symbols from the words of a file."""

    def __init__(self, words: Words):
        try:
            self.stack = AnsCoder(words) if len(words) else AnsCoder()
        except ValueError:
            raise damaged("its code does not end as one does") from None

    def table(self, counts: Whole, symbols: Whole | None) -> Whole:
        """The next symbols."""
        return self.stack.decode(Categorical(perfect=False), weights(counts)).astype(np.int64)

    def even(self, sizes: Whole, symbols: Whole | None) -> Whole:
        """The next symbols."""
        return self.stack.decode(Uniform(), sizes.astype(np.int32)).astype(np.int64)

    @property
    def done(self) -> bool:
        """Whether all words are used up and the coder is where the encoder began: a decoder that went astray is not."""
        return self.stack.is_empty()


def stack() -> Any:
    """An empty stack."""
    return AnsCoder()
