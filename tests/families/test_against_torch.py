"""Every family against torch.distributions in float64, value and gradients, as the expression and as the compiled pass."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.conformance import Sizes, sample  # noqa: E402
from ibsym.errors import SpecError  # noqa: E402
from ibsym.families import base  # noqa: E402
from ibsym.families.facts import FAMILIES, FamilyUse  # noqa: E402
from ibsym.nn import distributions, laws  # noqa: E402
from tests.families.test_edges import CASES, built, run, spec  # noqa: E402
from tests.families.test_families import USES  # noqa: E402

D = torch.distributions
DTYPE = torch.float64
UNKNOWN = {"vector-quantised", "external", "von-mises-fisher", "uniform-sphere"}  # held against integrals elsewhere
LOOSE = {
    "continuous-bernoulli": 1e-4,  # torch's is a Taylor polynomial of low order near logits of 0
    **dict.fromkeys((" beta ", " gamma ", " dirichlet "), 1e-9),  # torch's trigamma has nine digits
}
CLOSED = [c for c in CASES if c.startswith(("H ", "KL "))]


def law(made, factor, given, lead):
    """The factor's distribution in torch, at the loss's arguments."""
    use = made.factors[factor].family
    (variable,) = made.factors[factor].of
    kind = made.variables[variable].kind
    if use.name == "categorical" or (use.name == "uniform" and kind == "categorical"):
        return D.Categorical(logits=given.get((factor, "logits"), torch.zeros(3, dtype=DTYPE)))
    own = {role: torch.zeros(3, dtype=DTYPE) for role in use.parameters}  # what an entropy does not depend on
    own |= {role: t for (of, role), t in given.items() if of == factor}
    return distributions.LawOf(use, kind)((3,), own, lead, torch.zeros((), dtype=DTYPE))


def agree(label, wanted):
    """Value and every gradient of the loss, both ways, against what torch's distributions give at the same leaves."""
    made, _, loss_class = built(label)
    torch.manual_seed(1)
    sizes = Sizes()
    given = {i.name: sample(made, i, sizes, drawn=True) for i in loss_class.INPUTS}
    leaves = {n: t.clone().requires_grad_(t.is_floating_point()) for n, t in given.items()}
    want = wanted(made, {(i.of, i.role): leaves[i.name] for i in loss_class.INPUTS})
    if want is None:
        pytest.skip("torch has no closed form")
    values = {
        i.name for i in loss_class.INPUTS if i.role == "value"
    }  # torch's have other gradients at the ends of a grid, of counts
    learning = {n: t for n, t in leaves.items() if n not in values}
    slopes = dict(zip(learning, torch.autograd.grad(want, list(learning.values()), allow_unused=True), strict=True))
    tolerance = next((t for n, t in LOOSE.items() if n in label), 1e-10)
    for way in ("pass", "expression"):
        found, gradients = run(loss_class(), way, given, DTYPE)
        assert found == pytest.approx(float(want.detach()), rel=tolerance), way
        for name, slope in slopes.items():
            if slope is not None and gradients.get(name) is not None:
                torch.testing.assert_close(
                    gradients[name], slope, rtol=tolerance, atol=tolerance, msg=lambda m, w=f"{way}: {name}": f"{w}: {m}"
                )


@pytest.mark.parametrize("label", [c for c in CASES if c.startswith("log ") and "vector-quantised" not in c])  # no decoder
def test_log_density(label):
    made = built(label)[0]
    use = made.factors["p(x|z)"].family
    if use.name in UNKNOWN:
        pytest.skip("torch lacks it")

    def wanted(made, given):
        x = given["x", "value"]
        lead = (next(t for (of, _), t in given.items() if of == "p(x|z)").shape[0], len(x))
        return -law(made, "p(x|z)", given, lead).log_prob(x).mean()

    agree(label, wanted)


@pytest.mark.parametrize("label", CLOSED)
def test_closed_forms(label):
    if built(label) is None:
        pytest.skip("refused")

    def wanted(made, given):
        if any(role in ("sample", "value") for _, role in given):
            return None  # it is sampled
        rows = max(len(t) for (of, _), t in given.items() if of == "q(z|x)")
        try:
            first = law(made, "q(z|x)", given, (rows,))
            if label.startswith("H "):
                return first.entropy().mean()
            second = law(made, "p(z)", given, (rows,))
            found = D.kl_divergence(first, second).mean()
            return found if found.isfinite() else None  # of a uniform law on [0, 1], torch's support has no ends
        except (NotImplementedError, AttributeError):
            return None

    agree(label, wanted)


SPACES = ("positive", "simplex", "count")
TERM = "KL(q(z|x)||p(z))"
PAIRS = [
    (a, b, kind) for a, b in base.RELATIVE_ENTROPIES for kind in SPACES if FAMILIES[a].learned and kind in FAMILIES[a].spaces
]


