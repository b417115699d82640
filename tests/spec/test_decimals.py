"""Decimals are the rationals that they are written as, wherever they stand in a spec's notation."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest

from ibsym.errors import SpecError
from ibsym.rendering import tex
from ibsym.rendering.notation import density
from ibsym.spec.grammar import decimal
from ibsym.spec.model import Spec
from ibsym.terms.vectors import Coordinates

SEEDS = range(20)


def mixed(first: str, second: str) -> Spec:
    return Spec(
        name="mixed",
        objective="minimize KL(m(x)||p(x))",
        variables={"x": "real[D]", "z": "real[L]", "t": "real[T]"},
        joints={"q": "data(x) q(z|x)", "p": "p(z) p(x|z)", "m": f"({first}*data(x) + {second}*p(x)) e(t|x)"},
        families={
            **dict.fromkeys(("q(z|x)", "e(t|x)"), "diagonal-normal"),
            "p(z)": "standard-normal",
            "p(x|z)": "isotropic-normal",
        },
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_are_exact(seed: int) -> None:
    rng = random.Random(seed)
    size = 10 ** rng.randint(1, 30)
    first = Fraction(rng.randint(1, size - 1), size)
    digits = len(str(size)) - 1
    texts = [f"0.{str(x * size).zfill(digits)}" for x in (first, 1 - first)]
    spec = mixed(*texts)
    assert [c.weight for c in spec.joints["m"].factors[0].components] == [first, 1 - first]
    assert sorted(w for w, _ in Coordinates(spec).samplers("m")) == sorted((first, 1 - first))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("0.3333333", "2/3"), ("0.123456789", "71/81"), ("0.5", "0.5000000000000001"), ("1/3", "0.6666666666666666")),
        *(("0.99999999999", "0"), ("1", "0"), ("1/0", "1"), ("0", "1"), ("1e-300", "1")),
    ],
)
def test_weights_that_nearly_sum_to_one_do_not(first: str, second: str) -> None:
    with pytest.raises(SpecError, match=r"sum to|the weights of"):
        mixed(first, second)


@pytest.mark.parametrize(("first", "second"), [("1/3", "2/3"), ("0.1", "9/10"), ("1/7", "6/7"), ("2/4", "0.5")])
def test_weights_may_be_fractions(first: str, second: str) -> None:
    spec = mixed(first, second)
    factor = spec.joints["m"].factors[0]
    assert sum(c.weight for c in factor.components) == 1
    assert factor.components[0].weight == Fraction(first)
    shown = re.findall(r"frac\{(\d+)\}\{(\d+)\}", tex.tex(density(factor)))
    assert [Fraction(int(a), int(b)) for a, b in shown] == [c.weight for c in factor.components]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rational_is_printed_as_it_is(seed: int) -> None:
    rng = random.Random(seed)
    x = Fraction(rng.randint(1, 10 ** rng.randint(1, 25)), rng.choice((10, 3, 7, 10**8, 10**22)))
    assert Fraction(decimal(x)) == x
