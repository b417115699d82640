"""compare and identify: by vectors and treatment, not by names."""

from __future__ import annotations

import json

import pytest

import ibsym
from ibsym.diagnosis.naming import Naming
from ibsym.errors import IbsymError

RENAMED = {
    "variables": {"y": "binary[D]", "w": "real[M]"},
    "joints": {"e": "data(y) e(w|y)", "g": "g(w) g(y|w)"},
    "families": {"e(w|y)": "diagonal-normal", "g(w)": "standard-normal", "g(y|w)": "bernoulli"},
}


def spec(objective, **keys):
    return ibsym.Spec(**{"name": "mine", **RENAMED, "objective": objective, **keys})


def parameters(**defaults):
    return {n: {"default": d, "min": 0} for n, d in defaults.items()}


@pytest.mark.parametrize("name", ["vae", "vib", "bib-ae", "gan", "bigan", "infogan", "semi-supervised-ib"])
def test_a_system_is_itself(name):
    found = ibsym.identify(name)
    assert found.known
    assert found.matches[0].name == name
    assert all(v.is_Symbol for v in found.matches[0].parameters.values())


@pytest.mark.parametrize(
    ("objective", "keys", "name", "values"),
    [
        ("minimize I_e(Y;W) - I_e(W;Y)", {}, "vae", {}),
        ("minimize 3*I_e(Y;W) - 3*I_e(W;Y)", {}, "vae", {}),
        ("minimize KL(data(y)||g(y))", {}, "vae", {}),
        ("minimize KL(e(w|y)||g(w)) - E_e[log g(y|w)]", {}, "vae", {}),
        ("minimize gamma*I_e(Y;W) - I_e(W;Y)", {"parameters": parameters(gamma=2.0)}, "beta-vae", {"beta": "gamma"}),
        ("minimize I_e(Y;W) - gamma*I_e(W;Y)", {"parameters": parameters(gamma=2.0)}, "beta-vae", {"beta": "1/gamma"}),
        ("minimize 0.5*I_e(Y;W) - I_e(W;Y)", {}, "beta-vae", {"beta": "1/2"}),
    ],
)
def test_a_spec_is_a_known_system_whatever_it_is_called(objective, keys, name, values):
    found = ibsym.identify(spec(objective, **keys))
    by_name = {m.name: m for m in found.matches}
    assert name in by_name, str(found)
    assert found.matches[0].name == name
    assert {n: str(v) for n, v in by_name[name].parameters.items()} == values
    assert by_name[name].naming.variables == {"x": "y", "z": "w"}
    assert json.loads(found.to_json())["known"]


def test_another_family_of_the_decoder_is_said():
    keys = {"variables": {"y": "real[D]", "w": "real[M]"}, "families": {**RENAMED["families"], "g(y|w)": "isotropic-normal"}}
    found = ibsym.identify(spec("minimize I_e(Y;W) - I_e(W;Y)", **keys))
    assert found.known
    assert "g(y|w) is isotropic-normal in place of bernoulli" in str(found)


def test_a_name_decides_nothing():
    found = ibsym.identify(spec("minimize I_e(Y;W) - 2*I_e(W;Y)", name="vae"))
    assert "vae" not in {m.name for m in found.matches if not m.parameters}


def test_what_is_unknown_has_neighbours_and_the_difference():
    keys = {"estimators": {"KL(e(w)||g(w))": "nwj"}, "parameters": parameters(gamma=1.0, delta=2.0)}
    found = ibsym.identify(spec("minimize gamma*KL(e(w|y)||g(w)) + delta*KL(e(w)||g(w)) - I_e(W;Y)", **keys))
    assert not found.known
    assert found.nearest
    assert "KL(e(w)||g(w))" in str(found)


def test_what_systems_share_and_where_they_differ():
    found = ibsym.compare(["vae", spec("minimize gamma*I_e(Y;W) - I_e(W;Y)", parameters=parameters(gamma=2.0)), "bib-ae"])
    assert found.shared == ["KL(q(z|x)||p(z))", "E_q[log p(x|z)]"]
    text = str(found)
    assert "mine keeps it, closed-form, weight gamma" in text
    assert "bib-ae estimates it by density-ratio, weight -1" in text
    assert "bib-ae needs x discrete." in text
    record = json.loads(found.to_json())
    assert [s["name"] for s in record["systems"]] == ["vae", "mine", "bib-ae"]
    assert record["systems"][1]["names"]["variables"] == {"y": "x", "w": "z"}
    first = record["terms"][0]
    assert first["cells"][1] == [{"coefficient": "gamma", "treatment": "closed-form"}]
    assert r"\begin{tabular}" in found.to_latex()


def test_a_system_against_itself_differs_in_nothing():
    found = ibsym.compare(["bib-ae", "bib-ae"])
    assert [s.label for s in found.systems] == ["bib-ae", "bib-ae (2)"]
    assert list(found.sentences())[1:] == ["bib-ae needs x discrete.", "bib-ae (2) needs x discrete."]


def test_one_spec_is_no_comparison():
    with pytest.raises(IbsymError, match="two specs"):
        ibsym.compare(["vae"])


def test_names_are_replaced_as_what_they_are():
    naming = Naming({"x": "y", "z": "w"}, {"q": "e", "p": "g"})
    assert naming.text("KL(q(z|x)||p(z))") == "KL(e(w|y)||g(w))"
    assert naming.text("I_q(X;Z)") == "I_e(Y;W)"
    assert naming.text("E_q[log p(x|z)]") == "E_e[log g(y|w)]"
    assert naming.factor("q(z|x,c)") == "e(w|c,y)"
