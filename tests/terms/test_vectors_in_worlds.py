"""Cross-entropy vectors against worlds: coordinates add up to terms, equations vanish, rows are not negative.

Equality of vectors is sound and complete there: equal terms are equal in every world, others differ in one.
"""

from __future__ import annotations

import itertools
import math
import random

import pytest

from ibsym.checking.coordinates import value
from ibsym.checking.exact import Facts, separated
from ibsym.checking.finite import STYLES, FiniteWorld
from ibsym.errors import SpecError
from ibsym.facts import Side
from ibsym.proving.elemental import ElementalInequality, InequalityKind, elemental_rows
from ibsym.spec.loading import load, zoo_names
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density, Estimate, MutualInformation, RelativeEntropy, Slack, TotalCorrelation
from ibsym.terms.vectors import Coordinates, combine
from tests.checking.random_specs import random_spec, random_term

SEEDS = range(16)


def near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-10 * (1 + abs(a))


def small(seed: int) -> Spec:
    return random_spec(seed, most=4)


@pytest.mark.parametrize("seed", SEEDS)
def test_vectors_add_up_to_their_terms(seed: int) -> None:
    spec, rng = small(seed), random.Random(seed)
    coordinates = Coordinates(spec)
    worlds = [FiniteWorld.random(spec, seed, style=style) for style in ("dense", "near-singular")]
    for _ in range(60):
        term = random_term(spec, rng, linear=False)
        for world in worlds:
            assert near(value(world, coordinates.vector(term)), world.value(term)), term


def test_vectors_of_coordinates_estimates_and_mixtures() -> None:
    spec = load("beta-tcvae")
    world = FiniteWorld.random(spec, 0)
    term = TotalCorrelation("q", (("z",),))
    coordinates = Coordinates(spec)
    assert near(value(world, coordinates.vector(term)), world.value(term))
    assert coordinates.vector(Estimate(term, "minibatch-weighted")) == coordinates.vector(term)
    information = MutualInformation("q", (("x",), ("z",)))
    estimate = Estimate(information, "infonce")
    expected = combine((1, coordinates.vector(information)), (-1, coordinates.vector(estimate)))
    assert coordinates.vector(Slack(estimate, Side.LOWER)) == expected
    declared = Estimate(information, "leave-one-out", Density.factor(spec.factors["q(z|x)"]))  # no bound, as it may be any
    assert coordinates.vector(declared) == coordinates.vector(information)
    vdb = load("vdb")
    world = FiniteWorld.random(vdb, 0)
    mixed = MutualInformation("m", (("x",), ("t",)))
    assert near(value(world, Coordinates(vdb).vector(mixed)), world.value(mixed))


@pytest.mark.parametrize("seed", SEEDS)
def test_equations_vanish(seed: int) -> None:
    spec = small(seed)
    coordinates = Coordinates(spec)
    equations = coordinates.equations(j.name for j in spec.joints.values() if j.rooted)
    for style in ("dense", "near-singular"):
        world = FiniteWorld.random(spec, seed, style=style)  # type: ignore[arg-type]
        for equation in equations:
            assert abs(value(world, equation.vector)) < 1e-9, equation.premise


@pytest.mark.parametrize("seed", SEEDS)
def test_equations_are_those_of_the_graphs(seed: int) -> None:
    """Found by d-separation there, by moralisation here: the same span."""
    facts = Facts(small(seed))
    named = [j.name for j in facts.spec.joints.values() if j.rooted]
    theirs = facts.coordinates.equations(named)
    assert all(facts.legal(e) for e in theirs)
    assert all(facts.coordinates.equal(e.vector, {}) for n in named for e in facts.equations(n))


@pytest.mark.parametrize("seed", range(40))
def test_moralisation_and_d_separation_agree(seed: int) -> None:
    for joint in (j for j in random_spec(seed, most=5).joints.values() if j.rooted):
        for a, b in itertools.combinations(joint.variables, 2):
            rest = [v for v in joint.variables if v not in (a, b)]
            for size in range(len(rest) + 1):
                for given in itertools.combinations(rest, size):
                    assert separated(joint, (a,), (b,), given) is joint.independent((a,), (b,), given)


@pytest.mark.parametrize("seed", SEEDS)
def test_elemental_rows_are_not_negative(seed: int) -> None:
    spec = small(seed)
    facts = Facts(spec)
    rows = elemental_rows(facts.coordinates, [j.name for j in spec.joints.values() if j.rooted])
    for style in STYLES:
        world = FiniteWorld.random(spec, seed, style=style)
        for row in rows:
            number = world.value(row.term)
            assert not number < -1e-10, row.term
            assert facts.nonnegative(row.term) == row.kind.value
            if math.isfinite(number) and style == "dense":
                assert near(value(world, row.vector), number)


@pytest.mark.parametrize("name", zoo_names())
def test_discrete_rows_are_for_discrete_variables(name: str) -> None:
    spec = load(name)
    for row in elemental_rows(Coordinates(spec), [j.name for j in spec.joints.values() if j.rooted]):
        if row.kind in (InequalityKind.ENTROPY, InequalityKind.CROSS_ENTROPY):
            assert all(spec.discrete(v) for v in _of(row))


def _of(row: ElementalInequality) -> tuple[str, ...]:
    return row.term.of if hasattr(row.term, "of") else row.term.first.of  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", SEEDS)
def test_equality_is_sound_and_complete_in_worlds(seed: int) -> None:
    """Terms that are equal as vectors are equal in every world; those that are not differ in some world."""
    spec, rng = small(seed), random.Random(1000 + seed)
    coordinates = Coordinates(spec)
    worlds = [FiniteWorld.random(spec, 7 * seed + k) for k in range(6)]
    terms = [random_term(spec, rng) for _ in range(24)]
    vectors = [coordinates.vector(t) for t in terms]
    for (s, u), (t, v) in itertools.combinations(zip(terms, vectors, strict=True), 2):
        same = all(near(w.value(s), w.value(t)) for w in worlds)
        assert coordinates.equal(u, v) is same, f"{s} and {t}"


def test_a_root_inside_a_rootless_joint_is_a_factor_of_its_own() -> None:
    families = {"q(z|x)": "bernoulli", "p(z)": "bernoulli", "p(x|y)": "bernoulli"}
    spec = Spec(
        name="loose", objective="minimize I_q(X;Z)", variables={"x": "binary[D]", "y": "binary[E]", "z": "binary[L]"},
        joints={"q": "data(x,y) q(z|x)", "p": "p(z) p(x|y)"}, families=families,
    )  # fmt: skip
    term = RelativeEntropy(Density("q", ("z",), ("x",)), (Density("p", ("z",)),))
    world = FiniteWorld.random(spec, 0)
    assert near(value(world, Coordinates(spec).vector(term)), world.value(term))


def test_a_mixture_of_itself_is_refused() -> None:
    joints = {"q": "data(x) q(z|x)", "a": "(0.5*b(x) + 0.5*data(x))", "b": "(0.5*a(x) + 0.5*data(x))"}
    with pytest.raises(SpecError, match="the mixture of a contains itself"):
        Spec(
            name="loop", objective="minimize I_q(X;Z)", variables={"x": "binary[D]", "z": "binary[L]"}, joints=joints,
            families={"q(z|x)": "bernoulli"},
        )  # fmt: skip
