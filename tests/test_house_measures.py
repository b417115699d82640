"""The measures of the house find what they are for, and find nothing here."""

from __future__ import annotations

import pytest

from tests.house import (
    EXAMPLES,
    dispatches_by_name,
    emitted,
    in_common,
    modules,
    open_dispatches,
    places,
    premises_as_text,
    without_docstring,
)

OPEN = """
def a(x):
    match x:
        case 1:
            return 2
    raise AssertionError(x)

def b(x):
    match x:
        case 1:
            return 2
        case _:
            raise AssertionError(x)

def closed(x):
    match x:
        case 1:
            return 2
        case _:
            assert_never(x)

def invariant(x):
    if x:
        raise AssertionError("x")
    return x
"""


def test_an_open_dispatch_is_found() -> None:
    assert [name for _, name in open_dispatches(OPEN)] == ["a", "b"]


def test_a_missing_docstring_is_found() -> None:
    source = 'class A:\n    """A."""\n    def f(self): ...\n    def _g(self): ...\n    def __str__(self): ...\n\ndef h(): ...\n'
    assert [name for _, name in without_docstring(source)] == ["the module", "A.f", "h"]


def test_a_premise_kept_as_text_is_found() -> None:
    source = "class A:\n    premises: tuple[str, ...]\n    others: tuple[str, ...]\n    premise: Premise\n"
    assert [name for _, name in premises_as_text(source)] == ["A.premises"]


def test_a_dispatch_by_name_is_found() -> None:
    source = """
KNOWN = ("beta", "gamma")
LAWS = {"gamma": 1}
a = f.family.name == "beta"
b = use.estimator in ("dv", "nwj")
c = f.family.name in KNOWN
d = LAWS[f.family.name]
match self.name:
    case "beta" | "other":
        pass
e = side.form == "dv" or kind == "beta" or f.family.name == "other" or f.name == g.name
"""
    assert sorted(line for line, _ in dispatches_by_name(source, {"beta", "gamma", "dv", "nwj"})) == [4, 5, 6, 7, 9]


def test_lines_in_common() -> None:
    assert in_common({"a": ["x", "y"], "b": ["x", "z", "x", "w"]}) == {"a": 0.5, "b": 0.5}
    assert max(in_common({p.stem: p.read_text().splitlines() for p in emitted()}).values()) < 0.7


@pytest.mark.parametrize("measure", ["docstrings", "dispatches", "premises", "names"])
def test_what_is_to_be_zero_is_zero(measure: str) -> None:
    assert places(measure, modules()) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_an_example_touches_one_file_of_the_package(example) -> None:
    """Its own; tests that walk over everything, or check an estimate by a second method, may know it too."""
    package, _ = example.files()
    assert len(package) <= 1
