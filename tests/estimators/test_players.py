"""Densities that players of their own fit: an adversary's decoder, CLUB and leave-one-out with a learned conditional."""

from __future__ import annotations

import numpy as np
import pytest

import ibsym
from ibsym.facts import Relation

SPEC = {
    "name": "players",
    "variables": {"x": "binary[D]", "s": "categorical[G]", "z": "real[L]", "w": "real[L]"},
    "parameters": {"gamma": {"default": 0.7, "min": 0}},
}
FAMILIES = {
    "q(z|x)": "diagonal-normal",
    "q(w|x)": "diagonal-normal",
    "p(x|z)": "bernoulli",
    "a(s|z)": "categorical",
    "r(z|x)": "diagonal-normal",
    "t(w|z)": "diagonal-normal",
    "i(s|z)": "implicit",
    "e(s|z)": {"family": "external", "sampled": False},
}
ADVERSARY = {"I_q(Z;S)": {"estimator": "adversary", "density": "a(s|z)"}}


def spec(objective, estimators, *joints, **changes):
    named = {"q": "data(x,s) q(z|x)", "p": "p(x|z)", **{j[0]: j for j in joints}}
    if "W" in objective:
        named["q"] += " q(w|x)"
    families = {t: f for t, f in (FAMILIES | changes).items() if any(t in j for j in named.values())}
    return ibsym.Spec(**SPEC, joints=named, families=families, objective=objective, estimators=estimators)


def unlearned():
    return spec("minimize gamma*I_q(Z;S) - I_q(Z;X)", ADVERSARY, "a(s|z)")


@pytest.mark.parametrize(
    ("objective", "relation", "constants"),
    [
        ("minimize gamma*I_q(Z;S) - I_q(Z;X)", "~", {"-H_q(X)", "gamma*H_q(S)"}),
        ("minimize gamma*I_q(S;Z) - I_q(Z;X)", "~", {"-H_q(X)", "gamma*H_q(S)"}),
        ("maximize gamma*I_q(Z;S) + I_q(Z;X)", ">=", {"H_q(X)", "gamma*H_q(S)"}),
        ("minimize (gamma - 1)*I_q(Z;S) - I_q(Z;X)", "~", {"-H_q(X)", "H_q(S)*(gamma - 1)"}),
    ],
)
def test_an_adversary_bounds_what_is_maximised_only(objective, relation, constants):
    term = "I_q(S;Z)" if "S;Z" in objective else "I_q(Z;S)"
    derivation = ibsym.derive(spec(objective, {term: ADVERSARY["I_q(Z;S)"]}, "a(s|z)"))
    assert str(derivation.relation) == relation
    assert {str(c.coefficient * 1) for c in derivation.constants}
    assert {str(w.term) for w in derivation.constants} == {"H_q(X)", "H_q(S)"}
    assert [(b.text, b.estimator) for b in derivation.bound if b.estimator == "adversary"] == [(term, "adversary")]
    assert derivation.unused == ()
    certificate = ibsym.audit(derivation)
    assert certificate.derivation is derivation


