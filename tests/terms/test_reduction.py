"""Independences as a rewriting: what it brings to zero is what the list of all of them spans."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import networkx as nx
import pytest

from ibsym.checking.exact import Facts
from ibsym.spec.loading import load
from ibsym.spec.model import Spec
from ibsym.spec.separation import Connections
from ibsym.terms.measures import Density
from ibsym.terms.premises import Independent, SharedFactor
from ibsym.terms.vectors import Coordinates, Equation, Span, combine
from tests.attack.specs import random_case

KNOWN = ("vib", "ladder-vae", "hidden-markov-vae", "bib-ae", "vampprior-vae", "semi-supervised-ib")
SEEDS = range(12)


def specs() -> list[Spec]:
    """Systems and random specs, small enough for all contexts to be listed."""
    found = [load(n) for n in KNOWN] + [Spec(**random_case(seed).keys) for seed in SEEDS]  # type: ignore[arg-type]
    return [s for s in found if Coordinates(s).size < 900]


SPECS = specs()


def rooted(spec: Spec) -> list[str]:
    """The joints under which expectations can be taken."""
    return [j.name for j in spec.joints.values() if j.rooted]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_connections_are_networkx_s(spec: Spec) -> None:
    joint = max(spec.joints.values(), key=lambda j: len(j.variables))
    found, n = Connections(joint), len(joint.variables)
    for i, a in enumerate(joint.variables):
        reached = found.reached(i)
        for given in range(1 << n):
            if given >> i & 1:
                continue
            condition = {v for k, v in enumerate(joint.variables) if given >> k & 1}
            for node, place in found.place.items():
                if node != a and node not in condition:
                    apart = nx.is_d_separator(joint.graph, {a}, {node}, condition)
                    assert bool(int(reached[given]) >> place & 1) is not apart, f"{a} and {node} given {condition}"


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_the_rewriting_spans_the_list(spec: Spec) -> None:
    """Every listed equation becomes zero, by the planner's rewriting and by the checker's; every rewriting is in the list's span."""
    coordinates, facts = Coordinates(spec), Facts(spec)
    listed = coordinates.equations(rooted(spec))
    factors = Span(facts._separations.reduce(e.vector) for e in coordinates.factor_equations(rooted(spec)))
    for e in listed:
        assert coordinates.reduction.zero(e.vector), e.premise
        assert not factors.reduce(facts._separations.reduce(e.vector)), e.premise
    for sampler in rooted(spec):
        for model in spec.joints.values():
            for _, table in coordinates.reduction.tables(sampler, model.name):
                rewritten = [m for m in range(1 << len(table.variables)) if table.parts(m)]
                for mask in rewritten:
                    equation = table.equation(mask)
                    assert facts.legal(equation), equation.premise
                    if len(coordinates.samplers(sampler)) == 1:
                        assert coordinates.equal(equation.vector, {}), equation.premise


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_what_the_list_does_not_span_is_not_zero(spec: Spec) -> None:
    coordinates, facts = Coordinates(spec), Facts(spec)
    span = Span(e.vector for e in coordinates.equations(rooted(spec)))
    for sampler in rooted(spec):
        for model in (j for j in spec.joints.values() if j.rooted):
            shared = [v for v in model.variables if v in spec.joints[sampler].variables]
            for a, b in combinations(shared, 2):
                for given in ((), tuple(v for v in shared if v not in (a, b))):
                    wide, narrow = (coordinates.by_law(sampler, model.name, (a,), c) for c in ((b, *given), given))
                    vector = combine((1, wide), (-1, narrow))
                    same = not span.reduce(vector)
                    assert coordinates.reduction.zero(vector) is same, f"{a}, {b} | {given} in {model.name} under {sampler}"
                    assert facts.vanishes(vector) is same
                    rest, used = coordinates.reduction.explain(vector)
                    assert combine((1, rest), *((x, e.vector) for x, e in used)) == vector
                    assert rest == coordinates.reduction.apply(vector)
                    assert all(facts.legal(e) for _, e in used)


def test_an_equation_is_legal_by_its_own_premise_only() -> None:
    spec = load("ladder-vae")
    coordinates, facts = Coordinates(spec), Facts(spec)
    equation = next(e for e in coordinates.equations(("q", "p")) if isinstance(e.premise, Independent))
    assert facts.legal(equation)
    premise = equation.premise
    assert isinstance(premise, Independent)
    wrong = [
        replace(premise, given=()),
        replace(premise, second=premise.first),
        replace(premise, joint="r"),
        SharedFactor(Density("q", ("x",)), "q"),
    ]
    assert not any(facts.legal(replace(equation, premise=other)) for other in wrong)
    assert not facts.legal(replace(equation, vector=combine((2, equation.vector))))


def test_what_a_graph_does_not_say_is_not_legal() -> None:
    """A dependence told as an independence, with the vector that would be zero if it held."""
    spec = load("ladder-vae")
    facts = Facts(spec)
    for a, b, given in ((("x",), ("z1",), ()), (("z1",), ("z2",), ()), (("x",), ("z2",), ())):
        for vector in facts._forms(spec.joints["q"], a, b, given):
            assert not facts.legal(Equation(vector, Independent(a, b, given, "q")))
