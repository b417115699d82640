"""What a network or a batch does wrong is named: the factor, the shape, what to write instead."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import distributions as td
from torch import nn

import ibsym
from ibsym.nn import NetworkError, System
from ibsym.nn.own import elsewhere
from tests.nn.helpers import around, certificate

D, L = 6, 4
X = {"x": torch.zeros(5, D)}
GOOD = {"q(z|x)": nn.Linear(D, 2 * L), "p(x|z)": nn.Linear(L, D)}


def returns(make):
    return lambda x: make(len(x))


ENCODERS = {
    "three in a tuple": (lambda n: (torch.zeros(n, L),) * 3, r"3 values: \(5, 4\).*diagonal-normal has 2: mean, logvar"),
    "one in a tuple": (lambda n: (torch.zeros(n, L),), r"1 values: .*has 2: mean, logvar"),
    "an odd width": (lambda n: torch.zeros(n, 7), r"shape \(5, 7\), which does not split into mean, logvar: z is real\[L\]"),
    "other roles": (
        lambda n: {"mean": torch.zeros(n, L), "std": torch.zeros(n, L)},
        r"mean: \(5, 4\), std: .*has mean, logvar",
    ),
    "shapes that differ": (
        lambda n: (torch.zeros(n, L), torch.zeros(n, L + 1)),
        r"logvar has shape \(5, 5\), expected \(5, 4\)",
    ),
    "too few rows": (lambda n: torch.zeros(n - 1, 2 * L), r"mean has shape \(4, 4\), and there are 5 rows"),
    "no rows": (lambda n: torch.zeros(2 * L), r"mean has shape \(4,\), and there are 5 rows"),
    "a number": (lambda n: 3.0, "the network returns a float"),
    "nothing": (lambda n: None, "the network returns a NoneType"),
    "integers": (lambda n: (torch.zeros(n, L).long(), torch.zeros(n, L)), r"mean is torch.int64"),
    "another distribution": (
        lambda n: td.Laplace(torch.zeros(n, L), 1.0),
        "returns a Laplace, and the family is diagonal-normal",
    ),
}


@pytest.mark.parametrize("case", ENCODERS)
def test_an_encoder(case):
    make, message = ENCODERS[case]
    with pytest.raises(NetworkError, match=message) as info:
        around("vae", GOOD | {"q(z|x)": returns(make)})(X)
    assert str(info.value).startswith("q(z|x): ")
    assert "\n  write: " in str(info.value)


def test_networks_that_disagree_on_a_size():
    with pytest.raises(
        NetworkError,
        match=r"(?s)p\(x\|z\): the network was called with z \(5, 5\), and raised RuntimeError: .*L = 5 by q\(z\|x\)",
    ):
        around("vae", GOOD | {"q(z|x)": nn.Linear(D, 10)})(X)
    with pytest.raises(
        NetworkError, match=r"p\(x\|z\): logits has shape \(5, 3\), expected \(5, 6\): x is binary\[D\] with D = 6 by the batch"
    ):
        around("vae", GOOD | {"p(x|z)": nn.Linear(L, 3)})(X)


def test_later_batches_are_held_against_the_first():
    system = around("vae", GOOD)
    system(X)
    with pytest.raises(NetworkError, match=r"data\(x\): x has shape \(5, 7\): x is binary\[D\] with D = 6 by the batch"):
        system({"x": torch.zeros(5, 7)})


CRITICS = {
    "a column": (lambda z: z[:, :1], r"the critic returns \(5, 1\), expected \(5,\)\n  write: .squeeze"),
    "a number": (lambda z: z.mean(), r"the critic returns \(\), expected \(5,\)"),
    "as it came": (lambda z: z, r"the critic returns \(5, 4\), expected \(5,\)"),
    "a tuple": (lambda z: (z, z), r"the critic returns 2 values"),
}


@pytest.mark.parametrize("case", CRITICS)
def test_a_critic(case):
    critic, message = CRITICS[case]
    system = around("aae", GOOD | {"KL(q(z)||p(z))": critic})
    with pytest.raises(NetworkError, match=r"KL\(q\(z\)\|\|p\(z\)\): " + message):
        system(X)


def test_domains_of_parameters():
    spec = {"q(z|x)": lambda x: (nn.functional.normalize(x[:, :L] + 1, dim=-1), -torch.ones(len(x))), "p(x|z)": nn.Linear(L, D)}
    with pytest.raises(
        NetworkError, match=r"q\(z\|x\): concentration is -1 somewhere, and it must be positive\n  write: .*softplus"
    ):
        around("s-vae", spec)(X)
    spec["q(z|x)"] = lambda x: (x[:, :L] + 1, torch.ones(len(x)))
    with pytest.raises(NetworkError, match=r"q\(z\|x\): mean is not a unit vector\n  write: .*normalize"):
        around("s-vae", spec)(X)


@pytest.mark.parametrize(
    ("networks", "error", "message"),
    [
        ({"q(z|y)": nn.Linear(1, 1)}, ibsym.SpecError, r"unknown network 'q\(z\|y\)', did you mean 'q\(z\|x\)'"),
        ({"data(x)": nn.Linear(1, 1)}, NetworkError, r"data\(x\) is empirical, which takes no network"),
        ({"p(z)": nn.Linear(1, 1)}, NetworkError, r"p\(z\) is standard-normal, which takes no network"),
        ({"q(z|x)": 3}, NetworkError, r"q\(z\|x\): a int is not callable"),
    ],
)
def test_names_of_networks(networks, error, message):
    with pytest.raises(error, match=message):
        around("vae", networks)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({}, r"data\(x\): the batch lacks x\n  write: {\"x\": ...}"),
        ({"y": torch.zeros(5, D)}, r"'y', which no source observes"),
        ({"x": [1, 2]}, r"data\(x\): x is a list"),
        ({"x": torch.zeros(5, D).long()}, r"x is torch.int64, and x is binary\[D\]\n  write: x.float"),
        ({"x": torch.tensor(1.0)}, r"x has shape \(\)"),
        ({"r": {"x": torch.zeros(5, D)}}, r"unknown source 'r'"),
        (torch.zeros(5, D), "the batch has a Tensor"),
    ],
)
def test_a_batch(batch, message):
    with pytest.raises(NetworkError, match=message):
        around("vae", GOOD)(batch)


def test_batches_of_several_sources_and_classes():
    system = around("semi-supervised-ib", sizes={"K": 3})
    x, c = torch.zeros(5, D), torch.arange(5) % 3
    with pytest.raises(NetworkError, match=r"one x, which data\(x,c\) and unlabelled\(x\) observe\n  write: {\"data\": "):
        system({"x": x, "c": c})
    with pytest.raises(NetworkError, match=r"the batch lacks unlabelled\(x\)"):
        system({"q": {"x": x, "c": c}})
    with pytest.raises(NetworkError, match=r"rows differ in number: x has 5, c has 4"):
        system({"q": {"x": x, "c": c[:4]}, "u": {"x": x}})
    with pytest.raises(NetworkError, match=r"c has class 3, and K = 3, sizes said"):
        system({"q": {"x": x, "c": c + 1}, "u": {"x": x}})
    with pytest.raises(NetworkError, match=r"c has shape \(5, 3\), torch.float32, and c is categorical\[K\]"):
        system({"q": {"x": x, "c": torch.zeros(5, 3)}, "u": {"x": x}})
    assert torch.isfinite(system({"q": {"x": x, "c": c}, "u": {"x": x[:3]}}).loss)


def test_samples_that_cannot_be():
    system = around("vae", GOOD)
    with pytest.raises(NetworkError, match="sizes are learned from the first batch"):
        system.sample("p", 3)
    system(X)
    with pytest.raises(ibsym.SpecError, match="unknown joint 'g'"):
        system.sample("g", 3)
    with pytest.raises(NetworkError, match=r"q starts from data\(x\)"):
        system.sample("q", 3)
    assert system.sample("q", 3, X)["z"].shape == (3, L)


def test_parameters_and_sizes_are_the_specs():
    with pytest.raises(ibsym.SpecError, match="unknown parameter 'gamma'"):
        ibsym.nn.System("beta-vae", gamma=1.0)
    with pytest.raises(ibsym.SpecError, match="unknown dimension 'Q'"):
        around("vae", sizes={"Q": 3})
    with pytest.raises(ibsym.SpecError, match="is not a size"):
        around("vae", sizes={"L": 0})


def raised(error):
    def network(x):
        raise error

    return network


@pytest.mark.parametrize(
    "error", [KeyError("a"), AttributeError("no foo"), AssertionError("99"), ZeroDivisionError(), OSError("x")]
)
def test_whatever_a_network_raises_has_its_factor(error):
    with pytest.raises(NetworkError, match=rf"q\(z\|x\): .*called with x \(5, 6\), and raised {type(error).__name__}") as info:
        around("vae", GOOD | {"q(z|x)": raised(error)})(X)
    assert info.value.__cause__ is error


def test_networks_elsewhere_or_of_another_type():
    away = nn.Linear(L, D, device="meta")
    assert elsewhere(away, [torch.zeros(5, L)]).startswith("system.to('cpu'), or a batch on meta: ")
    with pytest.raises(
        NetworkError, match=r"q\(z\|x\): .*\n  write: network\.to\(torch\.float32\), or a batch of torch\.float64"
    ):
        around("vae", GOOD | {"q(z|x)": nn.Linear(D, 2 * L).double()})(X)


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_networks_in_half_precision_learn_beside_others(low):
    """What they take is halved, what they return is raised: the rest of the loss is in full."""
    encoder, decoder = nn.Linear(D, 2 * L).to(low), nn.Linear(L, D)
    system = around("vae", {"q(z|x)": encoder, "p(x|z)": decoder})
    for x in (X["x"], X["x"].to(low)):
        out = system({"x": x})
        out.loss.backward()
        assert out.loss.dtype is torch.float32
        assert encoder.bias.grad.dtype is low
    system.float()
    system(X).loss.backward()


def test_symbols_that_no_embedding_has():
    spec = ibsym.load("vib")
    system = around("vib", {"q(z|x)": nn.Linear(5, 2 * L), "p(c|z)": nn.Linear(L, 3)})
    rows = {"x": torch.zeros(5, 5), "c": torch.full((5,), 3)}
    with pytest.raises(NetworkError, match=r"c has class 3, and K = 3, p\(c\|z\) said"):
        system(rows)
    table = nn.Embedding(3, 2 * L)
    assert spec.factors
    system = around("cvae", {"q(z|x,c)": lambda x, c: table(c), "p(z|c)": lambda c: table(c)})
    with pytest.raises(NetworkError, match=r"; with class indices, .*IndexError: index out of range"):
        system({"x": torch.zeros(5, D), "c": torch.arange(5)})


def test_a_named_tuple_is_read_by_its_names():
    class Swapped(NamedTuple):
        logvar: torch.Tensor
        mean: torch.Tensor

    system = around("vae", GOOD | {"q(z|x)": lambda x: Swapped(torch.full((len(x), L), -9.0), torch.full((len(x), L), 2.0))})
    assert torch.equal(system.draw(X)["q(z|x)"].mean, torch.full((5, L), 2.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, r"draws: 0 is none\n  write: a positive whole number"),
        ({"draws": 2.5}, "draws: 2.5 is none"),
        ({"hidden": -1}, "hidden: -1 is none"),
        ({"beta": -2.0}, "beta-vae: beta is a number or a 0-d tensor from 0 to inf, not -2"),
        ({"group": "nobody's"}, r"no group .*\n  write: torch.distributed.init_process_group"),
        ({"networks": [1]}, r'networks is a list\n  write: \{"q\(z\|x\)": a network'),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ibsym.IbsymError, match=message):
        System(certificate("beta-vae"), **options)


def test_rows_that_are_none():
    with pytest.raises(NetworkError, match=r"data\(x\): the batch has no rows"):
        around("vae", GOOD)({"x": torch.zeros(0, D)})
    with pytest.raises(NetworkError, match="-1 samples"):
        around("vae", GOOD, sizes={"D": D, "L": L}).sample("p", -1)
