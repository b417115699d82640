"""Inequalities beyond Shannon's: each proved anew by the copy lemma, needed, and true in worlds; copies and sufficient premises."""

from __future__ import annotations

import random
from math import isclose

import numpy as np
import pytest

import ibsym
from ibsym.checking.answers import answer
from ibsym.errors import SpecError
from ibsym.proving import demand, entropic
from ibsym.proving.axioms import NAMED, Axiom, Instances, axioms, matus
from tests.attack.claims import Structure, entropies

LETTERS = {1: "A", 2: "B", 4: "C", 8: "D"}


def names(mask: int) -> str:
    return ",".join(v for m, v in LETTERS.items() if mask & m)


def claim_of(axiom: Axiom) -> str:
    parts = [f"{x}*I({names(a)};{names(b)}{'|' + names(c) if c else ''})" for x, (a, b, c) in axiom.parts]
    return " + ".join(parts).replace("+ -", "- ") + " >= 0"


COPIES = {
    "Zhang-Yeung": ["R = D | A,B", "R = C | A,B", "R = A | C,D", "R = B | C,D"],
    "Matus 1": ["R = D | A,B", "R = A | B,C", "R = A | C,D", "R = C | A,B"],
}


@pytest.mark.parametrize("axiom", [*NAMED["zhang-yeung"], matus(1)], ids=lambda a: a.name)
def test_an_axiom_follows_from_a_copy(axiom: Axiom) -> None:
    claim = claim_of(axiom)
    assert answer(claim, seconds=0.1).status == "not provable by Shannon-type inequalities"
    copies = [f"R = {v} | {g}" for v in "ABCD" for g in ("A,B", "C,D", "A,C", "A,D", "B,C", "B,D") if v not in g]
    assert any(answer(claim, copies=[c], seconds=0.01).proved for c in copies)


TWICE = [
    (NAMED["dougherty-freiling-zeger"][0], ["R = C | A,B", "S = R | A,D"]),
    (NAMED["dougherty-freiling-zeger"][1], ["R,S = C,D | A,B", "T = C | A,S"]),
    (NAMED["dougherty-freiling-zeger"][2], ["R,S = C,D | A,B", "T = C | A,S"]),
    (NAMED["dougherty-freiling-zeger"][3], ["R,S = B,D | A,C", "T = C | A,B,S"]),
    (NAMED["dougherty-freiling-zeger"][4], ["R,S = C,D | A,B", "T = B | A,C,R"]),
    (matus(2), ["R = A | B,C", "S = A | B,C,R"]),
    (matus(3), ["R = A | B,C", "S = A | B,C,R", "T = A | B,C,R,S"]),
]


@pytest.mark.parametrize(("axiom", "copies"), TWICE, ids=lambda a: getattr(a, "name", ""))
def test_an_axiom_follows_from_a_copy_and_a_copy_of_it(axiom: Axiom, copies: list[str]) -> None:
    assert answer(claim_of(axiom), copies=copies, seconds=0.01).proved
    assert not answer(claim_of(axiom), copies=copies[:-1], seconds=0.01).proved


@pytest.mark.parametrize("axiom", [*NAMED["dougherty-freiling-zeger"], matus(2), matus(3)], ids=lambda a: a.name)
def test_further_axioms_hold_and_are_not_of_shannon_type(axiom: Axiom) -> None:
    assert answer(claim_of(axiom), seconds=0.3).status == "not provable by Shannon-type inequalities"
    for seed in range(12):
        structure = Structure.random(random.Random(seed), 4)
        entropy = entropies(structure.finite(np.random.default_rng(seed), 40), "ABCD")
        vector = axiom.vector((1, 2, 4, 8))
        value = sum(float(x) * entropy("".join(v for m, v in LETTERS.items() if key[1] & m)) for key, x in vector.items())  # type: ignore[operator]
        assert np.min(value) > -1e-9


@pytest.mark.parametrize("name", [*NAMED, "matus-2"])
def test_an_axiom_proves_itself_over_unions_and_under_conditions(name: str) -> None:
    axiom = axioms([name])[0]
    assert answer(claim_of(axiom), axioms=[name], seconds=0.01).proved
    for old, new in (("A", "A,E"), ("C", "C,E")):
        claim = claim_of(axiom).replace(old, new)
        assert answer(claim, axioms=[name], seconds=0.01).proved
    conditional = [f"{x}*I({names(a)};{names(b)}|{names(c) + ',' if c else ''}E)" for x, (a, b, c) in axiom.parts]
    assert answer(" + ".join(conditional).replace("+ -", "- ") + " >= 0", axioms=[name], seconds=0.01).proved


