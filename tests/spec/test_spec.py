"""Specs: what is read, and what every mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

import ibsym
from ibsym.errors import SpecError
from ibsym.spec.grammar import parse
from ibsym.spec.loading import loads, zoo_names, zoo_text

BASE = """
name = "case"
objective = "minimize I_q(X;Z) - beta*I_q(Z;X)"
[variables]
x = "binary[D]"
z = "real[L]"
[joints]
q = "data(x) q(z|x)"
p = "p(z) p(x|z)"
[families]
"q(z|x)" = "diagonal-normal"
"p(z)" = "standard-normal"
"p(x|z)" = "bernoulli"
[parameters]
beta = { default = 1.0, min = 0 }
"""


def test_base_is_accepted() -> None:
    spec = loads(BASE)
    assert (spec.module_name, spec.class_name, spec.sense) == ("case", "CaseLoss", "minimize")
    assert [j.rooted for j in spec.joints.values()] == [True, True, True]


@pytest.mark.parametrize("name", zoo_names())
def test_python_and_toml_are_one(name: str) -> None:
    """The same spec from the TOML's keys."""
    import tomllib

    again = ibsym.Spec(**tomllib.loads(zoo_text(name)))
    assert str(ibsym.derive(again)) == str(ibsym.derive(name))


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ('"minimize I_q(X;Z) - beta*I_q(Z;X)"', '"minimize I_q(X;Z - 1"', ":3:31: objective", "does not fit"),
        ('"minimize I_q(X;Z) - beta*I_q(Z;X)"', '"minimise I_q(X;Z)"', ":3:14: objective", "minimize"),
        ("I_q(X;Z)", "I_q(X;Y)", ":3:23: objective", "unknown variable 'Y'"),
        ("I_q(X;Z)", "I_q(x;Z)", ":3:23: objective", "not 'x'"),
        ("I_q(X;Z)", "I_k(X;Z)", ":3:23: objective", "unknown joint 'k'"),
        ("beta*", "gamma*", ":3:34: objective", "unknown parameter 'gamma'"),
        ('x = "binary[D]"', 'x = "bits[D]"', ":5: variables.x", "unknown space"),
        ('x = "binary[D]"', 'x = "binary[D]"\nX = "real[D]"', ":6: variables.X", "values' name"),
        ('x = "binary[D]"', 'x = "binary[B]"', ":5: variables.x", "taken"),
        ('x = "binary[D]"', 'x = "binary[D]"\nzZ = "real[D]"\nzz = "real[D]"', ":7: variables.zz", "only by case"),
        ('"data(x) q(z|x)"', '"data(x) q(z|x) q(z|x)"', ":8: joints.q", "declared twice"),
        ('"data(x) q(z|x)"', '"q(x|z) q(z|x)"\n', ":8:6: joints.q", "no family"),
        ('"data(x) q(z|x)"', '"data(x|z) q(z|x)"', ":8: joints.q", "samples only"),
        ('"data(x) q(z|x)"', '"data(x) q(z|w)"', ":8:14: joints.q", "unknown variable 'w'"),
        ('"data(x) q(z|x)"', '"data(x) p(c|z)"', ":8:14: joints.q", "the joint p lacks the factor p(c|z)"),
        ('"diagonal-normal"', '"gaussian"', ":11: families", "unknown family"),
        ('"bernoulli"', '"diagonal-normal"', ":13: families", "binary"),
        ('"bernoulli"', '{ family = "bernoulli", scale = 2 }', ":13: families", "unknown option"),
        ('"bernoulli"', '{ family = "bernoulli", relax = "hard" }', ":13: families", "relax"),
        (
            '"p(z)" = "standard-normal"',
            '"p(y)" = "standard-normal"\n"p(z)" = "standard-normal"',
            ":12: families",
            "factor of no joint",
        ),
        ("beta = {", "lambda = {", ":15: parameters.lambda", "cannot be the name"),
        ("beta = {", "reduction = {", ":15: parameters.reduction", "taken"),
        ("default = 1.0", "default = -1.0", ":15: parameters.beta", "outside"),
        ("default = 1.0", "default = nan", ":15: parameters.beta", "finite"),
        ("default = 1.0", "defalt = 1.0", ":15: parameters.beta", "default"),
        ('name = "case"', 'name = "Case!"', ":2: name", "cannot be the name"),
        ('name = "case"', 'name = "torch"', ":2: name", "exists already"),
        ('name = "case"', 'name = "case"\ntitel = "x"', ":3: titel", "title"),
        ("[parameters]", '[estimators]\n"KL(q(z)||p(z))" = "denisty-ratio"\n[parameters]', ":15: estimators", "density-ratio"),
        (
            "[parameters]",
            '[estimators]\n"KL(q(z)||p(z))" = { estimator = "mmd", model = "value" }\n[parameters]',
            ":15: estimators",
            "no critic",
        ),
        (
            "[parameters]",
            '[critics]\n"JS(data(x)||p(x))" = { through = "e(t|x)" }\n[parameters]',
            ":15: critics",
            "unknown factor 'e(t|x)'",
        ),
    ],
)
def test_mistakes_have_place_and_remedy(old: str, new: str, place: str, message: str) -> None:
    assert old in BASE
    with pytest.raises(SpecError) as info:
        ibsym.derive(loads(BASE.replace(old, new, 1), file="case.toml"))
    text = str(info.value)
    assert text.startswith(f"case.toml{place}"), text
    assert message in text


