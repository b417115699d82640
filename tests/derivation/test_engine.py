"""Derivations: the table of systems, further objectives, refusals with their advice, the order of preference."""

from __future__ import annotations

from pathlib import Path

import pytest

import ibsym
from ibsym.derivation.model import Derivation
from ibsym.derivation.planning import Planner
from ibsym.errors import DerivationError, IbsymError, SpecError
from ibsym.facts import Relation, Side
from ibsym.spec.loading import zoo_names
from ibsym.terms.reading import read_objective
from tests.derivation.papers import PAPERS

SPECS = Path(__file__).parents[1] / "specs"

A, B, R, D = "KL(q(z|x)||p(z))", "KL(q(z)||p(z))", "E_q[log p(x|z)]", "KL(q(x)||p(x))"
TABLE = {
    "vib": ("<=", {A: "1", "E_q[log p(c|z)]": "-beta"}),
    "vae": ("<=", {A: "1", R: "-1"}),
    "beta-vae": ("<=", {A: "beta", R: "-1"}),
    "aae": ("~", {B: "1", R: "-beta"}),
    "infovae": ("~", {A: "1 - alpha", B: "alpha + lam - 1", R: "-1"}),
    "vae-gan": ("~", {A: "1", R: "-1", D: "1"}),
    "bib-ae": ("~", {A: "1", B: "-1", R: "-beta", D: "beta"}),
    "gan": ("~", {"JS(data(x)||p(x))": "1"}),
    "infogan": ("~", {"JS(data(x)||p(x))": "1", "E_p[log r(c|x)]": "-lam"}),
    "bigan": ("~", {"JS(q(x,z)||p(x,z))": "1"}),
    "vdb": ("~", {"JS(data(x)||p(x))": "1"}),
    "semi-supervised-ib": (
        "~",
        {
            "KL(u(z|x)||p(z))": "1",
            "KL(u(z)||p(z))": "-1",
            "E_q[log p(c|z)]": "-beta_c",
            "E_u[log p(x|z)]": "-beta_x",
            "KL(q(c)||u(c))": "beta_c",
            "KL(u(x)||p(x))": "beta_x",
        },
    ),
    **PAPERS,
}

NORMAL = {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "diagonal-normal"}
AUTOENCODER = {
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": NORMAL,
}


def bound(d: Derivation) -> dict[str, str]:
    return {b.text: str(b.coefficient) for b in d.bound}


def gaps(d: Derivation) -> dict[str, str]:
    return {str(g.term): str(g.coefficient) for g in d.gap}


def derive(objective: str, **keys: object) -> Derivation:
    return ibsym.derive(ibsym.Spec(**{"name": "case", "objective": objective, **AUTOENCODER, **keys}))


def test_the_table_has_every_entry_of_the_zoo() -> None:
    assert set(TABLE) == set(zoo_names())


@pytest.mark.parametrize("name", sorted(TABLE))
def test_table(name: str) -> None:
    d = ibsym.derive(name)
    assert (str(d.relation), bound(d)) == TABLE[name]


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_chain_is_contiguous(name: str) -> None:
    d = ibsym.derive(name)
    ends = [d.objective, *(s.after for s in d.steps)]
    assert [s.before for s in d.steps] == ends[:-1]


def test_one_decomposition_under_different_treatments() -> None:
    """The rate A, the latent divergence B, the distortion R and the data divergence D are kept, dropped or estimated."""
    treated = {
        name: {t: b.estimator for b in ibsym.derive(name).bound for t in (b.text,)}
        for name in ("vae", "aae", "infovae", "vae-gan", "bib-ae")
    }
    assert treated["vae"] == {A: "closed-form", R: "sampled"}
    assert treated["aae"] == {B: "density-ratio", R: "sampled"}
    assert treated["infovae"] == {A: "closed-form", B: "mmd", R: "sampled"}
    assert treated["vae-gan"] == {A: "closed-form", R: "sampled", D: "density-ratio"}
    assert treated["bib-ae"] == {A: "closed-form", B: "density-ratio", R: "sampled", D: "density-ratio"}
    assert gaps(ibsym.derive("vae")) == {B: "1", "KL(q(x|z)||p(x|z))": "1"}


def test_the_data_term_says_where_discreteness_is_used_and_which_side_learns() -> None:
    steps = ibsym.derive("bib-ae").steps
    dropped = next(s for s in steps if s.rule == "cross-entropy dropped")
    assert [str(p) for p in dropped.premises] == ["X is discrete (binary[D])"]
    assert str(dropped.gap) == "beta*CE(q(x)||p(x))"
    data_term = next(s for s in steps if s.rule == "density-ratio" and "density-ratio[KL(q(x)" in str(s.after))
    assert "second argument" in str(data_term.note)
    assert any(s.rule == "relaxation" and "p(x|z) (mean)" in str(s.note) for s in steps)
    models = {b.text: b.model for b in ibsym.derive("bib-ae").bound}
    assert (models[B], models[D]) == ("value", "non-saturating")


