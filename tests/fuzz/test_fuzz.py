"""A thousand hostile inputs, the guard they run under, and what the fuzzer has found so far."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ibsym
from ibsym.checking.answers import answer
from ibsym.errors import SpecError
from tests.fuzz import targets
from tests.fuzz.inputs import Input, generate
from tests.fuzz.run import main
from tests.fuzz.targets import Outcome, run

PARTS, SIZE = 5, 200
SPEC: dict[str, object] = {
    "name": "small",
    "objective": "minimize I_q(X;Z)",
    "variables": {"x": "real[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal"},
    "parameters": {"beta": {"default": 1.0, "min": 0}},
}


@pytest.mark.parametrize("part", range(PARTS))
def test_every_input_is_accepted_or_refused(part: int) -> None:
    found = {seed: run(generate(seed)) for seed in range(part * SIZE, (part + 1) * SIZE)}
    assert {seed: outcome for seed, outcome in found.items() if outcome.bad} == {}
    assert {"accepted", "refused"} == {outcome.kind for outcome in found.values()}


def test_inputs_are_those_of_their_seeds() -> None:
    code = "from tests.fuzz.inputs import generate\nfor seed in range(40): print(ascii(generate(seed).parts))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]


def test_the_last_line_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "20"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("fuzz: 20 inputs, ")
    assert ", 0 other exceptions, 0 hangs, 0 bad messages, 0 forbidden events, slowest " in last


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda folder: None, "accepted"),
        (lambda folder: [][0], "exception"),
        (lambda folder: exec("x = 1"), "event"),  # noqa: S102  to see that it is seen
        (lambda folder: eval("1 + 1"), "event"),  # noqa: S307
        (lambda folder: os.system("true"), "event"),
        (lambda folder: subprocess.run(["true"], check=True), "event"),
        (lambda folder: (folder / "new").write_text("x"), "event"),
        (lambda folder: (folder / "new").mkdir(), "event"),
        (lambda folder: all(iter(lambda: 1, 0)), "hang"),
        (lambda folder: refuse("no place"), "message"),
        (lambda folder: refuse("a\nTraceback", "key"), "message"),
        (lambda folder: refuse("wrong", "key"), "refused"),
    ],
)
def test_the_guard_sees(monkeypatch: pytest.MonkeyPatch, act: object, kind: str) -> None:
    monkeypatch.setattr(targets, "call", lambda item, folder: act(folder))  # type: ignore[operator]
    outcome: Outcome = run(Input("parse", ("claim", "")), seconds=0.2)
    assert outcome.kind == kind, outcome


def refuse(message: str, key: str = "") -> None:
    error = SpecError("wrong", key=key)
    error.message = message
    raise error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "minimize 9**9**9*I_q(X;Z)"}, "exponent 387420489"),
        ({"objective": "minimize 1e999*I_q(X;Z)"}, "range of floating point"),
        ({"objective": "minimize (((9^16)^16)^16)^16*I_q(X;Z)"}, "range of floating point"),
        ({"objective": "minimize (((beta+1)^16*(beta+2)^16)^16)^16*I_q(X;Z)"}, "more than 64 summands"),
        ({"objective": "minimize 1/((beta+1)^2-beta^2-2*beta-1)*I_q(X;Z)"}, "division by zero"),
        ({"objective": "minimize " + "I_q(X;Z) + " * 300 + "I_q(X;Z)"}, "summands"),
        ({"objective": "minimize " + "+1" * 1900}, "operators"),
        ({"objective": "minimize I_q(X;Z)\x1b[31m"}, r"\\x1b"),
        ({"joints": {"q": "data(x) __import__(z|x)"}}, "'__import__' cannot be the name of a joint"),
        ({"joints": {"q": "data(x) q(z|x)", "p": "(1e-9*q(z) + 0.99999999*q(z))"}}, "weights"),
        ({"families": {"q(z|x)": "implicit", "q(z | x)": "implicit", "p(z)": "implicit"}}, "two families"),
        ({"families": {"q(z|x)": {"family": ["implicit"]}, "p(z)": "implicit"}}, "unknown family"),
        ({"families": {"q(z|x)": {"family": "normal-mixture", "components": 10**9}, "p(z)": "implicit"}}, "components"),
        ({"variables": {f"v{i}": "real[D]" for i in range(65)}}, "variables: 65 entries, more than 64"),
        ({"parameters": {"beta": {"default": 10**400}}}, "parameters.beta.default"),
    ],
)
def test_refused_early(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ibsym.derive(ibsym.Spec(**SPEC | changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 0x" + "f" * 9000, "unknown key 'a'"),
        ("name = 0x" + "f" * 9000, "a long int is not a text"),
        ("a = " + "1" * 9000, "not TOML"),
        ("[" * 5000, "not TOML"),
        (".".join("a" * 99_000) + " = 1", "nested too deeply"),
        ("[" + ".".join(['"a"'] * 40_000) + "]", "nested too deeply"),
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("# " * 200_000, "more than 200000 characters"),
        ('"a\\u001b[31m\\nb" = 1', r"<text>: \"a\\x1b\[31m\\nb\": unknown key"),
    ],
)
def test_texts_that_are_no_spec(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ibsym.loads(text)


@pytest.mark.parametrize(("variables", "joints"), [(14, 1), (13, 2), (11, 9), (2, 17)])
def test_a_derivation_that_is_too_large_is_refused_early(variables: int, joints: int) -> None:
    names = [f"v{i}" for i in range(variables)]
    factors = {f"j{k}": [f"j{k}({v})" for v in names] for k in range(joints)}
    spec = ibsym.Spec(
        name="large",
        objective="minimize I_j0(V0;V1)",
        variables=dict.fromkeys(names, "real[D]"),
        joints={k: " ".join(parts) for k, parts in factors.items()},
        families={text: "standard-normal" for parts in factors.values() for text in parts},
    )
    with pytest.raises(SpecError, match="too much for a derivation"):
        ibsym.derive(spec)


def test_a_mixture_of_mixtures_is_refused_early() -> None:
    joints = {f"m{i}": f"(0.5*m{i + 1}(x) + 0.5*m{i + 1}(x))" for i in range(6)} | {"m6": "(0.5*data(x) + 0.5*p(x))"}
    keys = SPEC | {"joints": joints | {"p": "p(x)"}, "families": {"p(x)": "standard-normal"}}
    with pytest.raises(SpecError, match="mixture of 32 products"):
        ibsym.derive(ibsym.Spec(**keys | {"objective": "minimize KL(m0(x)||p(x))"}))


@pytest.mark.parametrize("premise", ["I(X;X|Y) = 0", "I(X;Y|X) = 0", "I(X,Y;Y,Z|X) = 0"])
def test_a_premise_whose_sets_overlap(premise: str) -> None:
    """Such a premise once sent the rewriting into a circle; it is a relation like any other."""
    assert answer("H(X|Y) >= 0", [premise], seconds=0.05).proved
    assert answer("H(Y|X) = 0", ["I(X,Y;Y,Z|X) = 0"], seconds=0.05).proved


@pytest.mark.parametrize(
    ("claim", "given", "message"),
    [
        ("1e-9*H(X) <= H(X)", [], "claim: the number 1e-9 is not between"),
        ("1e999*H(X) <= H(X)", [], "between 1e-6 and 1e6"),
        ("1000*1000*1000*H(X) >= 0", [], "a coefficient is not between"),
        (f"I({';'.join('X' * 40)}) >= 0", [], "interaction of 40 arguments"),
        ("H(X) >= 0", ["H(X) >= 0"] * 101, "given: 101 premises"),
        ("KL(q(a,b,c,d,e,f,g,h,i)||p(a,b,c,d,e,f,g,h,i)) >= 0", [], "2 joints of 9 variables"),
    ],
)
def test_claims_that_are_refused_early(claim: str, given: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ibsym.prove(claim, given)


def test_an_unknown_axiom_is_refused() -> None:
    with pytest.raises(SpecError, match="unknown axiom 'ingleton'"):
        ibsym.prove("H(X) >= 0", axioms=["ingleton"])


def test_what_has_no_size_is_not_read_for_ever(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="/dev/zero: more than 200000 bytes"):
        ibsym.load("/dev/zero")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b'name = "\xff"')
    with pytest.raises(SpecError, match="not UTF-8 at byte 8"):
        ibsym.load(bad)


def test_columns_are_offsets_on_several_lines() -> None:
    with pytest.raises(SpecError, match="objective") as info:
        ibsym.Spec(**SPEC | {"objective": "minimize\n  I_q(X;Z) -\n  beta I_q(X;Z)"})
    assert info.value.column == len("minimize\n  I_q(X;Z) -\n  beta ") + 1