def test_a_toml_error_has_line_and_column() -> None:
    with pytest.raises(SpecError, match=r"case\.toml:1:8: this is not TOML: one = stands"):
        loads("name = = 1", file="case.toml")


def test_missing_files_and_names() -> None:
    with pytest.raises(SpecError, match="neither a file nor a name of the zoo"):
        ibsym.load("no-such-spec")


def test_cycles_are_named() -> None:
    text = BASE.replace('"p(z) p(x|z)"', '"p(z|x) p(x|z)"').replace('"p(z)" =', '"p(z|x)" =')
    with pytest.raises(SpecError, match="cycle: "):
        loads(text)


def test_weights_of_mixtures_sum_to_one() -> None:
    text = BASE.replace('p = "p(z) p(x|z)"', 'p = "p(z) p(x|z)"\nm = "(0.5*data(x) + 0.6*p(x))"')
    with pytest.raises(SpecError, match=r"sum to 1\.1"):
        loads(text)


@pytest.mark.parametrize("start", ["objective", "joint", "density", "quantity", "expansion", "constraint", "claim"])
@pytest.mark.parametrize(
    "text", ["", "(", "q(z|x", "(" * 500, "minimize " + "-" * 500 + "1", "q(z|x))", "\x00", "I_q(X;Z) with", "💥"]
)
def test_what_does_not_parse_is_refused(start: str, text: str) -> None:
    with pytest.raises(SpecError, match=r"\S"):
        parse(text, start)


def test_names_of_sources_join_their_mentions() -> None:
    spec = ibsym.Spec(
        name="two", objective="minimize I_q(X;Z)", variables={"x": "real[D]", "c": "categorical[K]", "z": "real[L]"},
        joints={"q": "data(x,c) q(z|x)", "m": "data(x) m(z|x)", "p": "p(z)"},
        families={"q(z|x)": "diagonal-normal", "m(z|x)": "diagonal-normal", "p(z)": "standard-normal"},
    )  # fmt: skip
    assert [str(f) for f in spec.joints["m"].factors] == ["data(x,c)", "m(z|x)"]


def test_every_spec_of_the_tests_is_read() -> None:
    paths = sorted((Path(__file__).parents[1] / "specs").glob("*.toml"))
    assert len(paths) >= 8
    assert [ibsym.load(p).name for p in paths] == [p.stem for p in paths]


def test_d_separation() -> None:
    joint = ibsym.load("vib").joints["q"]
    assert joint.independent(("c",), ("z",), ("x",))
    assert not joint.independent(("c",), ("z",))
    assert not joint.independent(("c",), ("x",))
    assert {str(f) for f in joint.requisite_factors(("z",), ("x", "c"))} == {"q(z|x)"}


def test_a_spec_is_a_value() -> None:
    """Nothing changes a spec, deriving neither; it pickles with the place that it was read from."""
    import pickle

    spec = ibsym.load("vib")
    for name in ("variables", "joints", "origin", "new"):
        with pytest.raises(AttributeError, match="a spec is a value"):
            setattr(spec, name, {})
    with pytest.raises(AttributeError, match="a spec is a value"):
        del spec.name
    for table in (spec.variables, spec.joints, spec.sources, spec.parameters, spec.factors, spec.intervals, spec.keys):
        with pytest.raises(TypeError):
            table["x"] = None  # type: ignore[index]
    other = pickle.loads(pickle.dumps(spec))
    assert (other.keys, other.origin, other.variables) == (spec.keys, spec.origin, spec.variables)
    discrete = spec.all_discrete()
    assert all(map(discrete.discrete, discrete.variables))
    assert not all(map(spec.discrete, spec.variables))
    assert discrete.joints is spec.joints


def test_advice_leaves_the_spec_as_it_was() -> None:
    keys = {**ibsym.load("vib").keys, "objective": "minimize -H_q(Z|X)"}
    keys["families"] = {**keys["families"], "q(z|x)": "implicit"}
    spec = ibsym.Spec(**keys)
    before = dict(spec.variables)
    with pytest.raises(ibsym.IbsymError):
        ibsym.derive(spec)
    assert dict(spec.variables) == before


def test_factors_by_what_they_give() -> None:
    joint = ibsym.load("vib").joints["q"]
    assert str(joint.factor_of(("z",), ("x",))) == "q(z|x)"
    assert joint.factor_of(("z",)) == joint.factor_of(("z",), ("x",))
    assert joint.factor_of(("z",), ()) is None
    assert str(joint.factor_of(("c", "x"))) == "data(x,c)"
    assert joint.factor_of(("x",)) is None


@pytest.mark.parametrize("name", ["hfvae", "semi-supervised-ib", "dvsib"])
def test_what_a_marginal_is_made_of_is_in_the_order_of_the_joint(name) -> None:
    """The same in every process: no set of texts, whose order is its seed's."""
    for joint in ibsym.load(name).joints.values():
        for k in range(len(joint.variables)):
            above = joint.ancestral_factors(joint.variables[k:])
            assert list(above) == [f for f in joint.factors if f in above]
            assert set(joint.variables[k:]) <= {v for f in above for v in (*f.of, *joint.external)}
