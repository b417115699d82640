"""Held-out metrics agree with what the losses say where both measure the same thing."""

import math

import pytest
import torch

from ibsym.nn.laws import UniformSphere, VonMisesFisher
from ibsym.training.metrics import find_evidence, find_readouts
from tests.training.helpers import SPECS, compiled, trainer

PATHS = {p.stem: str(p) for p in SPECS}


def name_of(name):
    return PATHS.get(name, name)


@pytest.mark.parametrize(
    ("name", "encoders", "priors", "decoders"),
    [
        ("vae", ["q(z|x)"], ["p(z)"], ["p(x|z)"]),
        ("aae", ["q(z|x)"], ["p(z)"], ["p(x|z)"]),
        ("semi-supervised-ib", ["q(z|x)"], ["p(z)"], ["p(x|z)"]),
        ("cvae", ["q(z|x,c)"], ["p(z|c)"], ["p(x|z,c)"]),
        ("hierarchical-vae", ["q(z1|x)", "q(z2|z1)"], ["p(z2)", "p(z1|z2)"], ["p(x|z1)"]),
        ("dvsib", ["q(z1|x1)", "q(z2|x2)"], ["p(z1)", "p(z2)"], ["p(x1|z1)", "p(x2|z2)"]),
    ],
)
def test_what_the_evidence_bound_is_made_of(name, encoders, priors, decoders):
    spec = compiled(name_of(name))[0]
    found = find_evidence(spec, set(spec.factors))
    assert [f.text for f in found.encoders] == encoders
    assert [f.text for f in found.priors] == priors
    assert [f.text for f in found.decoders] == decoders


@pytest.mark.parametrize("name", ["vib", "gan", "bigan", "infogan", "ceb", "private-ib", "symmetric-ib"])
def test_nothing_is_decoded_no_evidence(name):
    spec = compiled(name_of(name))[0]
    assert find_evidence(spec, set(spec.factors)) is None


@pytest.mark.parametrize(
    ("name", "readouts"),
    [
        ("vib", [("p(c|z)", "q", True)]),
        ("semi-supervised-ib", [("p(c|z)", "q", True)]),
        ("infogan", [("r(c|x)", "p", False)]),
        ("cvae", []),
        ("vae", []),
    ],
)
def test_what_is_read_out(name, readouts):
    spec = compiled(name_of(name))[0]
    found = find_readouts(spec, set(spec.factors))
    assert [(r.factor.text, r.joint, r.observed) for r in found] == readouts


@pytest.mark.parametrize("name", ["vae", "hierarchical-vae", "laplace-scale-vae", "cvae", "two-view-fused"])
def test_the_evidence_bound_is_minus_the_loss(name):
    run = trainer(name_of(name), settings={"hidden": 32})
    for _ in range(3):
        entry = run.epoch()
    held = entry["held_out"]
    assert math.isclose(held["metrics"]["evidence bound"], -held["loss"]["loss"], abs_tol=0.7)
    assert math.isclose(held["metrics"]["evidence bound"], -held["metrics"]["rate"] - held["metrics"]["distortion"])


def test_measuring_disturbs_nothing():
    run = trainer("vae", settings={"hidden": 16})
    state = torch.get_rng_state()
    assert run.meter.measure(3) == run.meter.measure(3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kappa", [0.5, 3.0, 40.0])
def test_directions_lie_about_their_mean(kappa):
    """E<z, mean> = coth k - 1/k on the sphere in three dimensions, and a gradient reaches the concentration."""
    with torch.random.fork_rng():  # noqa: TID251
        torch.manual_seed(0)
        mean = torch.nn.functional.normalize(torch.ones(20_000, 3, dtype=torch.float64), dim=-1)
        concentration = torch.full((20_000,), kappa, dtype=torch.float64, requires_grad=True)
        z = VonMisesFisher(mean, concentration).rsample()
    assert torch.allclose(z.norm(dim=-1), torch.ones(()).double())
    along = (z * mean).sum(-1)
    assert abs(float(along.detach().mean()) - (1 / math.tanh(kappa) - 1 / kappa)) < 0.02
    (gradient,) = torch.autograd.grad(along.sum(), concentration)
    slope = 1 / kappa**2 - 1 / math.sinh(kappa) ** 2
    assert abs(float(gradient.mean()) - slope) < 0.03 * slope


def test_the_uniform_sphere_has_no_direction():
    with torch.random.fork_rng():  # noqa: TID251
        torch.manual_seed(0)
        z = UniformSphere(torch.zeros(20_000, 4)).rsample()
    assert torch.allclose(z.norm(dim=-1), torch.ones(()))
    assert float(z.mean(0).norm()) < 0.02
