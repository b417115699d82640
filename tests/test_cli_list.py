"""What exists, listed; the schema of a spec; the zoo on a terminal and in a pipe; lines as wide as COLUMNS says."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import ibsym
from ibsym.cli import main
from ibsym.estimators import ESTIMATORS
from ibsym.rendering.plain import plain
from ibsym.rules.catalogue import RULES
from ibsym.spec.families import FAMILIES
from ibsym.spec.schema import json_schema
from ibsym.spec.spaces import KINDS
from ibsym.terms.reading import GENERATORS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def ibsym_(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as leave:
            main(list(arguments))
        return leave.value.code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("families", list(FAMILIES)),
        ("estimators", list(ESTIMATORS)),
        ("rules", list(RULES)),
        ("spaces", [f"{kind}[" for kind in KINDS]),
        ("divergences", ["KL(", "CE(", "JS(", *(f"F[{name}]" for name in GENERATORS)]),
    ],
)
def test_everything_that_exists_is_listed(ibsym_, what, names):
    status, out, err = ibsym_("list", what)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(names)
    for line, name in zip(sorted(lines), sorted(names), strict=True):
        assert line.startswith(name)
        assert len(line.split("  ")[-1]) >= 3, f"{name} has no line of mathematics"
    assert "\\" not in out
    status, told, err = ibsym_("list", what, "--json")
    assert (status, err) == (0, "")
    assert ["".join(entry.values()).replace(" ", "") for entry in json.loads(told)] == [line.replace(" ", "") for line in lines]


def test_an_unknown_list_is_refused(ibsym_):
    status, _, err = ibsym_("list", "zebras")
    assert status == 2
    assert "families" in err


@pytest.mark.parametrize("rule", [*RULES.values(), *ESTIMATORS.values()], ids=lambda r: r.name)
def test_a_statement_is_one_line_of_text(rule):
    text = plain(rule.statement)
    assert not re.search(r"[\\{}\n]|  ", text)
    assert text.count("(") == text.count(")")
    assert text.count("[") == text.count("]")


def accepts(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """Whether a value obeys a JSON Schema, of the keywords that ours uses; another keyword is an error."""
    known = {
        "$ref",
        "allOf",
        "anyOf",
        "enum",
        "const",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "pattern",
    }
    known |= {"maxLength", "maxItems", "minItems", "maxProperties", "minProperties", "minimum", "maximum", "exclusiveMinimum"}
    known |= {"title", "description", "examples", "default", "$schema", "$defs"}
    assert set(schema) <= known, set(schema) - known
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if not all(accepts(one, value, root) for one in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(accepts(one, value, root) for one in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {"string": str, "object": dict, "array": list, "number": (int, float), "integer": int, "null": type(None)}
    if "type" in schema and (not isinstance(value, kinds[schema["type"]]) or isinstance(value, bool)):
        return False
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return False
    if isinstance(value, dict):
        inside, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        if not set(schema.get("required", ())) <= set(value) or len(value) > schema.get("maxProperties", 10**9):
            return False
        for key, one in value.items():
            found = inside.get(key, rest)
            if found is False or (isinstance(found, dict) and not accepts(found, one, root)):
                return False
    if isinstance(value, list):
        return all(accepts(schema.get("items", {}), one, root) for one in value)
    if isinstance(value, int | float):
        return value > schema.get("exclusiveMinimum", -float("inf"))
    return True


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "ibsym/zoo").glob("*.toml")), *sorted((ROOT / "tests/specs").glob("*.toml"))], ids=lambda p: p.stem
)
def test_every_spec_obeys_the_schema(path):
    schema = json_schema()
    assert accepts(schema, tomllib.loads(path.read_text()), schema)


@pytest.mark.parametrize(
    "changes",
    [
        {"titel": "x"},
        {"objective": "minimise I_q(X;Z)"},
        {"variables": {"x": "bits[D]"}},
        {"families": {"p(z)": "gaussian"}},
        {"families": {"p(z)": {"relax": "mean"}}},
        {"parameters": {"beta": 1.0}},
        {"parameters": {"beta": {"min": 1.0}}},
        {"estimators": {"I_q(X;Z)": "info-nce"}},
        {"estimators": {"I_q(X;Z)": {"estimator": "mmd", "bandwith": 1}}},
        {"cite": "Author"},
    ],
)
def test_what_is_no_spec_does_not_obey_it(changes):
    schema, keys = json_schema(), tomllib.loads((ROOT / "ibsym/zoo/vib.toml").read_text())
    assert accepts(schema, keys, schema)
    assert not accepts(schema, keys | changes, schema)


def test_the_schema_is_printed(ibsym_):
    status, out, err = ibsym_("schema")
    assert (status, err) == (0, "")
    assert json.loads(out) == json_schema()


def on_a_terminal(*arguments, columns):
    """What a terminal of so many columns is sent."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-m", "ibsym", *arguments]
    with subprocess.Popen(command, stdout=child, stderr=child, cwd=ROOT, env=environment) as process:
        os.close(child)
        found = b""
        try:
            while chunk := os.read(parent, 65536):
                found += chunk
        except OSError:  # the terminal is gone with the process
            pass
    os.close(parent)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", found.decode()).replace("\r\n", "\n")


def test_the_zoo_on_a_terminal_stands_in_classes():
    out = on_a_terminal("zoo", columns=70)
    headings = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert headings == [
        "Bounds by densities alone",
        "Bounds and estimates from the rows of a batch",
        "With a critic, which is trained beside the model",
    ]
    assert sorted(re.findall(r"^  (\S+)", out, flags=re.MULTILINE)) == ibsym.zoo()
    flat = " ".join(out.split())
    derivation = ibsym.derive("vae")
    assert f"vae {derivation.spec.title} {derivation.spec.objective_text} {derivation.relation} {derivation.final}" in flat
    assert max(map(len, out.splitlines())) <= 70


def test_the_zoo_in_a_pipe_is_a_line_an_entry(ibsym_, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = ibsym_("zoo")[1].splitlines()
    assert [line.split()[0] for line in lines] == ibsym.zoo()


def test_an_entry_of_the_zoo_as_json(ibsym_):
    status, out, _ = ibsym_("zoo", "vae", "--json")
    assert status == 0
    entry = json.loads(out)
    assert (entry["name"], entry["class"], entry["relation"]) == ("vae", "densities", "<=")
    assert entry["bound"].startswith("KL(")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("what", ["families", "rules", "divergences", "spaces"])
def test_every_list_is_as_wide_as_its_terminal(what, width):
    lines = on_a_terminal("list", what, columns=width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_list_on_a_terminal_is_folded():
    lines = on_a_terminal("list", "estimators", columns=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert sorted(line.split()[0] for line in lines if not line.startswith(" ")) == sorted(ESTIMATORS)


@pytest.mark.parametrize("width", [60, 78, 100, 140])
@pytest.mark.parametrize("name", ["vae", "bib-ae", "vdb"])
def test_columns_are_obeyed_in_a_pipe(ibsym_, monkeypatch, name, width):
    monkeypatch.setenv("COLUMNS", str(width))
    out = ibsym_("derive", name)[1]
    long = [line for line in out.splitlines() if len(line) > width]
    assert [line for line in long if len(line.split()) > 3 and max(map(len, line.split())) < width / 2] == []
    assert max(map(len, out.splitlines())) > width - 25
    monkeypatch.delenv("COLUMNS")
    default = ibsym_("derive", name)[1]
    assert (default == out) == (width == 100)
    assert re.sub(r"\s+", "", default) == re.sub(r"\s+", "", out)
