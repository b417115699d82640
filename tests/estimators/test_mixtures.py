"""Aggregated laws by the mixture of a batch: informations and joint codes, the data set's size as a parameter, pairwise bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ibsym
from ibsym.conformance import agree
from ibsym.lowering import lower

torch = pytest.importorskip("torch")

CODES = {
    "name": "mixtures",
    "variables": {"x": "real[D]", "z1": "real[L]", "z2": "real[M]"},
    "joints": {"q": "data(x) q(z1|x) q(z2|x)", "p": "p(x|z1,z2)"},
    "families": {"q(z1|x)": "diagonal-normal", "q(z2|x)": "diagonal-normal", "p(x|z1,z2)": "isotropic-normal"},
}
SIZE = {"N": {"default": 60000.0, "min": 2}}
ROWS = 5


def built(term, entry, **changes):
    sized = isinstance(entry, dict) and isinstance(entry.get("dataset_size"), str)
    keys = CODES | {"parameters": SIZE if sized else {}} | changes
    case = ibsym.Spec(**keys, objective=f"minimize {term} - I_q(Z1,Z2;X)", estimators={term: entry})
    certificate = ibsym.audit(ibsym.derive(case))
    return case, certificate, ibsym.compile(certificate)


def inputs(loss):
    sizes = {"B": ROWS, "D": 3, "L": 2, "M": 4}
    generator = torch.Generator().manual_seed(0)
    made = {
        i.name: torch.randn([sizes[a] for a in i.shape if a != "S"], dtype=torch.float64, generator=generator)
        for i in loss.INPUTS
    }
    return {n: t.requires_grad_() for n, t in made.items()}


def table(given, code, conditional=True):
    """log q(z_i|x_j), z drawn at row i."""
    law = torch.distributions.Normal(given[f"{code}_mean"], (given[f"{code}_logvar"] / 2).exp())
    return torch.stack([law.log_prob(z).sum(-1) for z in given[code]])


def mixture(pairs, estimator, total):
    """log q(z_i): of the weights of Chen et al. 2018, or of equal ones."""
    if estimator == "minibatch-weighted":
        return pairs.logsumexp(1) - math.log(ROWS * (total or 1))
    others = ROWS - 1
    weights = torch.full((ROWS, ROWS), 1 / others, dtype=torch.float64)
    for i in range(ROWS):
        weights[i, (i + 1) % ROWS], weights[i, i] = (total - others) / (total * others), 1 / total
    return (pairs + weights.log()).logsumexp(1)


@pytest.mark.parametrize("codes", [("z1",), ("z1", "z2")])
@pytest.mark.parametrize(
    ("estimator", "total"),
    [("minibatch-weighted", None), ("minibatch-weighted", 60), ("minibatch-weighted", "N"), ("minibatch-stratified", "N")],
)
def test_an_information_by_the_batchs_mixture(estimator, total, codes):
    term = f"I_q(X;{','.join(codes).upper()})"
    case, certificate, loss = built(term, {"estimator": estimator, "dataset_size": total} if total else estimator)
    assert str(certificate.derivation.relation) == "~"
    assert agree(case, lower(certificate), loss, worlds=1).largest_error < 1e-10
    given, size = inputs(loss), 70.0 if total == "N" else total
    pairs = sum(table(given, code) for code in codes)
    wanted = (pairs.diagonal() - mixture(pairs, estimator, size)).mean()
    settings = {"N": 70.0} if total == "N" else {}
    output = loss(**settings)(**given)
    torch.testing.assert_close(output.terms[term], wanted.detach())
    fit = torch.distributions.Normal(given["x_mean"], 1.0).log_prob(given["x"]).sum(-1).mean()
    got, expected = (torch.autograd.grad(t, given["z1_mean"])[0] for t in (output.loss, wanted - fit))
    torch.testing.assert_close(got, expected)
    if total == "N":
        changed = loss(N=60.0)
        changed.N = torch.tensor(70.0)
        torch.testing.assert_close(changed(**given).terms[term], wanted.detach())


@pytest.mark.parametrize("estimator", ["club", "leave-one-out"])
def test_upper_bounds_of_joint_codes(estimator):
    term = "I_q(X;Z1,Z2)"
    case, certificate, loss = built(term, estimator)
    assert agree(case, lower(certificate), loss, worlds=1).largest_error < 1e-10
    given = inputs(loss)
    pairs = table(given, "z1") + table(given, "z2")
    off = ~torch.eye(ROWS, dtype=torch.bool)
    others = (
        pairs[off].mean()
        if estimator == "club"
        else pairs.masked_fill(~off, -torch.inf).logsumexp(1).mean() - math.log(ROWS - 1)
    )
    torch.testing.assert_close(loss()(**given).terms[term], (pairs.diagonal().mean() - others).detach())


@pytest.mark.parametrize("codes", [("z1",), ("z1", "z2")])
def test_pairwise_bounds_by_hand(codes):
    term = f"I_q(X;{','.join(codes).upper()})"
    case, certificate, loss = built(term, "pairwise-kl")
    assert str(certificate.derivation.relation) == "~"
    assert "no bound" in str(certificate.derivation)
    assert agree(case, lower(certificate), loss, worlds=1).largest_error < 1e-10
    given = inputs(loss)
    laws = [torch.distributions.Normal(given[f"{c}_mean"], (given[f"{c}_logvar"] / 2).exp()) for c in codes]
    between = sum(
        torch.distributions.kl_divergence(
            torch.distributions.Normal(law.loc[:, None], law.scale[:, None]),
            torch.distributions.Normal(law.loc[None], law.scale[None]),
        ).sum(-1)
        for law in laws
    )
    wanted = -((-between).logsumexp(1) - math.log(ROWS)).mean()
    torch.testing.assert_close(loss()(**given).terms[term], wanted.detach())
    assert float(wanted.detach()) <= math.log(ROWS)


def test_the_pairwise_bound_holds_for_a_fixed_set_and_no_population():
    """X uniform over N rows, any conditional: I <= -1/N sum_i log 1/N sum_j exp(-KL(q_i||q_j)); of a batch it is at most its log size."""
    rng, broken = np.random.default_rng(0), 0
    for _ in range(200):
        rows, states = rng.integers(2, 6, size=2)
        q = rng.dirichlet(np.ones(states) * rng.choice([0.2, 1.0, 5.0]), size=rows) + 1e-12
        q = q / q.sum(1, keepdims=True)
        information = float((q * np.log(q / q.mean(0))).sum(1).mean())

        def bound(rows):
            between = (rows[:, None] * np.log(rows[:, None] / rows[None])).sum(-1)
            return float(-np.log(np.exp(-between).mean(1)).mean())

        assert bound(q) >= information - 1e-9
        broken += bound(q[:2]) < information - 1e-3
    assert broken  # of a part of the rows it bounds nothing


CHAIN = {
    "variables": {"x": "real[D]", "z1": "real[L]", "z2": "real[M]"},
    "joints": {"q": "data(x) q(z1|x) q(z2|z1)", "p": "p(x|z1,z2)"},
    "families": {"q(z1|x)": "diagonal-normal", "q(z2|z1)": "diagonal-normal", "p(x|z1,z2)": "isotropic-normal"},
}


def test_a_code_of_a_code_is_the_same_for_every_row():
    """I(X;Z1,Z2) = I(X;Z1) where Z2 is drawn given Z1: the second code's factor leaves the ratio."""
    _, _, both = built("I_q(X;Z1,Z2)", "minibatch-weighted", **CHAIN)
    _, _, first = built("I_q(X;Z1)", "minibatch-weighted", **CHAIN)
    given = inputs(both)
    values = [loss()(**{i.name: given[i.name] for i in loss.INPUTS}).terms for loss in (both, first)]
    torch.testing.assert_close(values[0]["I_q(X;Z1,Z2)"], values[1]["I_q(X;Z1)"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"estimator": "minibatch-stratified", "dataset_size": "M"},
            r"'M' is neither a number of rows nor a parameter.*\n?.*60000, or",
        ),
        ({"estimator": "minibatch-stratified", "dataset_size": "low"}, r"low may be less than one row.*\n?.*min = 2"),
        ({"estimator": "minibatch-stratified", "dataset_size": 1}, "dataset_size"),
        ({"estimator": "minibatch-stratified"}, "dataset_size = 60000"),
        ({"estimator": "pairwise-kl", "dataset_size": 60}, "unknown option of pairwise-kl"),
    ],
)
def test_what_is_no_number_of_rows_is_refused(entry, message):
    keys = {**CODES, "estimators": {"I_q(X;Z1)": entry}, "parameters": {"low": {"default": 1.0}}}
    with pytest.raises(ibsym.IbsymError, match=message):
        ibsym.generate(ibsym.derive(ibsym.Spec(**keys, objective="minimize I_q(X;Z1) - I_q(Z1,Z2;X)")))


@pytest.mark.parametrize("estimator", ["pairwise-kl", "club", "leave-one-out"])
def test_a_conditional_of_what_is_drawn_is_refused(estimator):
    with pytest.raises(ibsym.IbsymError, match=r"drawn itself"):
        built("I_q(Z1;Z2)", estimator, **CHAIN)
