"""The worked example of CONTRIBUTING: H(A|B,C) <= H(A|C), a rule in one file, and its test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import ibsym
from ibsym.checking.audit import audit, verify
from ibsym.checking.exact import Facts
from ibsym.checking.finite import FiniteWorld
from ibsym.errors import AuditError
from ibsym.facts import Side
from ibsym.rules.catalogue import RULES, dropping
from ibsym.spec.model import Spec
from ibsym.terms.measures import Entropy, MutualInformation

NAME = "conditioning reduces entropy"
ROOT = Path(__file__).resolve().parents[2]
SPEC = Spec(
    name="entropy", objective="minimize H_q(Z|C)", variables={"x": "real[D]", "c": "categorical[K]", "z": "real[L]"},
    joints={"q": "data(x,c) q(z|x)", "p": "p(z)"}, families={"q(z|x)": "diagonal-normal", "p(z)": "diagonal-normal"},
)  # fmt: skip


def test_an_entropy_is_bounded_under_the_name() -> None:
    """H_q(Z|C) <= H_q(Z) <= -E_q[log p(z)]: first the condition goes, then the model comes in."""
    derivation = ibsym.derive(SPEC)
    dropped = {s.rule: (str(s.relation), str(s.gap)) for s in derivation.steps if len(s.gap)}
    assert dropped[NAME] == ("<=", "I_q(C;Z)")
    assert str(derivation.final) == "-E_q[log p(z)]"
    audit(derivation, worlds=12)
    for seed in range(20):
        world = FiniteWorld.random(SPEC, seed)
        assert world.evaluate(derivation.objective) <= world.evaluate(derivation.final) + 1e-12


@pytest.mark.parametrize("given", [(), ("x",)])
@pytest.mark.parametrize("side", Side)
def test_an_information_that_an_entropy_loses_goes_by_the_name(side: Side, given: tuple[str, ...]) -> None:
    information = MutualInformation("q", (("x",), ("z",)))
    assert dropping(side, Entropy("q", ("z",), given), information).name == NAME
    assert dropping(side, information, information).name != NAME


def test_the_audit_holds_the_step_to_its_name() -> None:
    derivation = ibsym.derive(SPEC)
    number = next(i for i, s in enumerate(derivation.steps) if s.rule == NAME)
    step = replace(derivation.steps[number], rule="mutual information dropped")
    forged = replace(derivation, steps=(*derivation.steps[:number], step, *derivation.steps[number + 1 :]))
    with pytest.raises(AuditError, match="no term of the objective loses"):
        verify(forged, Side.UPPER, Facts(SPEC))


def test_a_rule_is_one_file() -> None:
    assert NAME in RULES
    knowing = [p for p in sorted((ROOT / "ibsym").rglob("*")) if p.suffix in (".py", ".toml") and NAME in p.read_text("utf-8")]
    assert [str(p.relative_to(ROOT)) for p in knowing] == ["ibsym/rules/catalogue.py"]
