"""Certificates: plain records of exact multipliers, with symbols for parameters, verified without the solver."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import ibsym
from ibsym.proving.elemental import InequalityKind
from ibsym.spec.loading import zoo_names
from ibsym.spec.model import Spec
from ibsym.terms.measures import CrossEntropy, Entropy
from tests.attack.bounds import discrete_only
from tests.attack.specs import random_case

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", zoo_names())
def test_a_certificate_is_plain(name: str) -> None:
    derivation = ibsym.derive(name)
    read = json.loads(json.dumps(derivation.certificate))
    assert [part["term"] for part in read] == [str(w.term) for w in derivation.objective]
    for part, plan in zip(read, derivation.plans, strict=True):
        assert part["weight"] == str(plan.weight)
        assert [Fraction(row["multiplier"]) for row in part["rows"]] == [x for x, _ in plan.gaps]
        assert all(Fraction(row["multiplier"]) > 0 for row in part["rows"])
        assert all(Fraction(row["multiplier"]) for row in (*part["computed"], *part["equations"]))


def test_parameters_stay_symbols() -> None:
    derivation = ibsym.derive("bib-ae")
    assert [part["weight"] for part in derivation.certificate] == ["1", "-beta"]
    assert {str(g.coefficient) for g in derivation.gap} >= {"beta"}


def test_the_audit_needs_no_solver() -> None:
    """Derived in one process, audited in another that cannot import scipy."""
    code = """
import pickle, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "scipy":
            raise ImportError("no solver here")
sys.meta_path.insert(0, Refused())
from ibsym.checking.audit import audit
for derivation in pickle.load(sys.stdin.buffer):
    assert audit(derivation, worlds=2).worlds
print("audited", "scipy" in sys.modules)
"""
    import pickle

    data = pickle.dumps([ibsym.derive(n) for n in ("vib", "vae", "semi-supervised-ib")])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=data, capture_output=True, check=False)
    assert done.stdout.decode().split() == ["audited", "False"], done.stderr.decode()


@pytest.mark.parametrize("batch", range(4))
def test_no_bound_of_continuous_variables_uses_a_discrete_row(batch: int) -> None:
    """Every plan and gap of random specs: entropies and cross-entropies are dropped for discrete variables only."""
    derived = dropped = 0
    for seed in range(40 * batch, 40 * (batch + 1)):
        case = random_case(seed)
        try:
            derivation = ibsym.derive(case.spec())
        except ibsym.IbsymError:
            continue
        derived += 1
        assert discrete_only(derivation) == [], case.keys
        kinds = [r.kind for p in derivation.plans for _, r in p.gaps]
        discrete = [k for k in kinds if k in (InequalityKind.ENTROPY, InequalityKind.CROSS_ENTROPY)]
        dropped += len(discrete)
        if case.kind == "continuous":
            assert discrete == []
            assert not any(isinstance(g.term, Entropy | CrossEntropy) for g in derivation.gap)
    assert derived > 10


KEYS: dict[str, object] = {
    "name": "data-term",
    "objective": "minimize I_q(X;Z) - beta*I_q(Z;X)",
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "parameters": {"beta": {"default": 1.0, "min": 0}},
    "estimators": {"KL(q(x)||p(x))": "density-ratio"},
    "derivation": {"expand": ["H_q(X) with p(x)"]},
}
ENCODER = {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal"}


def test_the_data_term_of_a_continuous_variable_names_its_step() -> None:
    binary = Spec(
        **KEYS,
        variables={"x": "binary[D]", "z": "real[L]"},
        families={**ENCODER, "p(x|z)": {"family": "bernoulli", "relax": "mean"}},
    )
    assert "cross-entropy dropped" in [s.rule for s in ibsym.derive(binary).steps]
    real = Spec(**KEYS, variables={"x": "real[D]", "z": "real[L]"}, families={**ENCODER, "p(x|z)": "diagonal-normal"})
    with pytest.raises(ibsym.IbsymError) as info:
        ibsym.derive(real)
    message = str(info.value)
    for part in ("cross-entropy dropped", "CE(q(x)||p(x)) >= 0", "discrete variables only", "x is real[D]", "write:"):
        assert part in message


@pytest.mark.parametrize(
    ("objective", "dropped"),
    [("minimize KL(p(z|x)||q(z|x))", "H_p(Z|X) >= 0"), ("maximize I_q(X;Z) - KL(p(z|x)||q(z|x))", "H_p(Z|X) >= 0")],
)
def test_the_only_obstacle_is_named(objective: str, dropped: str) -> None:
    """The same objective has a bound for discrete variables; for continuous ones the message says what it would drop."""
    keys = {"name": "obstacle", "objective": objective, "joints": KEYS["joints"]}
    families = {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "diagonal-normal"}
    with pytest.raises(ibsym.IbsymError, match="discrete variables only") as info:
        ibsym.derive(Spec(**keys, variables={"x": "real[D]", "z": "real[L]"}, families=families))
    assert f"a bound would drop {dropped}" in str(info.value)
    relaxed = {"family": "bernoulli", "relax": "concrete"}
    discrete = ibsym.derive(
        Spec(**keys, variables={"x": "binary[D]", "z": "binary[L]"}, families=dict.fromkeys(families, relaxed))
    )
    assert any(isinstance(g.term, Entropy | CrossEntropy) for g in discrete.gap)
