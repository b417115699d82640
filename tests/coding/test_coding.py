"""Codes go to bits and come back exactly, in as many bits as the model says, whatever family the entropy model has."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch

from ibsym.coding.codec import Codec, log_mass
from ibsym.coding.container import MAGIC, CodeError, Contents, unpacked, varint
from ibsym.coding.fixed import Network, applied, distribution
from ibsym.coding.layout import layout
from ibsym.coding.stream import Reader, Writer, stack
from ibsym.coding.tables import FARTHEST, TOTAL, Grid
from ibsym.errors import NetworkError
from ibsym.nn.bank import Bank
from ibsym.nn.laws import Logistic
from ibsym.nn.sizes import Sizes
from ibsym.spec.loading import load, loads

HEIGHT, WIDTH = 4, 6


GRIDS = (
    *('"diagonal-normal"', '{ family = "isotropic-normal", scale = 3.0 }', '"laplace"', '"logistic"'),
    '{ family = "laplace", scale = "learned" }',
)
SPACES = {"real": "real[L]", "binary": "binary[L]", "categorical": "categorical[K]"}
ENCODERS = {"real": '{ family = "uniform-noise", width = 0.5 }', "binary": '"bernoulli"', "categorical": '"categorical"'}
CASES = (  # the kind of the code z and its family, and the code y that z's entropy model sees
    *(("real", f, None) for f in (*GRIDS, '"standard-normal"')),
    *(("real", f, "real") for f in GRIDS),
    *(
        (kind, f, None)
        for kind, name in (("binary", "bernoulli"), ("categorical", "categorical"))
        for f in (f'"{name}"', '"uniform"')
    ),
    *(("binary", '"bernoulli"', "categorical"), ("categorical", '"categorical"', "binary"), ("real", '"laplace"', "binary")),
)
PRIORS = {"real": '"logistic"', "binary": '"bernoulli"', "categorical": '"uniform"'}


def spec_of(kind: str, family: str, given: str | None):
    second = [] if given is None else [f'y = "{SPACES[given].replace("L", "M")}"']
    q, p = ("data(x) q(z|x)", "p(z) p(x|z)") if given is None else ("data(x) q(z|x) q(y|x)", "p(y) p(z|y) p(x|z)")
    families = [f'"q(z|x)" = {ENCODERS[kind]}', f'"p(z{"|y" if given else ""})" = {family}', '"p(x|z)" = "isotropic-normal"']
    if given is not None:
        families += [f'"q(y|x)" = {ENCODERS[given]}', f'"p(y)" = {PRIORS[given]}']
    lines = [
        'name = "s"',
        'objective = "minimize I_q(X;Z) - I_q(Z;X)"',
        "[variables]",
        'x = "real[D]"',
        f'z = "{SPACES[kind]}"',
    ]
    return loads("\n".join([*lines, *second, "[joints]", f'q = "{q}"', f'p = "{p}"', "[families]", *families]))


def codec(spec, seed=0):
    """Random networks, wide awake: no model was trained for this."""
    torch.manual_seed(seed)
    found = layout(spec)
    sizes = {"D": HEIGHT * WIDTH, "L": 12, "M": 5, "K": 7}
    bank = Bank(spec, Sizes(spec, sizes, {}), 16, torch.zeros(()))
    for factor in (*found.encoders, *found.priors, found.decoder):
        bank.add_factor(factor)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.mul_(3)
    return Codec(bank, HEIGHT, WIDTH)


def images(number=300, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, HEIGHT, WIDTH), dtype=np.uint8)


@pytest.fixture(scope="module")
def hyper():
    return codec(load("hyperprior-compression"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_codes_come_back_in_as_many_bits_as_the_model_says(case: tuple[str, str, str | None]) -> None:
    model, pixels = codec(spec_of(*case)), images()
    written, codes = model.encode(pixels), model.codes(pixels)
    back = list(model.read_codes(model.contents(written.data)))
    for v, code in codes.items():
        assert (np.concatenate([b[v] for b in back]) == code).all()
    assert 8 * len(written.data) <= 1.02 * written.rate + 8 * 32
    assert sum(len(i) for i in model.decode(written.data)) == len(pixels)


def test_any_place_and_scale_and_code() -> None:
    """Means between cells, scales from far below a cell to thousands of them, codes in the tails and at the ends."""
    rng = np.random.default_rng(1)
    for law in ("normal", "laplace", "logistic"):
        grid = Grid(law, 1 << 16, "scale")
        scale = np.exp(rng.uniform(np.log(0.02), np.log(3000), (1, 8000)))
        mean = rng.normal(0, 300, scale.shape)
        codes = np.clip(np.rint(mean + scale * rng.normal(0, 1, scale.shape)), -FARTHEST, FARTHEST - 1).astype(np.int64)
        codes[0, :4] = (-FARTHEST, FARTHEST - 1, 0, 17)
        raw = [np.rint(4096 * m).astype(np.int64) for m in (mean, scale)]
        writer, words = Writer(), stack()
        grid.code(raw, 1, writer, codes)
        writer.onto(words)
        reader = Reader(words.get_compressed())
        assert (grid.code(raw, 1, reader, None) == codes).all()
        assert reader.done
        kinds = {"normal": torch.distributions.Normal, "laplace": torch.distributions.Laplace}
        center, width = torch.from_numpy(mean[0, 4:]), torch.from_numpy(scale[0, 4:])
        exact = -float(
            log_mass(law, kinds.get(law, Logistic)(center, width), torch.from_numpy(codes[0, 4:]).double(), 1.0)
        ) / np.log(2)
        assert words.num_bits() == pytest.approx(exact, rel=0.01)


def test_tables_are_near_the_functions_and_sum_up() -> None:
    t = np.linspace(-9, 9, 1001)
    found = distribution("normal", np.rint(t * 2.0**36).astype(np.int64)) / 2.0**30
    assert np.abs(found - torch.special.ndtr(torch.from_numpy(t)).numpy()).max() < 1e-5
    assert (np.diff(found) >= 0).all()
    x = np.rint(np.linspace(-5, 5, 99) * 4096).astype(np.int64)
    assert np.abs(applied("sigmoid", x) / 2.0**24 - 1 / (1 + np.exp(-x / 4096))).max() < 0.005
    grid = Grid("laplace", 1 << 16, "scale")
    mean, inverse = grid.places([x, np.abs(x) + 1])
    shift = np.clip(22 - np.frexp(inverse.astype(float))[1], 0, 10).astype(np.int64)
    counts = grid.counts(mean, inverse, mean >> 12, shift)
    assert (counts.sum(1) == TOTAL).all()
    assert counts.min() >= 1


def test_the_same_bits_on_every_machine() -> None:
    """What tables and coder make of given whole numbers, kept: a machine on which this fails cannot read others' files."""
    x = np.arange(-3000, 3000, 7, dtype=np.int64)[None]
    digest = hashlib.sha256()
    for law in ("normal", "laplace", "logistic"):
        writer, words = Writer(), stack()
        Grid(law, 1 << 16, "logarithm").code([17 * x, 5 * x + 9000], 1, writer, x // 100)
        writer.onto(words)
        digest.update(words.get_compressed().astype("<u4").tobytes())
    assert digest.hexdigest()[:16] == "bd5ecb0b596cb452"


def test_networks_do_not_depend_on_the_order_of_sums() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(9, 33), torch.nn.ReLU(), torch.nn.Linear(33, 4))
    network, x = Network.of(module, "p(y|z)"), np.random.default_rng(0).integers(-9, 9, (50, 9)) << 12
    order = np.random.default_rng(1).permutation(33)
    with torch.no_grad():
        floating = module(torch.from_numpy(x / 4096).float()).numpy()
        for tensor in (module[0].weight, module[0].bias):
            tensor.copy_(tensor[order].clone())
        module[2].weight.copy_(module[2].weight[:, order].clone())
    assert (Network.of(module, "p(y|z)")(x) == network(x)).all()
    assert np.abs(network(x) / 4096 - floating).max() < 0.01
    huge = network(np.full((1, 9), 1 << 62, dtype=np.int64))
    assert np.abs(huge).max() < 1 << 50
    with pytest.raises(NetworkError, match="a Tanh has no form in whole numbers"):
        Network.of(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh()), "p(y|z)")
    module[0].bias.data[0] = torch.nan
    with pytest.raises(NetworkError, match=r"p\(y\|z\): has numbers that are not finite"):
        Network.of(module, "p(y|z)")


