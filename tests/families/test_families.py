"""Every family against torch.distributions; every closed form against an integral or a long sum over its own densities."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ibsym.errors import EmissionError  # noqa: E402
from ibsym.families import base  # noqa: E402
from ibsym.families.base import Law, closed_relative_entropy  # noqa: E402
from ibsym.families.facts import FAMILIES, Constraint, FamilyUse  # noqa: E402
from ibsym.lowering.interpreter import _Machine  # noqa: E402
from ibsym.lowering.program import InputKey, Load, Size  # noqa: E402
from ibsym.lowering.translation import Translator, number  # noqa: E402
from ibsym.nn import distributions  # noqa: E402
from ibsym.nn import laws as nn_laws  # noqa: E402
from ibsym.spec.spaces import Space  # noqa: E402

D = torch.distributions
N, L, M = 3, 3, 4  # rows, coordinates or classes, components

GIVEN = {
    "isotropic-normal": {"scale": 0.7},
    "uniform-noise": {"width": 0.7},
    "laplace": {"scale": 0.3},
    "relaxed-categorical": {"temperature": 0.6},
}
USES = {
    f.name + (", learned" if use.options else ""): use if use.options else FamilyUse(f, tuple(GIVEN.get(f.name, {}).items()))
    for f in FAMILIES.values()
    if f.evaluated
    and f.name != "external"
    and not f.quantised  # whose formula is the caller's; a point, tests/lowering/test_symbols.py
    for use in FamilyUse(f).variants()
}


def numbers(use, kind, seed):
    """Random parameters by role."""
    g = np.random.default_rng(seed)
    made = {}
    for role in use.roles:
        x = g.normal(size=(N, *role.shape((L,), M)))
        match role.constraint:
            case Constraint.POSITIVE:
                x = np.abs(x) + 0.4
            case Constraint.TRIANGULAR:
                x = np.tril(x, -1) * 0.4 + np.eye(L) * (0.5 + np.abs(x))
            case Constraint.DIRECTION:
                x /= np.linalg.norm(x, axis=-1, keepdims=True)
        made[role.name] = x
    return made


def at(formula, laws, parameters, value=None, kind="real", size=None):
    """A formula's value by the interpreter, row by row."""
    arrays = {law.parameter(role): x for law, own in zip(laws, parameters, strict=True) for role, x in own.items()}
    if value is not None:
        arrays[base.VALUE] = value
    loads = {s: Load(InputKey(s.name, "value", ""), tuple(f"a{k}" for k in range(np.ndim(x)))) for s, x in arrays.items()}
    operands = {s: (lambda load=load: load) for s, load in loads.items()}
    template = Load(InputKey("template", "value", ""), ("n", "l"))
    operands[base.SIZE] = operands[base.CLASSES] = lambda: Size(template, (-1,))
    if kind == "categorical":  # one symbol
        operands[base.SIZE] = lambda: number(1)
    node = Translator(operands, 0 if kind == "categorical" else 1).node(formula.expression)
    machine = _Machine((), {}, {})
    machine.inputs = {load.key: arrays[s] for s, load in loads.items()} | {template.key: np.zeros((N, size or L))}
    return machine.node(node)


def distribution(use, own, kind):
    """The same law in torch."""
    t = {k: torch.as_tensor(v) for k, v in own.items()}
    if use.name == "categorical" or (use.name == "uniform" and kind == "categorical"):
        return D.Categorical(logits=t.get("logits", torch.zeros(N, L, dtype=torch.float64)))
    return distributions.LawOf(use, kind)((L,), t, (N,), torch.zeros((), dtype=torch.float64))


def space(kind):
    return Space.parse(f"{kind}[{L}]")


PLACES = [(label, kind) for label, use in USES.items() for kind in use.facts.spaces]
PAIRS = [
    (a, b, kind)
    for (a, kind), (b, other) in product(PLACES, PLACES)
    if kind == other and closed_relative_entropy(USES[a], USES[b])
]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_declared_facts_are_the_formulas(name):
    assert FAMILIES[name].evaluated == (name in base.LOG_DENSITIES)
    assert FAMILIES[name].evaluated or name not in base.ENTROPIES


def test_formulas_are_of_families_on_one_space():
    for pair in (*base.RELATIVE_ENTROPIES, *base.CROSS_ENTROPIES):
        first, second = (FAMILIES[name] for name in pair)
        assert set(first.spaces) & set(second.spaces)
        assert closed_relative_entropy(FamilyUse(first), FamilyUse(second))


@pytest.mark.parametrize(("label", "kind"), [p for p in PLACES if p[1] != "sphere"])
def test_log_density(label, kind):
    use, own = USES[label], numbers(USES[label], kind, 1)
    law, other = Law(use, space(kind)), distribution(use, own, kind)
    torch.manual_seed(0)
    value = other.sample()
    ours = at(base.log_density(law), [law], [own], value.numpy(), kind)
    theirs = other.log_prob(value)
    # torch's continuous Bernoulli is a Taylor polynomial of low order where the logits are near 0
    loose = label == "continuous-bernoulli"
    np.testing.assert_allclose(np.broadcast_to(ours, N), theirs, rtol=1e-5 if loose else 1e-10, atol=1e-5 if loose else 1e-12)


