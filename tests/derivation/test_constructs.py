"""Every construct: a spec that has it is accepted, and one change to it is refused, with what to write, which is then accepted."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import ibsym
from ibsym.checking.audit import audit
from ibsym.errors import Edit
from tests.derivation.test_remedies import follow, tried

BASE: dict[str, Any] = {
    "name": "construct",
    "objective": "minimize I_q(X;Z) - I_q(Z;X) - I_q(Z;C)",
    "variables": {"x": "real[D]", "c": "categorical[K]", "y": "real[M]", "z": "real[L]", "k": "categorical[N]"},
    "joints": {"q": "data(x,c,y) q(z|x) q(k|x)", "p": "p(z) p(x|z) p(c|z)", "g": "g(z|c) g(x|z,c)", "r": "r(k)"},
    "families": {
        "q(z|x)": "diagonal-normal",
        "q(k|x)": {"family": "categorical", "marginal": "enumerate"},
        "p(z)": "standard-normal",
        "p(x|z)": {"family": "external", "sampled": False},
        "p(c|z)": "categorical",
        "g(z|c)": "diagonal-normal",
        "g(x|z,c)": "isotropic-normal",
        "r(k)": "uniform",
    },
}
DENSITIES, SUMS, OWN, CRITICS, CONDITIONS, MIXTURES, ARRAYS, SPACES, SAMPLED = range(1, 10)


def objective(terms: str) -> Edit:
    return Edit(("objective",), f"minimize {terms} - I_q(Z;X)")


def asked(term: str, entry: object) -> tuple[Edit, Edit]:
    return objective(term), Edit(("estimators", term), entry)


def family(factor: str, entry: object) -> tuple[Edit]:
    return (Edit(("families", factor), entry),)


LATENT = "KL(q(z)||p(z))"
EXTERNAL = {"family": "external", "sampled": False}
ADVERSARY = {"estimator": "adversary", "density": "a(y|z)"}
SYMBOLS = Edit(("variables", "k"), "categorical[N; H]")
REFUSED: list[tuple[int, tuple[Edit, ...], str, str]] = [
    (
        DENSITIES,
        (*asked("I_q(X;Z)", "leave-one-out"), *family("q(z|x)", "external")),
        "is known at its draws alone, and a batch's mixture needs",
        "a family with a density, or an estimator with a critic",
    ),
    (DENSITIES, family("q(z|x)", EXTERNAL), "has no draws, and KL(q(z|x)||p(z)) is an average over them", "sampled = true"),
    (
        SUMS,
        asked("KL(q(k)||r(k))", "density-ratio"),
        "is summed over exactly, and density-ratio of KL(q(k)||r(k)) takes its draws",
        'families."q(k|x)" = { family = "categorical", relax = "concrete" }',
    ),
    (SUMS, (SYMBOLS, objective("I_q(X;K)")), "every array of symbols would be a value to sum over", 'relax = "concrete"'),
    (OWN, (Edit(("estimators", "I_q(X;C)"), "nwj"),), "I_q(X;C) does not occur", 'estimators."I_q(Z;C)"'),
    (OWN, (Edit(("estimators", "I_q(C;Z)"), "infonce"),), "I_q(C;Z) does not occur", 'estimators."I_q(Z;C)", or leave it out'),
    (
        CRITICS,
        asked("I_q(X;Z|Y)", "nwj"),
        "no two rows share a value of y, which is real[M]",
        "a discrete space for y, or KL(q(z|x,y)||r(z|y)) with a declared factor r(z|y)",
    ),
    (CRITICS, asked("I_q(Z;Y)", ADVERSARY), "unknown factor 'a(y|z)'", 'joints.a = "a(y|z)"; families."a(y|z)" = '),
    (CRITICS, asked("I_q(Z;Y)", "adversary"), "needs the density that guesses one argument", 'density = "a(y|z)"'),
    (CRITICS, asked("I_q(Z;Y)", "club"), "needs the density of one argument given the other", "q(y|z) with a density, "),
    (CONDITIONS, (objective("I_g(X;Z)"),), "no expectation can be taken under it", 'joints.g = "data(c) g(z|c) g(x|z,c)"'),
    (CONDITIONS, (objective("KL(g(z|c)||p(z))"),), "g conditions on c and has no law of it", 'joints.g = "data(c) g(z|c)'),
    (
        CONDITIONS,
        (objective("KL(q(c)||g(c))"),),
        "g conditions on c and has no law of it, so no g(c)",
        "g(z|c), g(x|z,c)",
    ),
    (MIXTURES, asked(LATENT, "minibatch-stratified"), "needs the number of rows in the data set", "dataset_size = 60000"),
    (
        MIXTURES,
        asked(LATENT, {"estimator": "minibatch-weighted", "dataset_size": "N2"}),
        "'N2' is neither a number of rows nor a parameter",
        "60000, or parameters.N2 = ",
    ),
    (
        MIXTURES,
        asked(LATENT, "batch-marginal"),
        "takes the marginals of one categorical variable",
        "minibatch-weighted, mmd, or",
    ),
    (
        MIXTURES,
        (*asked("I_q(X;Z)", "pairwise-kl"), *family("q(z|x)", "implicit")),
        "pairwise-kl of I_q(X;Z) needs the density",
        "q(z|x) with a density, or",
    ),
    (ARRAYS, (Edit(("variables", "x"), "real[D; H]"),), "stands between the classes of categorical symbols", '"real[D,H]"'),
    (
        ARRAYS,
        family("q(z|x)", "vector-quantised"),
        "vector-quantised does not live on a real space",
        "one of diagonal-normal, ",
    ),
    (SPACES, family("p(z)", "beta"), "beta does not live on a real space", "student-t"),
    (SPACES, family("q(z|x)", {"family": "uniform-noise", "width": 0}), "width = 0 is not a positive number", "width = 1.0"),
    (SPACES, family("p(z)", {"family": "student-t", "df": -1}), "df = -1 is not a positive number", "df = 1.0"),
    (CRITICS, asked("TC_q(Z)", "infonce"), "infonce does not estimate TC_q(Z)", "one of density-ratio, "),
    (
        CRITICS,
        asked("KL(q(z|x)||q(z|c))", "nwj"),
        "q(z|c) is not declared",
        "the relative entropy of the joint densities",
    ),
    (
        MIXTURES,
        (*asked("I_q(X;Z)", "minibatch-weighted"), *family("q(z|x)", "external")),
        "is known at its draws alone, and a batch's mixture needs",
        "a family with a density",
    ),
    (CONDITIONS, (Edit(("joints", "g"), "data(c|x) g(z|c) g(x|z,c)"),), "data(c|x) is known by samples only", "data(c,x)"),
    (
        SAMPLED,
        (objective("I_q(X;Z)"), Edit(("estimators", LATENT), "sampled")),
        "KL(q(z)||p(z)) does not occur in the bound",
        'estimators."KL(q(z|x)||p(z))"',
    ),
    (SAMPLED, asked("I_q(X;Z)", "sampled"), "sampled does not estimate I_q(X;Z)", "one of density-ratio, "),
]
CHOICES = (
    "or an estimator with a critic",
    "or KL(",
    "width =",
    "df =",
    '"real[D,H]"',
    "or a variable for",
    "g(z|c), g(x|z,c)",
    "joint densities",
)
"""Remedies in words, which leave a choice to the author: the others are applied."""


def test_the_spec_with_every_construct_is_accepted() -> None:
    assert tried(BASE) is None
    assert {number for number, *_ in REFUSED} == set(range(1, 10))


@pytest.mark.parametrize(("number", "edits", "message", "remedy"), REFUSED)
def test_one_change_is_refused_with_its_remedy(number: int, edits: tuple[Edit, ...], message: str, remedy: str) -> None:
    keys = copy.deepcopy(BASE)
    for edit in edits:
        keys = edit.applied(keys)
    error = tried(keys)
    assert error is not None
    assert message in str(error)
    assert remedy in error.remedy
    assert follow(keys) or any(words in error.remedy for words in CHOICES)


@pytest.mark.parametrize("estimator", ["leave-one-out", "pairwise-kl"])
def test_no_row_has_a_loss_of_its_own_where_rows_are_compared(estimator: str) -> None:
    """reduction = "none" of sampled terms, refused by the name of a term that compares rows."""
    keys = copy.deepcopy(BASE)
    keys["families"]["p(x|z)"] = "isotropic-normal"
    sampled = ibsym.compile(ibsym.Spec(**keys, estimators={"KL(q(z|x)||p(z))": "sampled"}))
    assert sampled(reduction="none").reduction == "none"
    compared = ibsym.compile(ibsym.Spec(**keys, estimators={"I_q(X;Z)": estimator}))
    with pytest.raises(ValueError, match=r"I_q\(X;Z\)"):
        compared(reduction="none")


@pytest.mark.parametrize(
    ("sign", "term", "estimator"),
    [
        ("+", "TC_q(Z1;Z2;W)", "dv"),
        ("-", "TC_q(Z1;Z2)", "minibatch-weighted"),
        ("-", "I_q(Z1;Z2,W)", "nwj"),
        ("+", "KL(q(z1)||p(z1))", "mmd"),
    ],
)
def test_what_an_estimator_stands_for_is_used_in_other_terms_bounds(sign: str, term: str, estimator: str) -> None:
    """The rate of three codes is that of each, less their total correlation, an information, a divergence: told in audited steps."""
    z = ("z1", "z2", "w")
    keys = {
        "objective": f"minimize I_q(X;Z1,Z2,W) - I_q(Z1,Z2,W;X) {sign} g*{term}",
        "variables": {"x": "binary[D]"} | dict.fromkeys(z, "real[L]"),
        "joints": {"q": "data(x) q(z1|x) q(z2|x) q(w|x)", "p": "p(z1) p(z2) p(w) p(x|z1,z2,w)"},
        "families": {f"q({v}|x)": "diagonal-normal" for v in z} | {f"p({v})": "standard-normal" for v in z},
        "parameters": {"g": {"default": 1.0, "min": 0}},
        "estimators": {term: estimator},
    }
    keys["families"]["p(x|z1,z2,w)"] = "bernoulli"
    audit(ibsym.derive(ibsym.Spec(name="several", **keys)), worlds=2)
