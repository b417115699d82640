"""images -> codes -> bits, and back: a trained compression model as a codec."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributions as td

from ibsym.coding.container import DIGEST, CodeError, Contents, damaged, unpacked
from ibsym.coding.fixed import Whole
from ibsym.coding.layout import Space, cell, layout, line, prior
from ibsym.coding.stream import Reader, Writer, stack
from ibsym.coding.tables import FARTHEST, Channel
from ibsym.nn.bank import Bank
from ibsym.nn.distributions import draw
from ibsym.nn.draws import Draws
from ibsym.nn.samples import Value
from ibsym.nn.system import System
from ibsym.spec.graphs import Factor
from ibsym.training.binding import PIXELS

Bytes = NDArray[np.uint8]
CELLS = 1 << 14  # symbols whose tables are in memory together

BRIGHTNESS = {
    "real": lambda v: (v + 1) / 2,
    "unit": lambda v: v,
    "binary": lambda v: (v >= 0.5).to(v.dtype),
    "positive": lambda v: v - 1 / 256,
    "count": lambda v: v / 16,
}
"""Values of an image variable as pixels in [0, 1]: the way back of ``ibsym.training.binding.PIXELS``."""


@dataclass(frozen=True)
class Written:
    """A file's bytes, how many of them are code, and -log2 of the code's probability under the model, in floating point."""

    data: bytes
    code: int
    rate: float


class Codec:
    """A compression model with a size of image; ``images`` are bytes ``(N, H, W)``, 0 black and 255 white."""

    def __init__(self, bank: Bank, height: int, width: int):
        self.bank, self.spec, self.height, self.width = bank, bank.spec, height, width
        self.layout = layout(self.spec)
        if math.prod(bank.sizes.shape(self.layout.image)) != height * width:
            raise CodeError(
                f"{self.layout.image} has {math.prod(bank.sizes.shape(self.layout.image))} numbers, "
                f"and an image of {height} x {width} does not\n  write: the size that the model was trained with"
            )
        self.spaces = {f.of[0]: self.space(f) for f in self.layout.encoders}
        self.priors = tuple(prior(bank, f, self.spaces[f.of[0]]) for f in self.layout.priors)
        self.rows = max(1, CELLS // max(1, sum(s.symbols for s in self.spaces.values())))
        self.digest = self.fingerprint()

    @staticmethod
    def of(system: System, height: int, width: int) -> Codec:
        """A trained system's codec; networks of one's own are used as they are, those of entropy models are Linear and ReLU."""
        return Codec(system.bank, height, width)

    def space(self, encoder: Factor) -> Space:
        """Where an encoder's code lives."""
        (variable,) = encoder.of
        return Space(self.spec.variables[variable].kind, self.bank.sizes.shape(variable), cell(encoder))

    def fingerprint(self) -> bytes:
        """The first bytes of the SHA-256 of the spec, the sizes and all learned numbers of the codec."""
        about = [dict(self.spec.keys), self.bank.sizes.known, self.height, self.width]
        found = hashlib.sha256(json.dumps(about, sort_keys=True, default=dict).encode())
        for model in self.priors:
            for numbers in model.numbers():
                found.update(numbers.astype("<i8").tobytes())
        for factor in (*self.layout.encoders, *self.layout.priors, self.layout.decoder):
            for tensor in self.bank.parameters_of_network(factor.text) if factor.text in self.bank.keys else ():
                found.update(tensor.detach().cpu().double().numpy().astype("<f8").tobytes())
        return found.digest()[:DIGEST]

    @torch.no_grad()
    def codes(self, images: Bytes) -> dict[str, Whole]:
        """Each code variable's symbols: the likelier bit, the likeliest class, the cell that the mean falls in."""
        kind, shape = self.spec.variables[self.layout.image].kind, self.bank.sizes.shape(self.layout.image)
        found: dict[str, list[Whole]] = {v: [] for v in self.spaces}
        for part in pieces(len(images), self.rows):
            pixels = torch.from_numpy(images[part] / 255.0).to(self.bank.like)
            value = Value(PIXELS[kind][0](pixels).reshape(len(pixels), *shape), len(shape))
            draws = Draws(self.bank, {self.layout.source: {self.layout.image: value}}, mode="typical")
            for v, space in self.spaces.items():
                found[v].append(self.symbols(draws.value(self.layout.joint, v), space))
        return {
            v: np.concatenate(parts) if parts else np.zeros((0, self.spaces[v].symbols), np.int64) for v, parts in found.items()
        }

    def symbols(self, value: Value, space: Space) -> Whole:
        """A code as symbols, one row an image."""
        found = value.index if value.index is not None else value.code.double() / space.width
        numbers = found.reshape(len(found), -1).double().numpy()
        if not np.isfinite(numbers).all():
            raise CodeError("the encoder's output is not finite\n  write: a model whose training ended well")
        return np.clip(np.rint(numbers), -FARTHEST, FARTHEST - 1).astype(np.int64)

    def passed(self, channel: Channel, rows: int, codes: dict[str, Whole] | None) -> dict[str, Whole]:
        """The codes of some images, every variable after those that its entropy model sees."""
        found: dict[str, Whole] = {}
        for model in self.priors:
            seen = [self.spaces[v].whole(found[v]) for v in model.given]
            raw = model.raw(np.concatenate(seen, axis=1) if seen else np.zeros((rows, 0), np.int64), rows)
            known = None if codes is None else codes[model.variable]
            found[model.variable] = model.entropy.code(raw, rows, channel, known)
        return found

    def encode(self, images: Bytes) -> Written:
        """A file's bytes."""
        if images.ndim != 3 or images.dtype != np.uint8 or images.shape[1:] != (self.height, self.width):
            raise CodeError(
                f"images of {images.dtype} and shape {images.shape}\n  write: bytes of shape (N, {self.height}, {self.width})"
            )
        Contents(self.digest, len(images), self.height, self.width, b"").check()
        codes, words, rate = self.codes(images), stack(), 0.0
        for part in reversed(list(pieces(len(images), self.rows))):
            here = {v: c[part] for v, c in codes.items()}
            writer = Writer()
            self.passed(writer, len(here[self.priors[0].variable]), here)
            writer.onto(words)
            rate += self.rate(here)
        code = words.get_compressed().astype("<u4").tobytes()
        found = Contents(self.digest, len(images), self.height, self.width, code).check_code()
        return Written(found.packed(), len(code), rate)

    def contents(self, data: bytes) -> Contents:
        """What a file says, if this model wrote it."""
        found = unpacked(data)
        if found.digest != self.digest:
            raise CodeError(
                f"written by another model: its digest is {found.digest.hex()}, this model's {self.digest.hex()}\n"
                "  write: the folder of the model that wrote it"
            )
        if (found.height, found.width) != (self.height, self.width):
            raise damaged(f"images of {found.height} x {found.width}, and the model's have {self.height} x {self.width}")
        return found

    def read_codes(self, found: Contents) -> Iterator[dict[str, Whole]]:
        """The codes of a file, some images at a time; an error at the end if it was not the encoder that wrote them."""
        reader = Reader(np.frombuffer(found.words, dtype="<u4").astype(np.uint32))
        for part in pieces(found.images, self.rows):
            yield self.passed(reader, part.stop - part.start, None)
        if not reader.done:
            raise damaged("its code does not end where its images do")

    def decode(self, data: bytes) -> Iterator[Bytes]:
        """The images of a file, some at a time, after all of its codes were read once and found whole."""
        found = self.contents(data)
        for _ in self.read_codes(found):
            pass
        for codes in self.read_codes(found):
            yield self.images(codes)

    @torch.no_grad()
    def images(self, codes: dict[str, Whole]) -> Bytes:
        """What the decoder makes of codes."""
        decoder, (image,) = self.layout.decoder, self.layout.decoder.of
        given = [self.spaces[v].value(codes[v], self.bank.like) for v in decoder.given]
        rows, kind = len(given[0].code), self.spec.variables[image].kind
        if decoder.evaluated:
            assert decoder.family is not None
            value = draw(decoder.family, kind, given[0].event, self.bank.law(decoder, given, rows), "typical")
        else:
            value = self.bank.sample(decoder, given, rows, "typical")[image]
        light = BRIGHTNESS[kind](value.code.double()).clamp(0, 1).reshape(rows, self.height, self.width)
        return (255 * light).round().to(torch.uint8).numpy()

    @torch.no_grad()
    def rate(self, codes: dict[str, Whole]) -> float:
        """-log2 p(codes), in floating point and without tables: what the file's size is held against."""
        total = 0.0
        values = {v: space.value(codes[v], self.bank.like) for v, space in self.spaces.items()}
        for factor in self.layout.priors:
            assert factor.family is not None
            (variable,) = factor.of
            law = self.bank.law(factor, [values[v] for v in factor.given], len(values[variable].code))
            on_line = line(factor.family.facts)
            if on_line is not None:
                assert isinstance(law, td.Independent)
                total -= float(log_mass(on_line, law.base_dist, values[variable].code, self.spaces[variable].width))
            else:
                assert isinstance(law, td.Distribution)
                total -= float(law.log_prob(values[variable].code).double().sum())
        return total / math.log(2)


def log_mass(name: str, law: td.Distribution, value: Tensor, width: float) -> Tensor:
    """sum log [F(v + w/2) - F(v - w/2)], from whichever tail is the smaller."""
    scale = law.stddev if name == "normal" else law.scale  # type: ignore[attr-defined]
    near = (value.double() - law.mean.double()).abs()
    high, low = (width / 2 - near) / scale.double(), (-width / 2 - near) / scale.double()
    match name:
        case "normal":
            first, second = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
        case "laplace":
            first, second = (torch.where(t > 0, torch.log1p(-torch.exp(-t.abs()) / 2), t - math.log(2)) for t in (high, low))
        case _:
            first, second = torch.nn.functional.logsigmoid(high), torch.nn.functional.logsigmoid(low)
    return (first + torch.log1p(-torch.exp(second - first))).sum()


def pieces(number: int, size: int) -> Iterator[slice]:
    """So many at a time."""
    for start in range(0, number, size):
        yield slice(start, min(start + size, number))
