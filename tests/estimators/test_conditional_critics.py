"""Critics of conditional terms: the second argument is drawn at given values, by a declared factor or among rows of one class."""

from __future__ import annotations

import numpy as np
import pytest

import ibsym
from ibsym.conformance import agree
from ibsym.lowering import lower

torch = pytest.importorskip("torch")

KEYS = {
    "name": "conditional",
    "variables": {"x": "real[D]", "c": "categorical[K]", "y": "real[M]", "z": "real[L]"},
    "joints": {"q": "data(x,c,y) q(z|x)", "p": "p(z) p(x|z)", "r": "r(z|c)"},
    "families": {
        "q(z|x)": "implicit", "p(z)": "standard-normal", "p(x|z)": "isotropic-normal", "r(z|c)": "diagonal-normal",
    },
}  # fmt: skip


def derived(objective: str, term: str, estimator: str):
    keys = {**KEYS, "objective": f"{objective} I_q(Z;X)", "estimators": {term: estimator}}
    return ibsym.derive(ibsym.Spec(**keys))


@pytest.mark.parametrize("term", ["KL(q(z|x)||p(z))", "KL(q(z|x)||r(z|c))", "KL(q(z|x,c)||r(z|c))", "I_q(X;Z|C)"])
@pytest.mark.parametrize("estimator", ["density-ratio", "nwj", "dv"])
def test_a_conditional_term_by_a_critic(term, estimator):
    """NWJ bounds what is maximised, since the reference law is exact; both sides are rows of the first argument's joint."""
    for objective, relation in ((f"minimize {term} -", "~"), (f"maximize {term} +", ">=" if estimator == "nwj" else "~")):
        derivation = derived(objective, term, estimator)
        assert str(derivation.relation) == relation
        certificate = ibsym.audit(derivation)
        loss = ibsym.compile(certificate)
        assert {(i.joint, i.shape) for i in loss.INPUTS if i.of == term} == {("q", ("S", "B"))}
        assert (term,) == loss.CRITICS
    assert agree(derivation.spec, lower(certificate), loss, worlds=1).largest_error < 1e-10


@pytest.mark.parametrize(
    ("term", "estimator", "message"),
    [
        ("I_q(X;Z|Y)", "nwj", r"no two rows share a value of y, which is real\[M\]\n.*KL\(q\(z\|x,y\)\|\|r\(z\|y\)\)"),
        ("KL(q(z|x)||q(z|c))", "nwj", r"q\(z\|c\) is not declared\n  write: the relative entropy of the joint"),
        ("I_q(X;Z|C)", "infonce", "infonce does not estimate"),
        ("KL(q(z|x)||p(z))", "mmd", "mmd does not estimate"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_to_write(term, estimator, message):
    with pytest.raises(ibsym.SpecError, match=message):
        derived(f"minimize {term} -", term, estimator)


def test_rows_of_one_class_are_paired_with_others_of_it():
    from ibsym.nn.draws import of_equal

    labels = torch.tensor([2, 0, 1, 0, 2, 2, 3, 0, 2])
    for seed in range(20):
        other = of_equal(labels, torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)))
        assert torch.equal(labels[other], labels)
        assert sorted(other.tolist()) == list(range(len(labels)))
        alone = other == torch.arange(len(labels))
        assert alone.tolist() == [n == 1 for n in torch.bincount(labels)[labels].tolist()]


def test_the_best_critic_meets_a_conditional_divergence_and_no_other_passes_it():
    """E_x KL(q(z|x)||p(z)) by NWJ, exact sums over every x and z: rows in the proportions of two laws over a finite world."""
    term = "KL(q(z|x)||p(z))"
    loss = ibsym.compile(derived(f"maximize {term} +", term, "nwj"))()
    generator = torch.Generator().manual_seed(4)
    counts = torch.tensor([[6, 3, 2, 1], [1, 1, 4, 6], [3, 3, 3, 3]])  # of z at every x, twelve in all
    reference = torch.tensor([4, 2, 3, 3])
    p = torch.cat([torch.repeat_interleave(torch.arange(4), row) for row in counts])
    q = torch.repeat_interleave(torch.arange(4), reference).repeat(3)
    x = torch.arange(3).repeat_interleave(12)
    ratio = (counts.double() / reference).log()
    exact = (counts.double() / 36 * ratio).sum()

    def estimate(f):
        inputs = {
            i.name: {"critic": f[x, p], "critic_reference": f[x, q]}.get(i.role)
            if i.of == term
            else torch.zeros((2,) if i.role == "scale" else (36, 2), dtype=torch.float64)
            for i in loss.INPUTS
        }
        return loss(**inputs).terms[term]

    torch.testing.assert_close(estimate(ratio), exact, rtol=1e-12, atol=1e-12)
    for scale in (1e-3, 0.1, 1.0, 3.0):
        other = ratio + scale * torch.randn(3, 4, generator=generator, dtype=torch.float64)
        assert estimate(other) < exact


def test_a_difference_of_two_critics_bounds_nothing():
    """I(X;Z|C) = I(X,C;Z) - I(C;Z), each by NWJ below its own: the difference is now above and now below, and is claimed to be neither."""
    rng, beyond = np.random.default_rng(0), set()
    for _ in range(40):
        table = rng.dirichlet(np.ones(24)).reshape(4, 2, 3)  # p(x,c,z)
        values, estimates = [], []
        for p in (table.reshape(8, 3), table.sum(0)):
            q = p.sum(1, keepdims=True) * p.sum(0)
            f = np.log(p / q) + rng.choice([0.01, 1.0]) * rng.normal(size=p.shape)
            values.append((p * np.log(p / q)).sum())
            estimates.append((p * f).sum() - (q * np.exp(f)).sum() + 1)
            assert estimates[-1] <= values[-1] + 1e-12
        beyond.add(float(estimates[0] - estimates[1]) > values[0] - values[1])
    assert beyond == {True, False}
    terms = {"I_q(X,C;Z)": "nwj", "I_q(C;Z)": "nwj"}
    keys = {**KEYS, "objective": "maximize I_q(X,C;Z) - I_q(C;Z) + I_q(Z;X)", "estimators": terms}
    assert str(ibsym.derive(ibsym.Spec(**keys)).relation) == "~"