@pytest.mark.parametrize("name", ["vae", "vib", "gan", "rate-distortion-perception"])
def test_a_system_without_symbols_is_refused(name: str) -> None:
    with pytest.raises(CodeError, match="does not compress"):
        layout(load(name))


def test_of_no_images_and_of_other_sizes(hyper: Codec) -> None:
    assert list(hyper.decode(hyper.encode(images(0)).data)) == []
    with pytest.raises(CodeError, match=r"bytes of shape \(N, 4, 6\)"):
        hyper.encode(images()[:, 1:])


def test_a_damaged_file_is_refused(hyper: Codec) -> None:
    """Every truncation and every changed byte; whatever follows; what somebody signed anew."""
    data = hyper.encode(images(20)).data
    for length in range(len(data)):
        with pytest.raises(CodeError):
            unpacked(data[:length])
    for place in range(len(data)):
        with pytest.raises(CodeError):
            unpacked(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
    with pytest.raises(CodeError, match="announces"):
        unpacked(data + b"\0")
    rng = np.random.default_rng(0)
    for _ in range(500):
        with pytest.raises(CodeError):
            unpacked(MAGIC + b"\1" + rng.bytes(int(rng.integers(0, 60))))
    refused, places = 0, range(24, len(data) - 4, 3)
    for place in places:  # the checksum fits, and the code is another one: it is one by chance, or it does not end
        body = data[:place] + bytes([data[place] ^ 16]) + data[place + 1 : -4]
        try:
            assert sum(map(len, hyper.decode(body + struct.pack("<I", zlib.crc32(body))))) == 20
        except CodeError:
            refused += 1
    assert refused > 0.8 * len(places)


def test_a_hostile_file_gets_no_memory(hyper: Codec) -> None:
    def signed(images: int, height: int, width: int, words: bytes, announced: int) -> bytes:
        body = MAGIC + b"\1" + hyper.digest + b"".join(map(varint, (images, height, width, announced))) + words
        return body + struct.pack("<I", zlib.crc32(body))

    tracemalloc.start()
    try:
        for case in (
            (1 << 27, 4, 6, b"", 0),
            (10**6, 1 << 20, 1 << 20, b"", 0),
            (5, 4, 6, b"\1\0\0\0", 1 << 27),
            (5, 0, 6, b"", 0),
            (5, 6, 4, b"", 0),
            (2049, 4, 6, b"\7\0\0\0", 1),
        ):
            with pytest.raises(CodeError):
                next(hyper.read_codes(hyper.contents(signed(*case))))  # before any code is read
        with pytest.raises(CodeError, match="does not end as one does"):
            list(hyper.decode(signed(5, 4, 6, b"\0\0\0\0", 1)))
        many = hyper.read_codes(Contents(hyper.digest, 10**6, 4, 6, b"\7\0\0\0"))  # announced, and read some at a time
        for _ in range(2):
            next(many)
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()


def test_another_model_is_refused(hyper: Codec) -> None:
    data = hyper.encode(images(3)).data
    with pytest.raises(CodeError, match="written by another model"):
        list(codec(load("hyperprior-compression"), seed=1).decode(data))
    with pytest.raises(CodeError, match="of version 2"):
        unpacked(data[:4] + b"\2" + data[5:])