def test_matus_begins_with_zhang_and_yeung() -> None:
    """The first of Matus' family is Zhang and Yeung's inequality, and each implies no next one."""
    assert answer(claim_of(matus(1)), axioms=["zhang-yeung"], seconds=0.01).proved
    assert answer(claim_of(NAMED["zhang-yeung"][0]), axioms=["matus-1"], seconds=0.01).proved
    assert not answer(claim_of(matus(3)), axioms=["matus-2"], seconds=0.01).proved


def test_instances_are_the_axiom_at_sets_of_variables() -> None:
    space = demand.Space([1, 2, 4, 8, 16], entropic.Reduction([], []))
    source = Instances(space, axioms(["zhang-yeung", "matus-2"]), True)
    rng = np.random.default_rng(0)
    h = rng.random(32)
    h[0] = 0
    found = source.violated(h, None, -0.5, 400)
    assert len(found) > 50
    for instance, vector in found:
        value = sum(float(x) * h[space.masks.index(key[1])] for key, x in vector.items())  # type: ignore[arg-type]
        assert value < -0.5
        assert vector == instance.axiom.vector(instance.sets, instance.given)
    assert any(instance.given for instance, _ in found)
    assert any(m.bit_count() > 1 for instance, _ in found for m in instance.sets)


def test_unknown_axioms_and_bad_copies_are_refused() -> None:
    for name in ("ingleton", "matus-0", "matus-99"):
        with pytest.raises(SpecError, match="unknown axiom"):
            ibsym.prove("H(A) >= 0", axioms=[name])
    for copy, message in (
        ("R = Z | A", "unknown variable"),
        ("A = B", "already"),
        ("R = A,B", "each variable once"),
        ("R == A", "which variables to copy"),
        ("R = A | A", "each variable once"),
    ):
        with pytest.raises(SpecError, match=message):
            ibsym.prove("I(A;B) >= 0", copies=[copy])
    with pytest.raises(SpecError, match="one joint"):
        ibsym.prove("KL(q(x)||p(x)) >= 0", copies=["R = X"])


@pytest.mark.parametrize("seed", range(4))
def test_copies_prove_nothing_false(seed: int) -> None:
    """A copy exists in every world: what is proved with one holds in worlds, and what is false stays so."""
    rng = random.Random(seed)
    false = rng.choice(["I(A;B|C) <= I(A;B)", "H(A) <= H(B)", "I(A;B) <= I(A;B|C) + I(A;B|D) + I(C;D)", "I(A;B;C) >= 0"])
    assert not answer(false, copies=["R = A | B"], seconds=0.3).proved
    assert answer("I(R;A|B) = 0", ["H(R) >= 0"], seconds=0.01).proved is False
    assert ibsym.prove("I(A;B) <= H(A)", copies=["R = A | B"]).proved


@pytest.mark.parametrize(
    ("claim", "given", "expected"),
    [
        ("I(X;Y|Z) <= I(X;Y)", [], {("X _|_ Z | Y",), ("Y _|_ Z | X",), ("X _|_ Y | Z",)}),
        ("I(X;Z) <= I(X;Y)", [], {("X _|_ Z | Y",), ("X _|_ Z",)}),
        ("H(X,Y) = H(X) + H(Y)", [], {("X _|_ Y",)}),
        ("I(X;Y) >= 0", [], {()}),
        ("I_p(X;Y) = 0", [], {("X _|_ Y in p",)}),
    ],
)
def test_sufficient_premises(claim: str, given: list[str], expected: set[tuple[str, ...]]) -> None:
    found = ibsym.prove(claim, given, sufficient=True)
    assert set(found.sufficient or ()) == expected
    for premises in found.sufficient or ():
        assert ibsym.prove(claim, [*given, *premises]).proved


def test_nothing_is_sufficient_for_what_no_independence_helps() -> None:
    found = ibsym.prove("H(X) <= 1/2 H(Y)", sufficient=True)
    assert found.sufficient == ()
    assert "no set of a few independences" in str(found)
    assert isclose(found.counterexample.difference, found.counterexample.record()["difference"])  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("claim", ["H(D) >= 0", "H(A|B,C,D) >= 0", "I(A;B) <= H(A)"])
def test_no_axiom_is_used_of_a_density_and_itself(claim: str) -> None:
    """Overlapping sets would mean I(D;D,A), infinite for a density, and would prove that differential entropies are never negative."""
    given = ["I(B;D|C,A) = 0", "D -> B,A -> C"]
    for name in ("zhang-yeung", "dougherty-freiling-zeger", "matus-2"):
        assert not ibsym.prove(claim, given=given, axioms=[name], continuous=True).proved
    assert ibsym.prove(claim, given=given, axioms=["zhang-yeung"]).proved
    zhang_yeung = "2*I(C;D) <= I(A;B) + I(A;C,D) + 3*I(C;D|A) + I(C;D|B)"
    assert ibsym.prove(zhang_yeung, axioms=["zhang-yeung"], continuous=True).proved