def test_soft_class_weights():
    use = USES["categorical"]
    law, own = Law(use, space("categorical"), soft=True), numbers(use, "categorical", 1)
    value = np.eye(L)[[0, 2, 1]]
    hard = distribution(use, own, "categorical").log_prob(torch.tensor([0, 2, 1]))
    np.testing.assert_allclose(at(base.log_density(law), [law], [own], value, "categorical"), hard, rtol=1e-12)


@pytest.mark.parametrize(("label", "kind"), [p for p in PLACES if USES[p[0]].name in base.ENTROPIES and p[1] != "sphere"])
def test_entropy(label, kind):
    use, own = USES[label], numbers(USES[label], kind, 2)
    law = Law(use, space(kind))
    ours = np.broadcast_to(at(base.entropy(law), [law], [own], kind=kind), N)
    agrees(ours, *_expectation(label, kind, own, lambda d, v: -d.log_prob(v)))


@pytest.mark.parametrize(("a", "b", "kind"), [p for p in PAIRS if p[2] != "sphere"])
def test_relative_and_cross_entropy(a, b, kind):
    first, second = Law(USES[a], space(kind)), Law(USES[b], space(kind), "_r")
    own, other = numbers(USES[a], kind, 3), numbers(USES[b], kind, 4)
    q = distribution(USES[b], other, kind)
    kl = np.broadcast_to(at(base.relative_entropy(first, second), [first, second], [own, other], kind=kind), N)
    if USES[a].name in base.ENTROPIES:
        cross = np.broadcast_to(at(base.cross_entropy(first, second), [first, second], [own, other], kind=kind), N)
        entropy = np.broadcast_to(at(base.entropy(first), [first], [own], kind=kind), N)
        np.testing.assert_allclose(cross, kl + entropy, rtol=1e-10, atol=1e-12)
    assert (kl >= -1e-12).all()
    agrees(kl, *_expectation(a, kind, own, lambda p, v: p.log_prob(v) - q.log_prob(v)))
    if kind == "real" and "normal" in a and "normal" in b:
        p, q = (
            d if isinstance(d, D.MultivariateNormal) else D.MultivariateNormal(d.mean, torch.diag_embed(d.variance))
            for d in (distribution(USES[a], own, kind), q)
        )
        np.testing.assert_allclose(kl, D.kl_divergence(p, q), rtol=1e-10)
    same = Law(USES[a], space(kind), "_r")
    np.testing.assert_allclose(at(base.relative_entropy(first, same), [first, same], [own, own], kind=kind), 0, atol=1e-12)


def agrees(ours, mean, error):
    """Within five standard errors of an estimate; to ten digits where it is exact."""
    np.testing.assert_array_less(np.abs(ours - mean), 5 * error + 1e-10 * (1 + np.abs(mean)))


def _expectation(label, kind, own, f):
    """E f under the law and its standard error: exactly where there are finitely many values, else over many draws."""
    p = distribution(USES[label], own, kind)
    if kind == "categorical":
        values = [torch.full((N,), k) for k in range(L)]
    elif kind == "binary":
        values = [torch.tensor(bits, dtype=torch.float64).expand(N, L) for bits in product((0.0, 1.0), repeat=L)]
    else:
        torch.manual_seed(7)
        draws = f(p, p.sample((40_000,)))
        return draws.mean(0).numpy(), (draws.std(0) / 200).numpy() + 1e-5
    return sum(p.log_prob(v).exp() * f(p, v) for v in values).numpy(), 0.0


@pytest.mark.parametrize(
    ("a", "b", "kind"), [p for p in PAIRS if p[2] in ("real", "positive", "unit") and "full" not in p[0] + p[1]]
)
def test_relative_entropy_by_quadrature(a, b, kind):
    """One coordinate, to eight digits."""
    law, law_r = (Law(USES[n], Space.parse(f"{kind}[1]"), mark) for n, mark in ((a, ""), (b, "_r")))
    own, other = ({k: v[:, :1] for k, v in numbers(USES[n], kind, s).items()} for n, s in ((a, 5), (b, 6)))
    places, weights = np.polynomial.legendre.leggauss(400)
    for row in range(N):
        mine, theirs = ({k: v[row : row + 1] for k, v in x.items()} for x in (own, other))
        centre = float(mine.get("mean", np.zeros((1, 1)))[0, 0])
        edges = [-36.0, -8.0, 0.0, 8.0, 36.0] if kind == "unit" else [-150.0, -50.0, -20.0, -8.0, -2.0, 2.0, 5.0, 10.0, 30.0]
        edges = edges if kind != "real" else [centre + step for step in (-150, -30, -6, 0, 6, 30, 150)]
        cuts = [float(theirs["mean"][0, 0])] if "mean" in theirs and kind == "real" else []
        edges = sorted({*edges, *cuts})
        total = 0.0
        for low, high in pairwise(edges):
            v = ((high - low) * places + high + low)[:, None] / 2
            slope = 1.0
            if kind == "unit":  # by the logit, since densities may be infinite at the edges
                v = 1 / (1 + np.exp(-v))
                slope = (v * (1 - v))[:, 0]
            if kind == "positive":
                v = np.exp(v)
                slope = v[:, 0]
            log_p, log_q = (
                np.broadcast_to(at(base.log_density(w), [w], [x], v), 400)
                for w, x in ((law, mine), (Law(law_r.family, law_r.space), theirs))
            )
            total += (high - low) / 2 * np.sum(weights * slope * np.exp(log_p) * (log_p - log_q))
        kl = float(np.squeeze(at(base.relative_entropy(law, law_r), [law, law_r], [mine, theirs])))
        assert kl == pytest.approx(total, abs=1e-8)


