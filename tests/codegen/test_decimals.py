"""Numbers of a spec, with any digits and of any size: derived, checked, generated and run in torch, in C and by the interpreter."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.conformance import Sizes, agree, sample  # noqa: E402
from ibsym.lowering import lower  # noqa: E402
from ibsym.lowering.interpreter import evaluate  # noqa: E402

BASE = {
    "name": "decimals",
    "variables": {"x": "real[3]", "z": "real[2]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal"},
}
SIMPLEX = {"variables": {"x": "real[3]", "z": "unit[3]"}}
LATENT = "KL(q(z)||p(z))"


def fixed(family, option, number):
    return {
        "objective": "maximize E_q[log p(x|z)]",
        "families": BASE["families"] | {"p(x|z)": {"family": family, option: number}},
    }


def kernel(number, **more):
    return {"objective": f"minimize {LATENT}", "estimators": {LATENT: {"estimator": "mmd", "bandwidth": number, **more}}}


PLACES = {
    "a scale": lambda n: fixed("isotropic-normal", "scale", n),
    "a Laplace scale": lambda n: fixed("laplace", "scale", n),
    "a bandwidth": lambda n: kernel(n),
    "a bandwidth of an inverse multiquadratic kernel": lambda n: kernel(n, kernel="inverse-multiquadratic"),
    "scales of a kernel": lambda n: kernel(1.3, kernel="inverse-multiquadratic", scales=(n, 2 * n)),
    "a temperature": lambda n: (
        SIMPLEX
        | {
            "objective": "minimize KL(q(z|x)||p(z))",
            "families": BASE["families"] | {"q(z|x)": {"family": "relaxed-categorical", "temperature": n}, "p(z)": "uniform"},
        }
    ),
    "a weight": lambda n: {"objective": f"minimize {n:.17f}*I_q(X;Z) - I_q(Z;X)"},
    "a size of the data": lambda n: {
        "objective": "minimize TC_q(Z)",
        "estimators": {"TC_q(Z)": {"estimator": "minibatch-stratified", "dataset_size": 7 + int(1e9 * n)}},
    },
}


def numbers(seed):
    """Any digits, any size between 1e-6 and 1e6, and the short ones that people write."""
    drawn = random.Random(seed)
    yield from (1.0, 0.3, 1 / 3, 1e-6)
    for _ in range(3):
        digits = drawn.randint(1, 17)
        yield float(f"{10 ** drawn.uniform(-6, 6):.{digits}g}")


@pytest.mark.parametrize("place", PLACES)
def test_any_number(place):
    for number in numbers(place):
        spec = ibsym.Spec(**{**BASE, **PLACES[place](number)})
        certificate = ibsym.audit(ibsym.derive(spec), worlds=1)
        program, loss_class = lower(certificate), ibsym.compile(certificate)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sizes = Sizes()
            given = {i.name: sample(spec, i, sizes, drawn=True) for i in loss_class.INPUTS}
        want = float(evaluate(program, {n: t.numpy() for n, t in given.items()}).loss)
        loss = loss_class()
        assert float(loss(**given).loss) == pytest.approx(want, rel=1e-10, abs=1e-10), number
        plain = getattr(loss, "expression", lambda *_: loss(**given))
        assert float(plain(*given.values()).loss) == pytest.approx(want, rel=1e-10, abs=1e-10), number


@pytest.mark.parametrize("number", [0.123456789012345678, 1e-6, 12345.678901234567])
@pytest.mark.parametrize("place", ["a scale", "a Laplace scale", "a bandwidth", "a temperature"])
def test_check_takes_any_number(place, number):
    """What `ibsym check` does, gradients by differences included; at a scale of 1e-6 it was a traceback."""
    spec = ibsym.Spec(**{**BASE, **PLACES[place](number)})
    certificate = ibsym.audit(ibsym.derive(spec), worlds=1)
    assert agree(spec, lower(certificate), ibsym.compile(certificate), worlds=1).gradients
