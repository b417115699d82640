"""The metadata claims no more than is run, and linters are the same wherever they run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from ibsym.runtime import VERSION
from tests.matrix import LOWEST, VERSIONS, interpreter, lowest, main

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line and line[0] != "#")


def test_the_interpreters_are_those_of_the_matrix() -> None:
    prefix = "Programming Language :: Python :: "
    claimed = [c.removeprefix(prefix) for c in PROJECT["classifiers"] if re.fullmatch(re.escape(prefix) + r"\d\.\d+", c)]
    assert claimed == list(VERSIONS)
    assert PROJECT["requires-python"] == f">={VERSIONS[0]}"
    assert any(interpreter(version) for version in VERSIONS)


def test_what_is_required_is_pinned() -> None:
    """Every requirement is a lower bound, and the version that the tests run with obeys it."""
    extras = PROJECT["optional-dependencies"]
    everything = [
        *PROJECT["dependencies"],
        *(one for name, group in extras.items() if name != "second-opinion" for one in group),
    ]
    for requirement in (r for r in everything if not r.startswith("ibsym")):
        name, least = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()  # type: ignore[union-attr]
        assert [int(p) for p in PINS[name].split(".")[:3]] >= [int(p) for p in least.split(".")], requirement


def test_pytorch_is_claimed_from_the_version_that_is_run() -> None:
    """There is no small build of an older one to run the tests with, so none is claimed."""
    claimed = {r for group in PROJECT["optional-dependencies"].values() for r in group if r.startswith("torch>")}
    assert claimed == {"torch>=" + ".".join(PINS["torch"].split(".")[:2])}


def test_the_lowest_versions_are_those_of_the_metadata() -> None:
    assert [one.replace("==", ">=") for one in lowest()] == PROJECT["dependencies"]


def test_the_version_has_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", VERSION)
    places = [path for path in ROOT.glob("ibsym/**/*.py") if re.search(rf'"{re.escape(VERSION)}"', path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in places] == ["ibsym/runtime/__init__.py"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.*?)\](?: - (\d{4}-\d\d-\d\d))?$", changes, flags=re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert all(date for _, date in headings[1:])
    assert VERSION.partition(".dev")[0] not in [name for name, _ in headings] or ".dev" not in VERSION


def test_hooks_are_the_linters_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.findall(
        r"\$\(BIN\)/(.*)", makefile[makefile.index("\nlint:") : makefile.index("\n\n", makefile.index("\nlint:"))]
    )
    hooks = re.findall(r"entry: \.venv/bin/(.*)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert hooks == lint
    assert len(lint) == 4


def test_a_matrix_without_an_interpreter_says_so(capsys, monkeypatch) -> None:
    monkeypatch.setattr("tests.matrix.interpreter", lambda version: None)
    assert main(["--only", "3.12", "--only", LOWEST]) == 0
    assert capsys.readouterr().out.count("no interpreter here, nothing run") == 2
