"""The functions a user calls: what each takes, and what is said of what it does not."""

from __future__ import annotations

import importlib.resources
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ibsym
from ibsym import api
from ibsym.checking.certificate import Certificate

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = {name: getattr(ibsym, name) for name in api.__all__}
WRONG: tuple[Any, ...] = (5, 2.5, True, None, b"vib", object(), [1], {1: 2}, float("nan"), -1, int, print)


def test_all_functions_are_public() -> None:
    assert set(FUNCTIONS) == {n for n in ibsym.__all__ if inspect.isfunction(getattr(ibsym, n))}
    assert {"audit", "compile", "derive", "generate", "load", "loads", "prove", "train", "zoo"} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_wrong_arguments_are_an_error_of_ours(name: str) -> None:
    function = FUNCTIONS[name]
    parameters = list(inspect.signature(function).parameters.values())
    fitting: dict[str, Any] = {"claim": "I(X;Y) >= 0", "function": len, "specs": ["vae", "vib"]}
    needed = {p.name: fitting.get(p.name, "vae") for p in parameters if p.default is p.empty}
    for parameter in parameters:
        refused = 0
        for value in WRONG:
            try:
                kind_of_call(function, **needed | {parameter.name: value})
            except ibsym.IbsymError as error:
                refused += 1
                assert f"{name}: {parameter.name} = " in str(error)
                assert f"write: ibsym.{name}(" in str(error)
        assert refused >= (2 if parameter.name != "report" else 0), parameter.name
    for call in (lambda: function(*["vae"] * 20), lambda: function(**needed, no_such=1)):
        with pytest.raises(ibsym.ArgumentError, match=rf"^{name}: .*\n  write: ibsym\.{name}\("):
            call()
    if needed:
        with pytest.raises(ibsym.ArgumentError, match=f"^{name}: the argument '{next(iter(needed))}' is missing"):
            function()


def kind_of_call(function: Any, /, **arguments: Any) -> None:
    """The call up to where the function itself would begin."""
    guard = inspect.unwrap(function)
    cell = next(c for c in function.__closure__ if c.cell_contents is guard)
    cell.cell_contents = lambda *a, **k: None
    try:
        function(**arguments)
    finally:
        cell.cell_contents = guard


def test_an_argument_error_is_a_type_error_as_well() -> None:
    with pytest.raises(TypeError):
        ibsym.derive(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ibsym.train(data="digits"),  # type: ignore[call-arg]
            "train: the argument 'spec' is missing",
        ),
        (
            lambda: ibsym.train("vib", epoch=3),  # type: ignore[call-arg]
            "train: unknown argument 'epoch', did you mean 'epochs'?",
        ),
        (lambda: ibsym.train("vib", data=5), "train: data = 5 is not a file's name"),
        (lambda: ibsym.prove("H(X) >= 0", [5]), "prove: given = \\[5\\] is not a list of texts"),
        (lambda: ibsym.derive("vib", spec="vae"), "derive: the argument 'spec' is given twice"),
        (lambda: ibsym.audit("vib", worlds=0), "audit: worlds = 0 is not a whole number from 1 on"),
    ],
)
def test_messages(call: Any, message: str) -> None:
    with pytest.raises(ibsym.IbsymError, match=message):
        call()


@pytest.mark.parametrize("wrong", ["vib.toml", {"name": "x"}, 5, None])
def test_a_spec_is_made_of_its_keys(wrong: Any) -> None:
    with pytest.raises(ibsym.ArgumentError, match=r"a spec is made of its keys\n  write: ibsym\.load\("):
        ibsym.Spec(wrong)


def test_a_system_by_whatever_stands_for_it() -> None:
    path = ROOT / "ibsym/zoo/vae.toml"
    derivation = ibsym.derive("vae")
    certificate = ibsym.audit(derivation, worlds=1)
    assert isinstance(certificate, Certificate)
    sources = ("vae", str(path), path, ibsym.load("vae"), derivation, certificate)
    assert {ibsym.load(s).name for s in sources} == {"vae"}
    assert {str(ibsym.derive(s)) for s in sources} == {str(derivation)}
    assert ibsym.derive(derivation) is derivation
    assert {ibsym.audit(s, worlds=1).worlds for s in sources} == {certificate.worlds}
    assert len({ibsym.generate(s) for s in sources}) == 1
    assert len({ibsym.compile(s) for s in sources}) == 1


def test_a_run_takes_them_too() -> None:
    small = {"hidden": 8, "batch": 400}
    runs = [ibsym.train(s, epochs=1, settings=small) for s in ("vae", ibsym.load("vae"), ibsym.derive("vae"))]
    assert len({repr(run.history) for run in runs}) == 1


def test_the_folder_of_the_zoo_hides_nothing() -> None:
    code = "import ibsym, importlib; importlib.import_module('ibsym.zoo'); import ibsym.zoo; print(ibsym.zoo() == ibsym.zoo())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("True\n", "")
    importlib.resources.files("ibsym.zoo")
    assert ibsym.zoo() == sorted(p.stem for p in (ROOT / "ibsym/zoo").glob("*.toml"))


@pytest.mark.parametrize(("name", "close"), [("vea", "vae"), ("VAE", "vae"), ("beta-vea", "beta-vae")])
def test_a_misspelt_name_of_the_zoo(name: str, close: str) -> None:
    with pytest.raises(ibsym.SpecError, match=f"did you mean '{close}'"):
        ibsym.load(name)


def test_a_derivation_shows_itself() -> None:
    derivation = ibsym.derive("bib-ae")
    assert str(derivation) + "\n" == derivation.to_text()
    assert "Gap" in str(derivation)
    assert repr(derivation).startswith("<Derivation of bib-ae: I_q(X;Z) - beta*I_q(Z;X) ~ ")
    assert max(map(len, derivation.to_text(width=60).splitlines())) <= 60 < max(map(len, str(derivation).splitlines()))
    wide, narrow = derivation.to_latex(), derivation.to_latex(columns=2)
    assert wide != narrow
    assert r"\begin{align}" in narrow
    assert r"\documentclass" not in narrow
    assert derivation.to_html().lstrip().lower().startswith("<!doctype html>")
    assert json.loads(derivation.to_json())["name"] == "bib-ae"
    assert r"\begin{aligned}" in derivation._repr_latex_()
    with pytest.raises(ValueError, match="columns is 1 or 2, not 3"):
        derivation.to_latex(columns=3)
    for item in (*derivation.bound, *derivation.gap, *ibsym.derive("vae").constants):
        assert (item.coefficient.is_commutative and item.text == str(item.term)) or item in derivation.bound


def test_what_a_derivation_is_made_of_says_itself_in_a_line() -> None:
    derivation = ibsym.derive("vib")
    spec = derivation.spec
    assert repr(derivation.objective) == "<Expression: I_q(X;Z) - beta*I_q(Z;C)>"
    assert [*map(repr, derivation.bound)] == [
        "<BoundTerm: KL(q(z|x)||p(z)) (closed-form)>",
        "<BoundTerm: -beta*E_q[log p(c|z)] (sampled)>",
    ]
    assert repr(derivation.gap[0]) == "<GapTerm: KL(q(z)||p(z)) (closable)>"
    assert repr(derivation.plans[1]) == "<Plan: lower bound of I_q(Z;C), times -beta>"
    assert repr(spec.joints["q"]) == "<Joint q: data(x,c) q(z|x)>"
    assert repr(spec.factors["p(z)"]) == "<Factor p(z): standard-normal>"
