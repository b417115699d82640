"""Joints of a dozen variables: the same certificates, with rows and independences as they are needed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest

import ibsym
from ibsym.derivation import planning, programs
from ibsym.errors import AuditError
from ibsym.proving import contexts
from ibsym.spec.loading import load
from ibsym.spec.model import Spec
from ibsym.terms.vectors import Coordinates, combine
from tests.attack.specs import random_case
from tests.derivation.large import ladder, sensors, twelve


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_ladder_of_latents(layers: int) -> None:
    """One form whatever the number of layers, that is, whichever program decides."""
    derivation = ibsym.derive(ladder(layers))
    below = f"z{layers - 1}" if layers > 1 else "x"
    assert str(derivation.bound[0].term) == f"KL(q(z{layers}|{below})||p(z{layers}))"
    expected = {f"E_q[log p(z{k}|z{k + 1})]" for k in range(1, layers)} | {"E_q[log p(x|z1)]"}
    assert expected <= {b.text for b in derivation.bound}
    assert [str(w.term) for w in derivation.constants] == ["H_q(X)"]
    if layers in (6, 8):
        assert ibsym.audit(derivation, worlds=1).worlds


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_sensors_with_their_codes(count: int) -> None:
    derivation = ibsym.derive(sensors(count))
    codes = ",".join(f"z{k}" for k in range(1, count + 1))
    terms = {f"KL(q(z{k}|x{k})||p(z{k}))" for k in range(1, count + 1)} | {f"E_q[log p(y|{codes})]"}
    assert {b.text for b in derivation.bound} == terms
    if count in (3, 4):
        assert ibsym.audit(derivation, worlds=1).worlds


TWELVE = [
    (
        "minimize beta*I_q(X1,X2;W) + beta*I_q(X3,X4;U) - I_q(W,U;Y)",
        {"KL(q(w|z1,z2)||p(w))", "KL(q(u|z3,z4)||p(u))", "E_q[log p(y|w,u)]"},
    ),
    (
        "minimize KL(q(z1,z2,w|x1,x2)||p(z1,z2,w|x1,x2))",
        {
            "KL(q(w|z1,z2)||p(w))",
            *(f"E_q[log {density}]" for k in (1, 2) for density in (f"q(z{k}|x{k})", f"p(z{k}|w)", f"p(x{k}|z{k})")),
        },
    ),
]


@pytest.mark.parametrize(("objective", "terms"), TWELVE)
def test_twelve_variables_in_three_joints(objective: str, terms: set[str]) -> None:
    spec = twelve(objective)
    assert {len(spec.joints[n].variables) for n in "qpr"} == {12}
    derivation = ibsym.derive(spec)
    assert {b.text for b in derivation.bound} == terms
    assert ibsym.audit(derivation, worlds=1).worlds
    for record in derivation.certificate:
        rows = record["rows"]
        assert isinstance(rows, list)
        assert all(Fraction(row["multiplier"]) > 0 for row in rows)


def test_a_forged_plan_of_a_large_spec_is_found() -> None:
    derivation = ibsym.derive(ladder(7))
    plans = list(derivation.plans)
    place = next(k for k, p in enumerate(plans) if p.equations)
    (x, equation), *equations = plans[place].equations
    plans[place] = replace(plans[place], equations=((2 * x, equation), *equations))
    with pytest.raises(AuditError, match="coordinates are left over"):
        ibsym.audit(replace(derivation, plans=tuple(plans)), worlds=1)


def test_a_large_spec_without_a_bound_says_so() -> None:
    with pytest.raises(ibsym.DerivationError, match="which nothing that is learned can change"):
        ibsym.derive(ladder(7, objective="minimize I_q(Z1;X)", priors=False))


ALIKE = ["vib", "vae", "ladder-vae", "dvsib", "corex", "beta-tcvae", "bib-ae", "blind-code", "semi-supervised-ib"]


@pytest.mark.parametrize("whole", [programs.WHOLE, 0], ids=["whole", "grown"])
@pytest.mark.parametrize("name", ALIKE)
def test_small_specs_derive_alike_on_demand(name: str, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program with every equation in it, the one without, and the one that grows find one bound and one gap."""
    at_once = ibsym.derive(name)
    monkeypatch.setattr(planning, "LISTED", 0)
    monkeypatch.setattr(programs, "WHOLE", whole)
    grown = ibsym.derive(name)
    assert grown.line == at_once.line
    assert {(str(g.coefficient), g.text) for g in grown.gap} == {(str(g.coefficient), g.text) for g in at_once.gap}
    assert ibsym.audit(grown, worlds=1).worlds


@pytest.mark.parametrize("seed", range(6))
def test_random_specs_derive_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, of random specs, refusals included."""
    spec = random_case(seed).spec()

    def told() -> str:
        try:
            return ibsym.derive(spec).line
        except ibsym.IbsymError as error:
            return str(error)

    at_once = told()
    monkeypatch.setattr(planning, "LISTED", 0)
    assert told() == at_once


def test_a_bound_that_another_dominates_is_not_chosen_in_a_large_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are zero by a declared factor are no gain: they used to hide the better bound, a constant."""
    spec = Spec(
        name="dominated",
        objective="minimize I_u(Z;X)",
        variables={"x": "categorical[K]", "y": "binary[Y]", "z": "categorical[K]"},
        joints={"q": "data(x,y) q(z|y)", "p": "p(z) p(x|z) p(y)", "u": "unlabelled(x,y) q(z|y)"},
        families={
            "q(z|y)": "categorical",
            "p(z)": "categorical",
            "p(x|z)": "categorical",
            "p(y)": "bernoulli",
            "unlabelled(x,y)": "empirical",
        },
    )
    refused = r"the only upper bound of I_u\(Z;X\) is H_u\(X\) - H_u\(X\|Y\)"
    with pytest.raises(ibsym.DerivationError, match=refused):
        ibsym.derive(spec)
    monkeypatch.setattr(planning, "LISTED", 0)
    with pytest.raises(ibsym.DerivationError, match=refused):
        ibsym.derive(spec)


def test_equality_of_large_vectors() -> None:
    coordinates = Coordinates(ladder(8))
    far, near = (coordinates.log("q", "q", ("z8",), c) for c in (("z7", "z2", "x"), ("z7",)))
    assert coordinates.equal(far, near)
    assert not coordinates.equal(far, coordinates.log("q", "q", ("z8",), ("z6",)))
    assert not coordinates.equal(combine((2, far)), near)


def test_the_limit_is_told() -> None:
    spec: Spec = load("vib")
    planning.refuse_large(spec)
    with pytest.raises(ibsym.SpecError, match="too much for a derivation"):
        ibsym.derive(ladder(16))


def test_sets_are_in_the_order_of_combinations() -> None:
    """Smaller ones first, and of one size as `itertools.combinations` has them."""
    expected = [sum(1 << i for i in c) for size in range(5) for c in combinations(range(4), size)]
    assert contexts._by_size(4).tolist() == expected