@pytest.mark.parametrize("path", sorted((SPECS / "refused").glob("*.toml")), ids=lambda p: p.stem)
def test_refused_specs_say_why(path: Path) -> None:
    """Each names, in backquotes on its first line, what the message must contain."""
    expected = [part for i, part in enumerate(path.read_text().splitlines()[0].split("`")) if i % 2]
    with pytest.raises(IbsymError) as info:
        ibsym.derive(ibsym.load(path))
    message = str(info.value)
    assert [part for part in expected if part not in message] == []


def test_hypothetical_factors_are_advised() -> None:
    with pytest.raises(DerivationError, match=r"declare p\(z\)"):
        derive(
            "minimize I_q(X;Z) - I_q(Z;X)",
            joints={"q": "data(x) q(z|x)", "p": "p(x|z)"},
            families={k: v for k, v in NORMAL.items() if k != "p(z)"},
        )
    with pytest.raises(DerivationError, match=r"declare p\(x\|z\)"):
        derive(
            "minimize I_q(X;Z) - I_q(Z;X)",
            joints={"q": "data(x) q(z|x)", "p": "p(z)"},
            families={k: v for k, v in NORMAL.items() if k != "p(x|z)"},
        )


def test_discrete_only_steps_are_the_named_obstacle() -> None:
    with pytest.raises(DerivationError, match=r"would drop H_p\(Z\|X\) >= 0, which holds for discrete variables only"):
        derive("minimize KL(p(z|x)||q(z|x))")


def test_an_encoder_of_one_view_bounds_both_by_one_decoder() -> None:
    d = ibsym.derive(ibsym.load(SPECS / "two-view-joint.toml"))
    assert bound(d) == {"KL(q(z|x1)||p(z))": "1", "E_q[log p(x1|z)]": "-beta"}


def test_leakage_falls_back_to_data_processing() -> None:
    d = ibsym.derive(ibsym.load(SPECS / "bounded" / "leakage-without-decoder.toml"))
    assert bound(d)["KL(q(z|x)||p(z))"] == "1"
    assert gaps(d)["I_q(X;Z|S)"] == "1"


def test_terms_are_bounded_as_written_not_merged() -> None:
    assert bound(derive("minimize I_q(X;Z) - I_q(Z;X)")) == {A: "1", R: "-1"}


@pytest.mark.parametrize(
    ("objective", "relation", "final"),
    [
        ("maximize E_data[log p(x)]", ">=", "-KL(q(z|x)||p(z)) + E_q[log p(x|z)]"),
        ("minimize KL(q(x,z)||p(x,z))", "=", "KL(q(z|x)||p(z)) - H_q(X) - E_q[log p(x|z)]"),
        ("minimize CE(data(x)||p(x))", "<=", "KL(q(z|x)||p(z)) - E_q[log p(x|z)]"),
        ("minimize KL(data(x)||p(x))", "<=", "KL(q(z|x)||p(z)) - H_q(X) - E_q[log p(x|z)]"),
    ],
)
def test_evidence(objective: str, relation: str, final: str) -> None:
    d = derive(objective)
    assert str(d.relation) == relation
    assert {str(w) for w in str(d.final).split()} == {str(w) for w in final.split()}


@pytest.mark.parametrize(
    ("objective", "estimators", "relation", "text"),
    [
        ("minimize I_q(X;Z) - E_q[log p(x|z)]", {"I_q(X;Z)": "leave-one-out"}, "<=", "leave-one-out[I_q(X;Z)]"),
        ("minimize I_q(X;Z) - E_q[log p(x|z)]", {"I_q(X;Z)": "club"}, "<=", "club[I_q(X;Z)]"),
        ("maximize I_q(X;Z)", {"I_q(X;Z)": "infonce"}, ">=", "infonce[I_q(X;Z)]"),
        ("maximize I_q(X;Z)", {"I_q(X;Z)": "dv"}, "~", "dv[I_q(X;Z)]"),
        ("maximize I_q(X;Z)", {"I_q(X;Z)": "nwj"}, ">=", "nwj[I_q(X;Z)]"),
        ("maximize KL(q(x,z)||q(x)q(z))", {"KL(q(x,z)||q(x)q(z))": "nwj"}, ">=", "nwj["),
        ("minimize KL(q(z)||p(z)) - E_q[log p(x|z)]", {B: "nwj"}, "~", "nwj["),
        ("minimize I_q(X;Z) - E_q[log p(x|z)]", {B: "nwj"}, "<=", "- nwj[KL(q(z)||p(z))]"),
        ("maximize E_q[log p(x)]", {"E_q[log p(x)]": "iwae"}, ">=", "iwae["),
        ("minimize F[pearson](q(x)||p(x))", {"F[pearson](q(x)||p(x))": "dual"}, "~", "dual["),
    ],
)
def test_estimators_bound_only_in_their_direction(objective: str, estimators: dict[str, str], relation: str, text: str) -> None:
    d = derive(objective, estimators=estimators)
    assert str(d.relation) == relation
    assert text in str(d.final)


