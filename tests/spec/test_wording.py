"""Every key of a spec with every wrong kind of value: a place, our words, a remedy, and never a word of the library."""

from __future__ import annotations

import copy
import datetime
import json
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from pydantic_core._pydantic_core import list_all_errors

import ibsym
from ibsym.estimators import ESTIMATORS
from ibsym.spec.schema import SpecFile
from ibsym.spec.toml import read
from ibsym.spec.wording import alternatives, bare, declared, is_table

SPEC: dict[str, Any] = {
    "name": "case",
    "title": "t",
    "cite": ["c"],
    "notes": "n",
    "objective": "minimize I_q(X;Z) - beta*I_q(Z;X)",
    "variables": {"x": "binary[D]", "z": "real[L]"},
    "joints": {"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"},
    "families": {"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": {"family": "bernoulli"}},
    "parameters": {"beta": {"default": 1.0, "min": 0, "max": 2}},
    "estimators": {"KL(q(z)||p(z))": {"estimator": "density-ratio"}},
    "derivation": {"expand": ["H_q(X) with p(x)"]},
    "critics": {"JS(data(x)||p(x))": {"through": "q(z|x)", "subject_to": "I_q(X;Z) <= beta", "multiplier": "mu"}},
}
WRONG: tuple[Any, ...] = (
    *(True, 5, -5, 2.5, 10**400, float("nan"), float("inf"), "", "no such thing", "5", b"x", None, datetime.date(2026, 1, 1)),
    *([], [1], ["a"], [["a"]], {}, {"a": 1}, {"default": "x"}, {1: 2}, object()),
)
SAMPLES = {"*name": "x", "*text": "KL(q(z)||p(z))", "*factor": "q(z|x)"}


def places(hint: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the schema; ``*`` for a name of the user's."""
    if path and hint is not Any:
        yield path
    for one in map(bare, alternatives(hint)):
        if is_table(one):
            for name, field in one.model_fields.items():
                yield from places(declared(field), (*path, name))
        elif get_origin(one) is dict:
            yield from places(get_args(one)[1], (*path, "*"))


PLACES = list(dict.fromkeys(places(SpecFile)))


def put(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The spec with another value there."""
    keys = copy.deepcopy(SPEC)
    inside: Any = keys
    for step in path[:-1]:
        name = next(iter(inside)) if step == "*" else step
        if not isinstance(inside.get(name), dict):
            inside[name] = {}
        inside = inside[name]
    last = path[-1] if path[-1] != "*" else next(iter(inside))
    if value is MISSING:
        inside.pop(last, None)
    else:
        inside[last] = value
    return keys


MISSING = object()
PHRASES = [
    re.compile(re.sub(r"\\\{.*?\\\}", ".*", re.escape(error["message_template_python"])))
    for error in list_all_errors()
    if len(re.sub(r"\{.*?\}", "", error["message_template_python"])) > 12
]


def complaint(keys: dict[str, Any]) -> str | None:
    """What is said of the keys, held to what every message must be; None where they are accepted."""
    try:
        ibsym.Spec(**keys)
    except ibsym.SpecError as error:
        text = str(error)
        assert not any(phrase.search(text) for phrase in PHRASES), text
        assert not re.search(r"pydantic|\b(Input|input|Value error|dictionary|valid \w+|tuple|str)\b", error.message), text
        assert error.key, text
        assert error.remedy, text
        return text
    return None


def test_the_schema_has_keys_to_walk() -> None:
    assert {("parameters", "*", "default"), ("estimators", "*", "estimator"), ("critics", "*", "through")} <= set(PLACES)
    assert len(PLACES) > 25
    assert len(PHRASES) > 50
    assert any(p.search("Input should be a valid dictionary or instance of ParameterEntry") for p in PHRASES)


@pytest.mark.parametrize("path", PLACES, ids=".".join)
def test_a_wrong_value_is_told_in_our_words(path: tuple[str, ...]) -> None:
    refused = 0
    for value in (*WRONG, MISSING):
        text = complaint(put(path, value))
        refused += text is not None
        if isinstance(value, (datetime.date, bytes)):
            assert text is not None, value
    assert refused > 4


@pytest.mark.parametrize("path", [p for p in PLACES if p[-1] != "*"], ids=".".join)
def test_a_misspelt_key_is_told_what_it_should_be(path: tuple[str, ...]) -> None:
    keys = put((*path[:-1], path[-1] + "s"), 1)
    owner = next(
        (e.name for e in ESTIMATORS.values() if path[0] == "estimators" and path[-1] in {o.name for o in e.options}), None
    )
    if owner is not None:  # a table's keys are those of its estimator
        keys["estimators"]["KL(q(z)||p(z))"]["estimator"] = owner
    text = complaint(keys)
    assert text is not None
    assert f"unknown key '{path[-1]}s', did you mean '{path[-1]}'?" in text


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_unknown_option_is_answered_by_those_of_its_estimator(name: str) -> None:
    keys = put(("estimators", "*", "xyzzy"), 1)
    keys["estimators"]["KL(q(z)||p(z))"]["estimator"] = name
    text = complaint(keys)
    assert text is not None
    listed = text.partition("write: one of ")[2].splitlines()[0].split(", ")
    assert listed == ["estimator", "model", *(o.name for o in ESTIMATORS[name].options)]


@pytest.mark.parametrize("path", PLACES, ids=".".join)
def test_the_remedy_is_toml(path: tuple[str, ...]) -> None:
    """What a message says to write can be written, and is then of the right kind."""
    for value in (datetime.date(2026, 1, 1), [[1]]):
        keys = put(path, value)
        with pytest.raises(ibsym.SpecError) as info:
            ibsym.Spec(**keys)
        remedy = info.value.remedy.removeprefix("for example ")
        if " = " not in remedy:
            continue
        (written,) = read(remedy, "remedy").values()
        again = complaint(put(path, written))
        assert again is None or "is not a" not in again.split("\n")[0], (remedy, again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parameters": {"beta": 1.0}},
            "parameters.beta: 1.0 is not a table of default, min, max\n  write: beta = { default = 1.0 }",
        ),
        ({"parameters": {"beta": 7}}, "write: beta = { default = 7 }"),
        ({"parameters": {"beta": {"default": "1"}}}, "parameters.beta.default: '1' is not a finite number"),
        ({"cite": "x"}, "cite: 'x' is not a list of texts\n  write: cite = [\"Author et al. 2017\"]"),
        ({"cite": ["a", 5]}, "cite: entry 2, 5, is not a text"),
        ({"families": {"q(z|x)": 5}}, 'families."q(z|x)": 5 is not a text or a table\n  write: "q(z|x)" = "diagonal-normal"'),
        ({"variables": {"x": 5}}, 'write: x = "real[D]"'),
    ],
)
def test_messages(changes: dict[str, Any], message: str) -> None:
    text = complaint(SPEC | changes)
    assert text is not None
    assert message in text


def test_a_key_named_as_the_library_names_its_branches() -> None:
    for name in ("str", "ParameterEntry", "dict[str,any]", "int", "tuple"):
        text = complaint(SPEC | {"parameters": {name: {"default": "x"}}})
        assert text is not None
        assert text.startswith(
            f"parameters.{name}.default: " if name.isidentifier() else f"parameters.{json.dumps(name)}.default: "
        )
