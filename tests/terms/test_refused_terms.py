"""Terms that an objective may not have: each refusal names the smallest guilty thing and says what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

import ibsym
from ibsym.errors import SpecError
from ibsym.spec.model import Spec

KEYS: dict[str, Any] = {
    "name": "refused",
    "variables": {"x": "binary[D]", "c": "categorical[K]", "z": "real[L]", "y": "real[M]"},
    "joints": {"q": "data(x,c) q(z|x)", "p": "p(z) p(x|z)", "r": "r(z|x) r(y|z,x)", "s": "s(x)"},
    "families": {
        "q(z|x)": "diagonal-normal",
        "p(z)": "standard-normal",
        "p(x|z)": "bernoulli",
        "s(x)": "bernoulli",
        "r(z|x)": "diagonal-normal",
        "r(y|z,x)": "diagonal-normal",
    },
    "parameters": {"beta": {"default": 2.0}},
}


@pytest.mark.parametrize(
    ("objective", "message", "remedy"),
    [
        ("I_q(X)", "mutual information needs two arguments", "H_q(X), or a second argument"),
        ("I_q(X|C)", "mutual information needs two arguments", "I_q(X;C), or H_q(X|C)"),
        ("I_q(X,Z)", "mutual information needs two arguments", "I_q(X;Z)"),
        ("I_q(X,Z|C)", "mutual information needs two arguments", "I_q(X;Z|C)"),
        ("TC_q(X,Z)", "several variables need semicolons in TC", "TC_q(X;Z)"),
        ("TC_q(Z|C)", "a conditional total correlation over coordinates is not supported", "TC_q(Z1;Z2|C)"),
        ("TC_q(C)", "whose classes are not coordinates", "a variable for each symbol"),
        ("I_q(X;Z)^2", "a power of an information term is not linear", "a sum of terms"),
        ("beta^0.5*I_q(X;Z)", "the exponent 1/2 is to be a whole number", "beta^2"),
        ("2.5^40*I_q(X;Z)", "the exponent 40 is to be a whole number", "(5/2)^2"),
        ("I_q(X;Z)/I_q(Z;C)", "division by zero or by a term", "a number or a parameter"),
        ("lambda*I_q(X;Z)", "unknown parameter 'lambda'", "parameters."),
        ("betta*I_q(X;Z)", "unknown parameter 'betta', did you mean 'beta'?", "'beta'"),
        ("I(X;Y)", "no joint has x, y", "a joint with x, y"),
        ("H(Z)", "which joint of z?", "H_q(...) or H_p(...)"),
        ("I_p(X;C)", "the joint p has no variable c", 'joints.p = "... p(c|x,z)"'),
        ("I_p(X;C)", "(q has: I_q(...))", 'joints.p = "... p(c|x,z)"'),
        ("E_p[log r(y|z,x)]", "the joint p has no variable y", ""),
        ("KL(s(x)||p(x|z))", "no variable z; p has, in the other order: KL(p(x|z)||s(x))", "only what s has: x"),
        ("I_data(X;Z)", "the joint data has no variable z", "in a joint: data(x,c,z)"),
        ("KL(q(z|x)||p(x|z))", "densities of different variables", "densities of z"),
        ("KL(q(z|x)||r(z|x,c))", "the joint r has no variable c", 'joints.r = "... r(c|x,z,y)"'),
        ("KL(q(z|c)||r(z|x))", "depends on x, and q(z|c) is not independent of it", "with the same conditioners"),
        ("JS(q(z|x)||p(z))", "a conditional JS is not supported", "JS of the joint densities"),
        ("F[tv](q(z)||p(z))", "unknown generator 'tv'", ""),
        ("E_q[log r(y|x)]", "the joint q has no variable y", 'joints.q = "data(x,c,y) q(z|x)"'),
    ],
)
def test_a_term_is_refused_by_what_is_wrong_with_it(objective: str, message: str, remedy: str) -> None:
    with pytest.raises(SpecError) as refusal:
        ibsym.derive(Spec(**KEYS, objective=f"minimize {objective}"))
    assert message in refusal.value.message
    assert remedy in str(refusal.value.remedy)
