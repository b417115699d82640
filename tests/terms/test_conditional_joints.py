"""Joints that condition on what they do not generate, marginals of a source as roots: what exists, its value, what is refused."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

import ibsym
from ibsym.checking import coordinates
from ibsym.checking.audit import audit
from ibsym.checking.exact import Facts
from ibsym.checking.finite import FiniteWorld
from ibsym.checking.gaussian import GaussianWorld
from ibsym.errors import IbsymError, SpecError
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density
from ibsym.terms.reading import Reader, density
from ibsym.terms.vectors import Coordinates

KEYS: dict[str, Any] = {
    "name": "conditional",
    "variables": {"x": "binary[D]", "c": "categorical[K]", "z": "real[L]"},
    "joints": {"q": "data(x,c) q(z|x,c)", "p": "p(z|c) p(x|z,c)"},
    "families": {"q(z|x,c)": "diagonal-normal", "p(z|c)": "diagonal-normal", "p(x|z,c)": "bernoulli"},
}
ROOTED = {**KEYS, "joints": {**KEYS["joints"], "p": "data(c) p(z|c) p(x|z,c)"}}


def derived(objective: str, keys: dict[str, Any] = KEYS) -> ibsym.Derivation:
    return ibsym.derive(Spec(**keys, objective=objective))


EVIDENCE = "KL(q(z|x,c)||p(z|c)) - E_q[log p(x|z,c)]"


@pytest.mark.parametrize(
    ("objective", "relation", "bound", "constants", "gap"),
    [
        ("minimize KL(q(x|c)||p(x|c))", "<=", EVIDENCE, "-H_q(X|C)", "KL(q(z|x,c)||p(z|x,c))"),
        ("minimize CE(q(x|c)||p(x|c))", "<=", EVIDENCE, "0", "KL(q(z|x,c)||p(z|x,c))"),
        ("minimize KL(q(x,z|c)||p(x,z|c))", "=", EVIDENCE, "-H_q(X|C)", "0"),
        ("minimize KL(q(z|x,c)||p(z|x,c))", "<=", EVIDENCE, "-H_q(X|C)", "KL(q(x|c)||p(x|c))"),
    ],
)
@pytest.mark.parametrize("keys", [KEYS, ROOTED], ids=["conditional", "rooted in data(c)"])
def test_the_conditional_evidence_bound(
    objective: str, relation: str, bound: str, constants: str, gap: str, keys: dict[str, Any]
) -> None:
    derivation = derived(objective, keys)
    assert str(derivation.relation) == relation
    assert {(str(b.coefficient), b.text) for b in derivation.bound} == {("1", EVIDENCE[:20]), ("-1", EVIDENCE[23:])}
    assert str(derivation.constants) == constants
    assert (" + ".join(str(g.term) for g in derivation.gap) or "0") == gap
    audit(derivation, worlds=12)


@pytest.mark.parametrize(
    ("objective", "message", "remedy"),
    [
        ("minimize KL(q(x)||p(x))", "p conditions on c and has no law of it, so no p(x)", "p(x|c)"),
        ("minimize KL(q(z)||p(z))", "so no p(z)", "p(z|c)"),
        ("minimize KL(q(x,c)||p(x,c))", "so no p(x,c)", "p(x|c)"),
        ("minimize KL(q(c)||p(c))", "so no p(c)", "p(z|c), p(x|z,c)"),
        ("minimize KL(q(x|z)||p(x|z))", "so no p(x|z)", "p(x|c,z)"),
        ("maximize E_q[log p(c|x)]", "so no p(c|x)", "p(z|c), p(x|z,c)"),
        ("minimize H_p(X|C)", "no expectation can be taken under it", "data(c) p(z|c) p(x|z,c)"),
        ("minimize I_p(X;Z|C)", "no expectation can be taken under it", "data(c) p(z|c) p(x|z,c)"),
        ("minimize TC_p(X;Z)", "no expectation can be taken under it", "data(c) p(z|c) p(x|z,c)"),
        ("minimize KL(p(x|c)||q(x|c))", "no expectation can be taken under it", "data(c) p(z|c) p(x|z,c)"),
        ("maximize E_p[log q(z|x,c)]", "no expectation can be taken under it", "data(c) p(z|c) p(x|z,c)"),
        ("minimize JS(data(x)||p(x))", "so no p(x)", "p(x|c)"),
    ],
)
def test_what_needs_a_law_of_the_condition_is_refused_by_name(objective: str, message: str, remedy: str) -> None:
    with pytest.raises(SpecError) as refusal:
        derived(objective)
    assert message in refusal.value.message
    assert remedy in refusal.value.remedy


def test_a_mixture_needs_laws() -> None:
    joints = {**KEYS["joints"], "m": "(0.5*data(x) + 0.5*p(x)) m(t|x)"}
    keys = {
        **KEYS,
        "joints": joints,
        "variables": {**KEYS["variables"], "t": "real[T]"},
        "families": {**KEYS["families"], "m(t|x)": "diagonal-normal"},
    }
    with pytest.raises(SpecError, match="p conditions on c and has no law of it, so it cannot be a component of m"):
        Spec(**keys, objective="minimize I_q(X;Z)")


def test_values_by_hand() -> None:
    """p(x|c) = sum_z p(z|c) p(x|z,c) in tables; N(W(Bc+b)+Vc+d, WSW'+T) in a Gaussian world; and the coordinates' own value."""
    spec = Spec(**KEYS, objective="minimize CE(q(x|c)||p(x|c))")
    term = Reader(spec, "objective").term(spec.objective.expression)  # type: ignore[arg-type]
    assert len(Coordinates(spec).vector(term)) == 1
    for seed in range(10):
        world = FiniteWorld.random(spec, seed)
        prior, likelihood = world.tables["p(z|c)"], world.tables["p(x|z,c)"]
        marginal = (prior * likelihood).sum(axis=world.axes["z"], keepdims=True)
        law = world.marginal("q", ("x", "c"))
        expected = -(law * np.log(marginal)).sum()
        assert world.value(term) == pytest.approx(expected, abs=1e-12)
        assert coordinates.value(world, Coordinates(spec).vector(term)) == pytest.approx(expected, abs=1e-12)
        gaussian = GaussianWorld.random(spec, seed)
        z, x = gaussian.factors["p(z|c)"], gaussian.factors["p(x|z,c)"]
        n = gaussian.dims["z"]
        w, v = x.weights[:, :n], x.weights[:, n:]
        found = gaussian.conditional(Density("p", ("x",), ("c",)))
        assert np.allclose(found.weights, w @ z.weights + v)
        assert np.allclose(found.offset, w @ z.offset + x.offset)
        assert np.allclose(found.covariance, w @ z.covariance @ w.T + x.covariance)


def random_conditional(seed: int) -> Spec:
    """A random graph p over four or five variables of which one to three are not generated; q has them all."""
    rng = random.Random(seed)
    names = ["a", "b", "c", "d", "e"][: rng.randint(3, 5)]
    outside = names[: rng.randint(1, min(3, len(names) - 2))]
    families: dict[str, str] = {}

    def factor(head: str, i: int) -> str:
        given = sorted(rng.sample(names[:i], rng.randint(0 if head == "p" else 1, min(2, i))))
        text = f"{head}({names[i]}" + (f"|{','.join(given)}" if given else "") + ")"
        families[text] = "categorical"
        return text

    p = [factor("p", i) for i in range(len(outside), len(names))]
    q = [f"data({','.join(outside)})", *(factor("q", i) for i in range(len(outside), len(names)))]
    variables = {n: f"categorical[K{n}]" for n in names}
    joints = {"q": " ".join(q), "p": " ".join(p)}
    objective = f"minimize H_q({names[-1].upper()})"
    return Spec(name="graph", variables=variables, joints=joints, families=families, objective=objective)


def two_laws(spec: Spec, seed: int) -> list[np.ndarray]:
    """p's factors times two random laws of what it conditions on, dependent ones."""
    world = FiniteWorld.random(spec, seed)
    joint, rng = spec.joints["p"], np.random.default_rng(seed)
    shape = [world.shapes[v][0] if v in joint.external else 1 for v in spec.variables]
    product = np.ones(1)
    for factor in joint.factors:
        product = product * world.tables[factor.text]
    return [product * rng.dirichlet(np.ones(int(np.prod(shape)))).reshape(shape) for _ in range(2)]


@pytest.mark.parametrize("seed", range(30))
def test_a_density_exists_exactly_where_no_law_of_the_condition_changes_it(seed: int) -> None:
    """By d-separation, by moralisation in the audit, and by numbers: r(a|b) is the same under two laws of E."""
    spec = random_conditional(seed)
    joint, facts = spec.joints["p"], Facts(spec)
    axes = {v: i for i, v in enumerate(spec.variables)}
    laws = two_laws(spec, seed)
    world = FiniteWorld.random(spec, seed)

    def conditional(law: np.ndarray, of: tuple[str, ...], given: tuple[str, ...]) -> np.ndarray:
        def keep(names: tuple[str, ...]) -> np.ndarray:
            return law.sum(axis=tuple(axes[v] for v in axes if v not in names), keepdims=True)

        return keep((*of, *given)) / keep(given)

    names = joint.variables
    for size in (1, 2):
        for of in itertools.combinations(names, size):
            rest = [v for v in names if v not in of]
            for count in range(len(rest) + 1):
                for given in itertools.combinations(rest, count):
                    first, second = (conditional(law, of, given) for law in laws)
                    same = np.allclose(first, second, atol=1e-9)
                    assert joint.exists(of, given) is same
                    assert facts.exists(density(spec, "p", of, given)) is same
                    if same:
                        assert np.allclose(world.density(density(spec, "p", of, given)), first)


def test_the_audit_refuses_a_density_that_does_not_exist() -> None:
    """E_q[log q(x)] - E_q[log p(x|c)] may be negative: as a relative entropy to p(x), which there is none of, it is no row."""
    from ibsym.terms.measures import RelativeEntropy

    facts = Facts(Spec(**KEYS, objective="minimize CE(q(x|c)||p(x|c))"))
    assert facts.nonnegative(RelativeEntropy(Density("q", ("x",), ("c",)), (Density("p", ("x",), ("c",)),)))
    assert not facts.nonnegative(RelativeEntropy(Density("q", ("x",)), (Density("p", ("x",)),)))


def test_a_source_s_marginal_is_the_source_s() -> None:
    """H_p(C) = H_q(C) = H_data(C), a constant, and p samples from it; the world's table is the source's own margin."""
    spec = Spec(**ROOTED, objective="minimize H_p(C) - H_q(C) + KL(q(x|c)||p(x|c))")
    derivation = ibsym.derive(spec)
    assert str(derivation.constants) == "-H_q(X|C)"
    audit(derivation, worlds=12)
    assert [str(f) for f in spec.joints["p"].factors] == ["data(c)", "p(z|c)", "p(x|z,c)"]
    assert str(spec.sources["data"]) == "data(x,c)"
    world, gaussian = FiniteWorld.random(spec, 3), GaussianWorld.random(spec, 3)
    assert np.allclose(world.marginal("p", ("c",)), world.marginal("data", ("c",)))
    places = gaussian.moments("p").index(("c",)), gaussian.moments("data").index(("c",))
    assert np.allclose(gaussian.moments("p").mean[places[0]], gaussian.moments("data").mean[places[1]])
    law = Coordinates(spec)
    assert law.equal(law.log("p", "p", ("c",)), law.log("data", "data", ("c",)))
    assert not law.equal(law.log("p", "p", ("x",)), law.log("data", "data", ("x",)))


def test_expectations_under_a_rooted_model_are_taken() -> None:
    derivation = derived("minimize KL(q(x)||p(x))", ROOTED)
    assert [str(g.term) for g in derivation.gap] == ["KL(q(c,z|x)||p(c,z|x))"]
    audit(derivation)
    assert Spec(**ROOTED, objective="minimize I_p(X;Z|C)").joints["p"].rooted
    with pytest.raises(IbsymError):
        FiniteWorld.random(Spec(**KEYS, objective="minimize CE(q(x|c)||p(x|c))"), 0).joint("p")


def test_factors_that_do_not_see_the_condition() -> None:
    """p = p(z|c) p(x|z) p(y|z): p(x|z) is worth the same by its factor and by p's law, and X - Z - Y given c."""
    variables = {"x": "binary[D]", "c": "categorical[K]", "z": "categorical[M]", "y": "binary[E]"}
    p = {"p(z|c)": "categorical", "p(x|z)": "bernoulli", "p(y|z)": "bernoulli"}
    spec = Spec(
        name="chain", objective="minimize CE(q(x|c)||p(x|c))", variables=variables,
        joints={"q": "data(x,y,c) q(z|x)", "p": " ".join(p)}, families={**p, "q(z|x)": {"family": "categorical", "relax": "concrete"}},
    )  # fmt: skip
    system = Coordinates(spec)
    by_factor, by_law = (log("q", "p", ("x",), ("z",)) for log in (system.log, system.by_law))
    assert system.equal(by_factor, by_law)
    apart = system.by_law("q", "p", ("x",), ("y", "z", "c"))
    assert system.equal(apart, system.by_law("q", "p", ("x",), ("z", "c")))
    assert not system.equal(apart, system.by_law("q", "p", ("x",), ("y", "c")))
    for seed in range(5):
        world = FiniteWorld.random(spec, seed)
        for given, law in ((("z",), by_law), (("y", "z", "c"), apart)):
            expected = world.expected_log("q", [(1, density(spec, "p", ("x",), given))])
            assert coordinates.value(world, law) == pytest.approx(expected, abs=1e-12)
    audit(ibsym.derive(spec))


def test_independences_are_those_given_the_condition() -> None:
    """p = p(x|c) p(y|c): X - C - Y, and nothing of x and y alone, of which p has no law."""
    p = {"p(x|c)": "bernoulli", "p(y|c)": "bernoulli"}
    spec = Spec(
        name="fork", objective="minimize KL(q(x,y|c)||p(x,y|c))", joints={"q": "data(x,y,c)", "p": " ".join(p)}, families=p,
        variables={"x": "binary[D]", "y": "binary[E]", "c": "categorical[K]"},
    )  # fmt: skip
    assert list(spec.joints["p"].independences()) == [("x", "y", ("c",))]
    derivation = ibsym.derive(spec)
    assert str(derivation.final) == "-H_q(X,Y|C) - E_q[log p(x|c)] - E_q[log p(y|c)]"
    audit(derivation)


def test_a_factor_is_evaluated_where_its_joint_s_condition_is_not() -> None:
    """E_u[log p(x|z)] with p = p(z|c) p(x|z), and no c in u."""
    p = {"p(z|c)": "diagonal-normal", "p(x|z)": "bernoulli"}
    spec = Spec(
        name="elsewhere", objective="maximize E_u[log p(x|z)]", variables=KEYS["variables"],
        joints={"q": "data(x,c) q(z|x,c)", "u": "unlabelled(x) u(z|x)", "p": " ".join(p)},
        families={**p, "q(z|x,c)": "diagonal-normal", "u(z|x)": "diagonal-normal", "unlabelled(x)": "empirical"},
    )  # fmt: skip
    (key,) = Coordinates(spec).vector(Reader(spec, "objective").term(spec.objective.expression))  # type: ignore[arg-type]
    assert set(key[2]) == {"x", "z"}  # type: ignore[call-overload]
    audit(ibsym.derive(spec))


def test_a_source_is_its_marginal_only_where_no_more_is_used() -> None:
    spec = Spec(**ROOTED, objective="minimize H_q(X) + H_q(C) + H_p(X)")
    system = Coordinates(spec)
    for seed in range(5):
        world = FiniteWorld.random(spec, seed)
        for joint in ("q", "data", "p"):
            for scope in (("x",), ("c",), ("x", "c")):
                law = system.log(joint, joint, scope)
                assert -coordinates.value(world, law) == pytest.approx(world.entropy(joint, scope), abs=1e-12)