REFUSED = {
    "no density": ("I_q(Z;S)", "adversary", "a(s|z)", r'needs the density.*\n?.*density = "a\(s\|z\)"'),
    "unknown": ("I_q(Z;S)", {"estimator": "adversary", "density": "b(s|z)"}, "a(s|z)", "unknown factor 'b\\(s\\|z\\)'"),
    "another pair": (
        "I_q(Z;X)",
        {"estimator": "adversary", "density": "a(s|z)"},
        "a(s|z)",
        r"not a density of one argument of I_q\(Z;X\)",
    ),
    "no value": ("I_q(Z;S)", {"estimator": "adversary", "density": "i(s|z)"}, "i(s|z)", "implicit and has no density"),
    "at draws, adversary": (
        "I_q(Z;S)",
        {"estimator": "adversary", "density": "e(s|z)"},
        "e(s|z)",
        "known at the model's draws alone",
    ),
    "at draws, club": ("I_q(Z;S)", {"estimator": "club", "density": "e(s|z)"}, "e(s|z)", "known at the model's draws alone"),
    "learned entropy": (
        "I_q(X;Z)",
        {"estimator": "adversary", "density": "r(z|x)"},
        "r(z|x)",
        r"entropy of z that r\(z\|x\) guesses",
    ),
    "its own factor": ("I_q(X;Z)", {"estimator": "adversary", "density": "q(z|x)"}, "a(s|z)", r"q\(z\|x\) draws the samples"),
    "of another estimator": ("I_q(X;Z)", {"estimator": "dv", "density": "r(z|x)"}, "r(z|x)", "unknown option of dv 'density'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_serve_is_refused_with_what_to_write(case):
    term, entry, joint, message = REFUSED[case]
    with pytest.raises(ibsym.SpecError, match=message) as error:
        ibsym.derive(spec(f"minimize gamma*{term} - I_q(Z;X)", {term: entry}, joint))
    assert "write:" in str(error.value) or "did you mean" in str(error.value) or "there is" in str(error.value)


def test_the_model_does_not_fit_what_a_player_fits():
    with pytest.raises(ibsym.SpecError, match=r"would have the model fit a\(s\|z\)"):
        ibsym.derive(spec("minimize gamma*I_q(Z;S) - I_q(Z;X) - E_q[log a(s|z)]", ADVERSARY, "a(s|z)"))
    bound = ibsym.derive(
        spec("minimize gamma*I_q(Z;S) - I_q(S;Z) - I_q(Z;X)", ADVERSARY, "a(s|z)", "p(x|z) p(s|z)", **{"p(s|z)": "categorical"})
    ).bound
    assert {b.text for b in bound} == {"I_q(Z;S)", "E_q[log p(s|z)]", "E_q[log p(x|z)]"}  # never E_q[log a(s|z)]
    with pytest.raises(ibsym.DerivationError, match="the only lower bound"):
        ibsym.derive(spec("minimize gamma*I_q(Z;S) - I_q(S;Z) - I_q(Z;X)", ADVERSARY, "a(s|z)"))


def test_a_learned_conditional_is_no_bound_and_the_true_one_is():
    for estimator in ("club", "leave-one-out"):
        learned = ibsym.derive(
            spec("minimize gamma*I_q(X;Z) - I_q(Z;X)", {"I_q(X;Z)": {"estimator": estimator, "density": "r(z|x)"}}, "r(z|x)")
        )
        assert learned.relation is Relation.APPROX
        assert "no bound" in str(learned)
        ibsym.audit(learned)
        true = ibsym.derive(
            spec("minimize gamma*I_q(X;Z) - I_q(Z;X)", {"I_q(X;Z)": {"estimator": estimator, "density": "q(z|x)"}})
        )
        assert true.relation is Relation.LE
        assert ibsym.compile(true).CRITICS == ()
        ibsym.audit(true)
        with pytest.raises(ibsym.SpecError, match="from above, and the objective needs a bound from below"):
            ibsym.derive(
                spec(
                    "maximize gamma*I_q(X;Z) + I_q(Z;X)", {"I_q(X;Z)": {"estimator": estimator, "density": "r(z|x)"}}, "r(z|x)"
                )
            )


# ------------------------------------------------------------------------------------------------- exact sums


def worlds(number=200):
    rng = np.random.default_rng(0)
    for _ in range(number):
        a, b = rng.integers(2, 5, size=2)
        yield rng.dirichlet(np.ones(a * b) * rng.choice([0.2, 1.0])).reshape(a, b) + 1e-12, rng


def information(p):
    a, b = p.sum(1, keepdims=True), p.sum(0, keepdims=True)
    return float((p * np.log(p / (a * b))).sum())


def test_any_decoder_bounds_the_information_from_below_and_the_best_one_meets_it():
    for p, rng in worlds():
        p = p / p.sum()
        entropy = -float((p.sum(0) * np.log(p.sum(0))).sum())
        best = p / p.sum(1, keepdims=True)
        other = rng.dirichlet(np.ones(p.shape[1]), size=p.shape[0])
        assert entropy + float((p * np.log(best)).sum()) == pytest.approx(information(p), abs=1e-9)
        assert entropy + float((p * np.log(other)).sum()) <= information(p) + 1e-9


def test_a_learned_conditional_bounds_if_and_only_if_it_fits_the_joint_better_than_the_product():
    """E_joint log r - E_product log r >= I iff KL(joint || a r) <= KL(product || a r)."""
    seen = set()
    for p, rng in worlds():
        p = p / p.sum()
        a, b = p.sum(1, keepdims=True), p.sum(0, keepdims=True)
        true = p / a
        r = true * rng.dirichlet(np.ones(p.shape[1]), size=p.shape[0]) ** rng.choice([0.05, 0.5, 2.0])
        r = r / r.sum(1, keepdims=True)
        club = float(((p - a * b) * np.log(r)).sum())
        fits = float((p * np.log(p / (a * r))).sum()) <= float((a * b * np.log(a * b / (a * r))).sum())
        assert (club >= information(p) - 1e-12) is fits
        seen.add(fits)
    assert seen == {True, False}


# ------------------------------------------------------------------------------------------------- emitted code

torch = pytest.importorskip("torch")

from ibsym.conformance import agree  # noqa: E402
from ibsym.lowering import lower  # noqa: E402

B, D, G, L = 5, 3, 4, 2


def inputs(loss, draws=None):
    sizes = {"B": B, "D": D, "G": G, "L": L, "S": draws}
    generator = torch.Generator().manual_seed(0)
    found = {}
    for entry in loss.INPUTS:
        shape = [sizes[a] for a in entry.shape if a != "S" or draws]
        tensor = torch.randn(shape, dtype=torch.float64, generator=generator)
        if entry.of == "s" and entry.role == "value":
            tensor = (tensor.abs() * 10).long() % G
        elif entry.of == "x":
            tensor = (tensor > 0).double()
        else:
            tensor.requires_grad_()
        found[entry.name] = tensor
    return found


@pytest.mark.parametrize("draws", [None, 3])
def test_the_adversarys_loss_by_hand(draws):
    certificate = ibsym.audit(ibsym.derive(unlearned()))
    loss_class = ibsym.compile(certificate)
    assert agree(unlearned(), lower(certificate), loss_class, worlds=2).largest_error < 1e-10
    given = inputs(loss_class, draws)
    (name,) = loss_class.CRITICS
    assert name == "I_q(Z;S)"
    assert [(i.of, i.role, i.joint) for i in loss_class.CRITIC_INPUTS[name]] == [("s", "value", "q"), ("a(s|z)", "logits", "q")]
    output = loss_class(gamma=0.7)(**given)
    guess = given["s_logits"].log_softmax(-1).gather(-1, given["s"].expand(given["s_logits"].shape[:-1])[..., None]).squeeze(-1)
    fit = torch.distributions.Bernoulli(logits=given["x_logits"]).log_prob(given["x"]).sum(-1)
    torch.testing.assert_close(output.loss, 0.7 * guess.mean() - fit.mean())
    torch.testing.assert_close(output.terms[name], guess.mean().detach())
    own = {i.name: given[i.name] for i in loss_class.CRITIC_INPUTS[name]}
    torch.testing.assert_close(loss_class.critic_loss(name, **own), -guess.mean())
    both = [
        torch.autograd.grad(t, given["s_logits"], retain_graph=True)[0]
        for t in (output.loss, loss_class.critic_loss(name, **own))
    ]
    torch.testing.assert_close(both[0], -0.7 * both[1])  # the model unlearns what its player learns
    assert loss_class(reduction="none")(**given).loss.shape == (B,)
    for wrong in ({}, {"s": given["s"]}, own | {"more": given["s"]}):
        with pytest.raises(TypeError, match="takes s, s_logits"):
            loss_class.critic_loss(name, **wrong)
    with pytest.raises(ValueError, match="unknown critic 'nothing'"):
        loss_class.critic_loss("nothing")


@pytest.mark.parametrize("estimator", ["club", "leave-one-out"])
@pytest.mark.parametrize(
    ("term", "density", "draws"), [("I_q(X;Z)", "r(z|x)", 3), ("I_q(X;Z)", "r(z|x)", None), ("I_q(Z;W)", "t(w|z)", 3)]
)
def test_a_learned_conditional_by_hand(estimator, term, density, draws):
    case = spec(f"minimize gamma*{term} - I_q(Z;X)", {term: {"estimator": estimator, "density": density}}, density)
    certificate = ibsym.audit(ibsym.derive(case))
    loss_class = ibsym.compile(certificate)
    assert agree(case, lower(certificate), loss_class, worlds=2).largest_error < 1e-10
    given = inputs(loss_class, draws)
    named = {(i.of, i.role): given[i.name] for i in loss_class.INPUTS}
    value, mean, logvar = named[density[2], "sample"], named[density, "mean"], named[density, "logvar"]
    law = torch.distributions.Normal(mean.unsqueeze(-3), (logvar / 2).exp().unsqueeze(-3))
    pairs = law.log_prob(value.unsqueeze(-2)).sum(-1)  # row i's value at row j's parameters
    own, off = pairs.diagonal(dim1=-2, dim2=-1), ~torch.eye(B, dtype=torch.bool)
    others = pairs.masked_fill(~off, -torch.inf).logsumexp(-1) - np.log(B - 1)
    wanted = own.mean() - (pairs[..., off].mean() if estimator == "club" else others.mean())
    output = loss_class(gamma=0.7)(**given)
    torch.testing.assert_close(output.terms[term], wanted.detach())
    player = {i.name: given[i.name] for i in loss_class.CRITIC_INPUTS[term]}
    torch.testing.assert_close(loss_class.critic_loss(term, **player), -own.mean())


def test_an_adversary_beside_a_critic_and_a_held_one():
    """Players that fit densities take inputs; critics take logits, by position or by name."""
    case = ibsym.Spec(
        name="both",
        objective="minimize gamma*I_q(Z;S) + KL(q(z)||p(z)) + JS(data(x)||p(x))",
        variables={"x": "real[D]", "s": "categorical[G]", "z": "real[L]", "t": "real[T]"},
        joints={
            "q": "data(x,s) q(z|x)",
            "p": "p(z) p(x|z)",
            "a": "a(s|z)",
            "m": "(0.5*data(x) + 0.5*p(x)) e(t|x)",
            "g": "g(t)",
        },
        families={
            "q(z|x)": "diagonal-normal",
            "p(z)": "standard-normal",
            "p(x|z)": "implicit",
            "a(s|z)": "categorical",
            "e(t|x)": "diagonal-normal",
            "g(t)": "standard-normal",
        },
        parameters={"gamma": {"default": 1.0, "min": 0}, "Ic": {"default": 0.5, "min": 0}},
        estimators={**ADVERSARY, "KL(q(z)||p(z))": "density-ratio", "JS(data(x)||p(x))": "logistic"},
        critics={"JS(data(x)||p(x))": {"through": "e(t|x)", "subject_to": "I_m(X;T) <= Ic", "multiplier": "mu"}},
    )
    certificate = ibsym.audit(ibsym.derive(case))
    loss = ibsym.compile(certificate)
    assert agree(case, lower(certificate), loss, worlds=1).largest_error < 1e-10
    assert set(loss.CRITICS) == {"I_q(Z;S)", "KL(q(z)||p(z))", "JS(data(x)||p(x))"}
    f, g = torch.zeros(3), torch.zeros(4)
    assert float(loss().critic_loss("KL(q(z)||p(z))", f, g)) == pytest.approx(2 * np.log(2))
    plain = ibsym.compile(
        ibsym.Spec(
            **{
                **{k: v for k, v in case.keys.items() if k != "critics"},
                "joints": {k: v for k, v in case.keys["joints"].items() if k not in ("m", "g")},
                "families": {k: v for k, v in case.keys["families"].items() if k not in ("e(t|x)", "g(t)")},
            }
        )
    )
    assert float(plain.critic_loss("KL(q(z)||p(z))", f, g)) == pytest.approx(2 * np.log(2))
    with pytest.raises(TypeError, match="takes the logits"):
        plain.critic_loss("KL(q(z)||p(z))")