XZ, ZX, PRODUCT = "I_q(X;Z)", "I_q(Z;X)", "KL(q(x,z)||q(x)q(z))"


@pytest.mark.parametrize(
    ("estimators", "relation", "final"),
    [
        ({XZ: "density-ratio"}, "~", "density-ratio[I_q(X;Z)] - H_q(X) - E_q[log p(x|z)]"),
        ({XZ: "club"}, "<=", "club[I_q(X;Z)] - H_q(X) - E_q[log p(x|z)]"),
        ({ZX: "nwj"}, "<=", "KL(q(z|x)||p(z)) - nwj[I_q(Z;X)]"),
        ({ZX: "infonce"}, "<=", "KL(q(z|x)||p(z)) - infonce[I_q(Z;X)]"),
        ({ZX: "density-ratio"}, "~", "KL(q(z|x)||p(z)) - density-ratio[I_q(Z;X)]"),
        ({XZ: "leave-one-out", ZX: "infonce"}, "<=", "leave-one-out[I_q(X;Z)] - infonce[I_q(Z;X)]"),
        ({XZ: "nwj", ZX: "dv"}, "~", "nwj[I_q(X;Z)] - dv[I_q(Z;X)]"),
        ({B: "density-ratio"}, "~", "KL(q(z|x)||p(z)) - density-ratio[KL(q(z)||p(z))] - H_q(X) - E_q[log p(x|z)]"),
    ],
)
def test_an_entry_belongs_to_the_term_that_it_spells(estimators: dict[str, str], relation: str, final: str) -> None:
    """Two readings of one information are two terms: each with its own estimator, or bounded as without one."""
    d = derive(f"minimize {XZ} - {ZX}", estimators=estimators)
    assert (str(d.relation), str(d.final)) == (relation, final)
    assert ibsym.audit(d).worlds
    assert ibsym.generate(d)


@pytest.mark.parametrize(
    ("objective", "entry", "meant"),
    [
        (f"minimize {XZ}", ZX, f'write: estimators."{XZ}", or leave it out'),
        (f"minimize {ZX}", XZ, f'write: estimators."{ZX}", or leave it out'),
        (f"minimize {XZ}", PRODUCT, f'write: estimators."{XZ}", or leave it out'),
        (f"minimize {PRODUCT}", XZ, f'write: estimators."{PRODUCT}", or leave it out'),
        (f"minimize {XZ}", "KL(p(z)||q(z))", f'estimators."{B}" or estimators."KL(q(z|x)||p(z))", or leave it out'),
        ("minimize JS(q(x)||p(x))", "JS(q(z)||p(z))", 'write: estimators."JS(q(x)||p(x))"'),
    ],
)
def test_an_entry_that_nothing_uses_is_refused_with_what_it_could_mean(objective: str, entry: str, meant: str) -> None:
    name = "logistic" if entry.startswith("JS") else "nwj"
    more = {"JS(q(x)||p(x))": "logistic"} if entry.startswith("JS") else {}
    with pytest.raises(SpecError) as caught:
        derive(objective, estimators={entry: name, **more})
    assert f"{entry} does not occur in the bound" in str(caught.value)
    if not more:
        assert meant in str(caught.value)


def test_a_term_has_one_entry() -> None:
    with pytest.raises(SpecError, match="one entry a term"):
        derive(f"minimize {XZ}", estimators={XZ: "nwj", "I_q(X ; Z)": "dv"})