@pytest.mark.parametrize(("a", "b", "kind"), PAIRS)
def test_sampled_in_place_of_closed(a, b, kind):
    """The same in expectation, one value a row; draws of counts carry no gradient, which is said."""
    keys = {**spec(f"minimize {TERM}", kind, a, b), "estimators": {TERM: "sampled"}}
    if not FAMILIES[a].reparameterised:
        with pytest.raises(SpecError, match=f"draws of q\\(z\\|x\\) \\({a}\\) carry no gradient"):
            ibsym.derive(ibsym.Spec(**keys))
        return
    losses = [ibsym.compile(ibsym.Spec(**k))(reduction="none") for k in (keys, spec(f"minimize {TERM}", kind, a, b))]
    made = ibsym.Spec(**keys)
    torch.manual_seed(2)
    given = {
        (i.of, i.role): sample(made, i, Sizes(), drawn=True) for loss in losses for i in loss.INPUTS if i.of in made.factors
    }
    given["z", "sample"] = law(made, "q(z|x)", given, (5,)).sample((20_000,))
    sampled, closed = (loss.expression(*(given[i.of, i.role] for i in loss.INPUTS)).loss for loss in losses)
    assert sampled.shape == closed.shape == (5,)
    torch.testing.assert_close(sampled, closed, rtol=0.1, atol=0.1)


def test_laws_that_torch_lacks():
    """By transforms and mixtures of laws that it has; draws have their moments, and gradients."""
    torch.manual_seed(0)
    mean, scale = torch.randn(3, dtype=DTYPE), torch.rand(3, dtype=DTYPE) + 0.4
    base = D.Uniform(torch.zeros(3, dtype=DTYPE), torch.ones(3, dtype=DTYPE))
    logistic = D.TransformedDistribution(base, [D.SigmoidTransform().inv, D.AffineTransform(mean, scale)])
    v = torch.linspace(-2, 3, 7, dtype=DTYPE)[:, None]
    torch.testing.assert_close(laws.Logistic(mean, scale).log_prob(v), logistic.log_prob(v), rtol=1e-10, atol=1e-10)
    counts = torch.arange(40, dtype=DTYPE)[:, None]
    places = torch.arange(6, dtype=DTYPE)[:, None] / 5
    grid, whole = (
        laws.DiscretisedLogistic(mean, scale, torch.full((3,), 6.0, dtype=DTYPE)),
        laws.DiscretisedLogistic(mean + 2, scale),
    )
    torch.testing.assert_close(grid.log_prob(places).exp().sum(0), torch.ones(3, dtype=DTYPE))
    torch.testing.assert_close(whole.log_prob(counts).exp().sum(0), torch.ones(3, dtype=DTYPE))
    inside = (logistic.cdf(places + 0.1) - logistic.cdf(places - 0.1))[1:-1]
    torch.testing.assert_close(grid.log_prob(places)[1:-1].exp(), inside)
    assert set(grid.sample((500,)).mul(5).round(decimals=9).unique().tolist()) <= set(range(6))
    inflated = laws.ZeroInflatedNegativeBinomial(scale + 1, mean, mean - 1)
    torch.testing.assert_close(
        inflated.log_prob(torch.arange(400, dtype=DTYPE)[:, None]).exp().sum(0), torch.ones(3, dtype=DTYPE)
    )
    parts = (
        torch.sigmoid(mean - 1)
        + torch.sigmoid(1 - mean) * D.NegativeBinomial(scale + 1, logits=mean).log_prob(torch.zeros(3)).exp()
    )
    torch.testing.assert_close(inflated.log_prob(torch.zeros(3, dtype=DTYPE)).exp(), parts)
    assert (inflated.sample((4000,)) == 0).double().mean(0) == pytest.approx(parts.numpy(), abs=0.04)


def test_power_spherical():
    """Its density integrates to 1 on the circle; draws have the mean direction's cosine a/(a + b) 2 - 1, and its gradient."""
    torch.manual_seed(0)
    angle = torch.arange(4000, dtype=DTYPE) * 2 * math.pi / 4000
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    for k in (0.3, 2.0, 40.0):
        made = laws.PowerSpherical(torch.tensor([1.0, 0.0], dtype=DTYPE), torch.tensor(k, dtype=DTYPE))
        assert float(made.log_prob(circle).exp().mean() * 2 * math.pi) == pytest.approx(1, abs=1e-2 if k < 1 else 1e-9)
    k = torch.full((40_000,), 3.0, dtype=DTYPE, requires_grad=True)
    draws = laws.PowerSpherical(torch.tensor([0.0, 0.6, 0.8], dtype=DTYPE), k).rsample()
    cosine = (draws @ torch.tensor([0.0, 0.6, 0.8], dtype=DTYPE)).mean()
    assert float(cosine.detach()) == pytest.approx(2 * 4 / 5 - 1, abs=0.01)
    (slope,) = torch.autograd.grad(cosine, k)
    assert float(slope.sum()) == pytest.approx(2 * 1 / 25, abs=0.01)  # d/dk (1 + k)/(2 + k) = 1/(2 + k)^2


def test_all_are_walked_over():
    named = " ".join(CASES)
    assert all(use.name in named for use in USES.values())
    assert all(isinstance(use, FamilyUse) for use in USES.values())