def test_von_mises_fisher_on_the_circle():
    """In two dimensions it is torch's von Mises law; integrals over the angle are sums."""
    use = USES["von-mises-fisher"]
    law, uniform = Law(use, space("sphere")), Law(USES["uniform-sphere"], space("sphere"), "_r")
    angle = np.linspace(-math.pi, math.pi, 2000, endpoint=False)
    k = np.array([1e-6, 0.3, 2.0, 40.0])
    mean = np.tile([[math.cos(0.4), math.sin(0.4)]], (4, 1))
    arrays = {"mean": mean, "concentration": k}
    points = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None, :]

    def on_circle(formula, laws, parameters, value=None):
        global L
        old, L = L, 2
        try:
            return at(formula, laws, parameters, value)
        finally:
            L = old

    log_p = on_circle(base.log_density(law), [law], [arrays], points)
    theirs = D.VonMises(torch.tensor(0.4, dtype=torch.float64), torch.as_tensor(k)).log_prob(torch.as_tensor(angle)[:, None])
    np.testing.assert_allclose(log_p, theirs, rtol=1e-5, atol=1e-6)
    step = 2 * math.pi / len(angle)
    np.testing.assert_allclose(np.exp(log_p).sum(0) * step, 1, rtol=1e-12)
    entropy = -(np.exp(log_p) * log_p).sum(0) * step
    np.testing.assert_allclose(on_circle(base.entropy(law), [law], [arrays]), entropy, atol=1e-12)
    kl = (np.exp(log_p) * (log_p + math.log(2 * math.pi))).sum(0) * step
    np.testing.assert_allclose(on_circle(base.relative_entropy(law, uniform), [law, uniform], [arrays, {}]), kl, atol=1e-12)


def test_power_spherical_by_integrals():
    """Density, entropy and relative entropy on the circle; concentrations at which the density is smooth at the other side."""
    angle = np.arange(4000) * 2 * math.pi / 4000
    circle, (k, n) = np.stack([np.cos(angle), np.sin(angle)], -1), (np.array([2.0, 7.5, 40.0]), 2)
    arrays = {"mean": np.tile([[math.cos(0.4), math.sin(0.4)]], (3, 1)), "concentration": k}
    law, other = (
        Law(USES[name], Space.parse(f"sphere[{n}]"), m) for name, m in (("power-spherical", ""), ("uniform-sphere", "_r"))
    )
    log_p = at(base.log_density(law), [law], [arrays], circle[:, None], size=n)
    made = nn_laws.PowerSpherical(*(torch.tensor(arrays[name]) for name in ("mean", "concentration")))
    np.testing.assert_allclose(log_p, made.log_prob(torch.tensor(circle[:, None])), rtol=1e-10, atol=1e-10)
    p = np.exp(log_p) * 2 * math.pi / 4000
    np.testing.assert_allclose(p.sum(0), 1, rtol=1e-10)
    entropy = -np.sum(p * np.maximum(log_p, -1e4), 0)
    np.testing.assert_allclose(at(base.entropy(law), [law], [arrays], size=n), entropy, atol=1e-8)
    kl = at(base.relative_entropy(law, other), [law, other], [arrays, {}], size=n)
    np.testing.assert_allclose(kl, math.log(2 * math.pi) - entropy, atol=1e-8)


def test_a_family_without_density_refuses():
    law = Law(FamilyUse(FAMILIES["implicit"]), space("real"))
    with pytest.raises(EmissionError, match="no density"):
        base.log_density(law)
    with pytest.raises(EmissionError, match="entropy"):
        base.entropy(Law(FamilyUse(FAMILIES["normal-mixture"]), space("real")))
    with pytest.raises(EmissionError, match="relative entropy"):
        base.relative_entropy(Law(USES["laplace"], space("real")), Law(USES["standard-normal"], space("real")))