@pytest.mark.parametrize(
    ("objective", "keys", "message"),
    [
        ("minimize I_q(X;Z)", {"estimators": {D: "dv"}}, "does not occur in the bound"),
        ("minimize I_q(X;Z)", {"estimators": {"I_q(X;Z)": "mmd"}}, "mmd does not estimate"),
        ("minimize I_q(X;Z)", {"derivation": {"expand": ["H_q(X) with p(x)"]}}, "not a constant of the bound"),
        ("minimize b*I_q(X;Z)", {"parameters": {"b": {"default": 1.0}}}, "positive or negative"),
        ("minimize I_q(X;Z) + 3", {}, "constant 3"),
        ("minimize I_q(X;Z)*I_q(X;Z)", {}, "not linear"),
        ("minimize 0*I_q(X;Z)", {}, "no term left"),
        ("minimize I_q(X;X)", {}, "twice"),
        ("minimize KL(q(z)||p(x))", {}, "different variables"),
        ("minimize I_p(X;Z)/0", {}, "division by zero"),
        ("minimize KL(q(x)||p(x|z))", {}, "not independent"),
    ],
)
def test_mistakes(objective: str, keys: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        derive(objective, **keys)


def test_draws_inside_a_logarithm_are_refused_until_they_are_relaxed() -> None:
    """The importance weights' draws carry the encoder's gradient, as those of any other term do; exact sums are refused later."""
    estimators = {"E_q[log p(x)]": "iwae"}
    keys = {
        "variables": {"x": "real[D]", "z": "binary[L]"},
        "families": {"q(z|x)": "bernoulli", "p(z)": "uniform", "p(x|z)": "laplace"},
    }
    with pytest.raises(SpecError, match=r'draws of q\(z\|x\) \(bernoulli\) carry no gradient(?s:.*)relax = "concrete"'):
        derive("maximize E_q[log p(x)]", **keys, estimators=estimators)
    keys["families"]["q(z|x)"] = {"family": "bernoulli", "relax": "concrete"}
    d = derive("maximize E_q[log p(x)]", **keys, estimators=estimators)
    assert any(s.rule == "relaxation" and "q(z|x) (concrete)" in str(s.note) for s in d.steps)
    assert d.relation is Relation.APPROX


def test_draws_without_gradient_are_refused_until_they_are_relaxed() -> None:
    keys = {
        "variables": {"x": "binary[D]", "z": "binary[L]"},
        "families": {"q(z|x)": "bernoulli", "p(z)": "bernoulli", "p(x|z)": "bernoulli"},
    }
    with pytest.raises(SpecError, match="carry no gradient"):
        derive("minimize I_q(X;Z) - I_q(Z;X)", **keys)
    relaxed = {**keys, "families": {**keys["families"], "q(z|x)": {"family": "bernoulli", "relax": "concrete"}}}
    assert str(derive("minimize I_q(X;Z) - I_q(Z;X)", **relaxed).relation) == "~"


def test_certificates_are_exact() -> None:
    """term + sum lambda g = sum t c + sum e E, over the rationals, for every plan of the zoo."""
    from ibsym.terms.vectors import combine

    for name in zoo_names():
        spec = ibsym.load(name)
        planner = Planner(spec)
        for part in read_objective(spec):
            for side in Side:
                plan = planner.plan(part.term, part.coefficient, side)
                if plan is None:
                    continue
                left = combine((1, planner.coordinates.vector(plan.term)), *((side.sign * x, r.vector) for x, r in plan.gaps))
                right = combine(*((x, c.vector) for x, c in plan.computed), *((x, e.vector) for x, e in plan.equations))
                assert left == right
                assert all(x > 0 for x, _ in plan.gaps)


def test_constraints_of_critics_are_derived() -> None:
    (constraint,) = ibsym.derive("vdb").constraints
    assert constraint.derivation is not None
    assert bound(constraint.derivation) == {"KL(m(t|x)||r(t))": "1"}
    assert str(constraint.derivation.relation) == "<="


def test_the_whole_weight_of_a_term_is_told_where_it_has_no_sign() -> None:
    """I(X;S,Y) contains -I(S;Y): the club of gamma*I(S;Y) has the weight gamma - 1, and the remedy makes it a bound."""
    keys = {
        "name": "s",
        "objective": "minimize I_q(X;S,Y) + gamma*I_q(S;Y) - I_q(Y;C)",
        "variables": {"x": "real[D]", "c": "categorical[K]", "s": "real[M]", "y": "real[L]"},
        "joints": {"q": "data(x,c) q(s|x) q(y|x)", "p": "p(s) p(y) p(c|y)", "a": "a(y|s)"},
        "families": {
            **dict.fromkeys(("q(s|x)", "q(y|x)", "a(y|s)"), "diagonal-normal"),
            **dict.fromkeys(("p(s)", "p(y)"), "standard-normal"),
            "p(c|y)": "categorical",
        },
        "parameters": {"gamma": {"default": 1, "min": 0}},
        "estimators": {"I_q(S;Y)": {"estimator": "club", "density": "a(y|s)"}},
    }
    with pytest.raises(SpecError, match=r"the coefficient gamma - 1 of I_q\(S;Y\) may be positive or negative") as refusal:
        ibsym.derive(ibsym.Spec(**keys))
    assert "gamma = { default = 1, min = 1 }" in refusal.value.remedy
    bounded = ibsym.derive(ibsym.Spec(**{**keys, "parameters": {"gamma": {"default": 1, "min": 1}}}))
    assert "club" in {b.estimator for b in bounded.bound}
