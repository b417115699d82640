"""log r(v) from the caller: the loss of a family's own density, handed in; where a density is needed elsewhere, a refusal."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import ibsym  # noqa: E402
from ibsym.errors import IbsymError  # noqa: E402
from ibsym.training.external import STAND_INS, standing  # noqa: E402

D = torch.distributions
BOUND = "minimize I_q(X;Z) - I_q(Z;X)"
FAMILIES = {"q(z|x)": "diagonal-normal", "p(z)": "diagonal-normal", "p(x|z)": "isotropic-normal"}


def spec(objective=BOUND, families=None, **more):
    return ibsym.Spec(
        name="s",
        objective=objective,
        variables={"x": "real[D]", "z": "real[L]"} | more.pop("variables", {}),
        joints={"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"} | more.pop("joints", {}),
        families=FAMILIES | (families or {}),
        **more,
    )


def inputs(loss, values):
    return {i.name: values[i.of, i.role] for i in loss.INPUTS}


def law(mean, logvar):
    return D.Independent(D.Normal(mean, (logvar / 2).exp()), 1)


@pytest.mark.parametrize("outside", [("q(z|x)",), ("p(z)",), ("p(x|z)",), tuple(FAMILIES)])
def test_the_loss_is_that_of_the_density_that_is_handed_in(outside):
    """Value, terms and gradients, in every parameter of the density and through the draws."""
    asked = {"estimators": {"KL(q(z|x)||p(z))": "sampled"}} if outside == ("p(x|z)",) else {}
    own = ibsym.compile(spec(estimators={"KL(q(z|x)||p(z))": "sampled"}))()
    handed = ibsym.compile(spec(families=dict.fromkeys(outside, "external"), **asked))()
    found = []
    for loss in (own, handed):
        g = torch.Generator().manual_seed(3)
        parts = {n: torch.randn(s, generator=g, dtype=torch.float64, requires_grad=True) for n, s in LEAVES.items()}
        z = parts["mean"] + (parts["logvar"] / 2).exp() * torch.randn(3, 5, 2, generator=g, dtype=torch.float64)
        x = torch.randn(5, 4, generator=g, dtype=torch.float64)
        values = {("z", "sample"): z, ("x", "value"): x, ("p(x|z)", "mean"): z @ parts["out"]}
        for role in ("mean", "logvar"):
            values |= {("q(z|x)", role): parts[role], ("p(z)", role): parts[f"prior_{role}"]}
        values["q(z|x)", "log_prob"] = law(parts["mean"], parts["logvar"]).log_prob(z)
        values["p(z)", "log_prob"] = law(parts["prior_mean"], parts["prior_logvar"]).log_prob(z)
        values["p(x|z)", "log_prob"] = D.Independent(D.Normal(z @ parts["out"], 1.0), 1).log_prob(x)
        out = loss(**inputs(loss, values))
        found.append((out, torch.autograd.grad(out.loss, list(parts.values()))))
    (a, da), (b, db) = found
    torch.testing.assert_close(a.loss, b.loss, rtol=1e-12, atol=1e-12)
    assert set(a.terms) == set(b.terms)
    torch.testing.assert_close(dict(a.terms), dict(b.terms), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(da, db, rtol=1e-10, atol=1e-12)


LEAVES = {"mean": (5, 2), "logvar": (5, 2), "prior_mean": (2,), "prior_logvar": (2,), "out": (2, 4)}


def test_a_density_is_given_at_every_draw():
    """(S, B) where anything is drawn, (B,) where nothing is."""
    made = ibsym.compile(spec(families=dict.fromkeys(FAMILIES, "external")))
    shapes = {(i.of, i.role): i.shape for i in made.INPUTS}
    assert shapes == {(f, "log_prob"): ("S", "B") for f in FAMILIES}
    observed = ibsym.compile(spec("minimize -E_q[log r(x)]", joints={"r": "r(x)"}, families=FAMILIES | {"r(x)": "external"}))
    assert [(i.of, i.role, i.shape) for i in observed.INPUTS] == [("r(x)", "log_prob", ("B",))]


def test_no_closed_form_is_made_of_it():
    for pair in (("external", "external"), ("external", "standard-normal"), ("diagonal-normal", "external")):
        derivation = ibsym.derive(spec(families=dict(zip(("q(z|x)", "p(z)"), pair, strict=True))))
        assert {str(b.term): b.estimator for b in derivation.bound}["KL(q(z|x)||p(z))"] == "sampled"


LATENT = "minimize KL(q(z)||p(z)) - I_q(Z;X)"
ELSEWHERE = {
    "minibatch-weighted": (LATENT, "KL(q(z)||p(z))", {}),
    "minibatch-stratified": (LATENT, "KL(q(z)||p(z))", {"dataset_size": 60}),
    "leave-one-out": (BOUND, "I_q(X;Z)", {}),
    "club": (BOUND, "I_q(X;Z)", {}),
}


@pytest.mark.parametrize("estimator", ELSEWHERE)
def test_what_needs_it_elsewhere_than_at_the_draws_is_refused(estimator):
    objective, term, options = ELSEWHERE[estimator]
    keys = {"estimators": {term: {"estimator": estimator, **options}}}
    ibsym.compile(spec(objective, **keys))
    wanted = (
        r"q\(z\|x\) \(external\) is known at its draws alone.*\n  write: a family with a density, or an estimator with a critic"
    )
    with pytest.raises(IbsymError, match=wanted):
        ibsym.compile(spec(objective, {"q(z|x)": "external"}, **keys))


def test_classes_of_a_batch_need_their_probabilities():
    keys = {"variables": {"c": "categorical[K]"}, "joints": {"q": "data(x) q(z|x) q(c|x)", "r": "r(c)"}}
    families = {"q(c|x)": "external", "r(c)": "categorical"}
    with pytest.raises(IbsymError, match=r'write: families."q\(c\|x\)" = "categorical"'):
        ibsym.compile(spec("minimize KL(q(c)||r(c))", families, estimators={"KL(q(c)||r(c))": "batch-marginal"}, **keys))


def test_draws_that_there_are_none_of_are_asked_for():
    silent = {"family": "external", "sampled": False}
    assert ibsym.derive(spec(families={"p(x|z)": silent, "p(z)": silent}))
    for objective, keys, term in (
        (BOUND, {}, r"KL\(q\(z\|x\)\|\|p\(z\)\)"),
        (LATENT, {"estimators": {"KL(q(z)||p(z))": "mmd"}}, r"KL\(q\(z\)\|\|p\(z\)\)"),
    ):
        wanted = rf"q\(z\|x\) \(external\) has no draws, and {term} is an average.*\n  write: .* sampled = true"
        with pytest.raises(IbsymError, match=wanted):
            ibsym.derive(spec(objective, {"q(z|x)": silent}, **keys))
    with pytest.raises(IbsymError, match="needs an encoder"):
        ibsym.compile(spec("maximize E_q[log p(x)]", {"q(z|x)": silent}, estimators={"E_q[log p(x)]": "iwae"}))


def test_draws_without_a_gradient():
    """No gradient may be needed through them; where none is, they are values."""
    stiff = {"family": "external", "reparameterised": False}
    with pytest.raises(IbsymError, match=r"carry no gradient, .*\n  write: .* reparameterised = true"):
        ibsym.derive(spec(families={"q(z|x)": stiff}))
    fixed = spec("minimize KL(q(z)||p(z)) - I_q(Z;X)", {"p(z)": stiff}, estimators={"KL(q(z)||p(z))": "mmd"})
    with pytest.raises(IbsymError, match="carry no gradient"):
        ibsym.derive(fixed)


@pytest.mark.parametrize("entry", [{"sampled": 1}, {"reparameterised": "yes"}])
def test_options_are_yes_or_no(entry):
    (name,) = entry
    with pytest.raises(IbsymError, match=f"{name} = .* does not say whether .*\n  write: {name} = true or false"):
        spec(families={"q(z|x)": {"family": "external", **entry}})


def test_training_has_a_textbook_density_in_its_place():
    for kind, family in STAND_INS.items():
        other, notes = standing(
            spec(variables={"x": f"{kind}[D]"}, families={"p(x|z)": {"family": "external", "sampled": False}})
        )
        assert other.factors["p(x|z)"].family.name == family
        assert notes == (f"p(x|z) is external: {family} stands in",)
    with pytest.raises(IbsymError, match=r"q\(z\|x\) is external, and no density on a sphere space stands in.*\n  write: "):
        standing(spec(variables={"z": "sphere[L]"}, families={"q(z|x)": "external", "p(z)": "uniform-sphere"}))
