"""What no learned factor touches is left out, and named: entropies, and the cross-entropy of such a law to fixed densities."""

from __future__ import annotations

import pytest

import ibsym
from ibsym.checking.exact import Facts, check_constant
from ibsym.errors import AuditError
from ibsym.terms.measures import Density, ExpectedLog


def spec(prior="uniform", joints=None, **families):
    return ibsym.Spec(
        name="s",
        objective="minimize KL(q(x,c)||p(x,c))",
        variables={"x": "binary[D]", "c": "categorical[K]", "z": "real[L]"},
        joints={"q": "data(x,c) q(z|x,c)", "p": "p(c) p(z) p(x|z,c)"},
        families={"q(z|x,c)": "diagonal-normal", "p(z)": "standard-normal", "p(c)": prior, "p(x|z,c)": "bernoulli"},
    )


def texts(expression):
    return {str(w.term): str(w.coefficient) for w in expression}


def test_a_fixed_density_of_what_is_observed_is_a_constant():
    """-log K of a uniform class, whatever K is: the loss needs no number of classes."""
    derivation = ibsym.derive(spec())
    assert texts(derivation.constants) == {"H_q(X,C)": "-1", "E_q[log p(c)]": "-1"}
    assert "E_q[log p(c)]" not in {b.text for b in derivation.bound}
    assert ibsym.audit(derivation)
    assert "E_q[log p(c)]" in ibsym.generate(derivation)


def test_a_learned_density_is_none():
    derivation = ibsym.derive(spec("categorical"))
    assert texts(derivation.constants) == {"H_q(X,C)": "-1"}
    assert "E_q[log p(c)]" in {b.text for b in derivation.bound}


@pytest.mark.parametrize(
    ("prior", "density", "why"),
    [
        ("categorical", ("c",), "its density is learned"),
        ("uniform", ("z",), "a learned factor occurs in it"),
        ("uniform", ("x",), "not a declared factor"),
    ],
)
def test_the_audit_knows_a_constant(prior, density, why):
    """Learned densities, laws that a learned factor draws, and what is no declared factor are none."""
    facts = Facts(spec(prior))
    check_constant(Facts(spec()), ExpectedLog("q", (Density("p", ("c",)),)))
    with pytest.raises(AuditError, match=why):
        check_constant(facts, ExpectedLog("q", (Density("p", density),)))
