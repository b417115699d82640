"""The page for developers says what is so: the types and functions on the data's way, the files to stand in, the words."""

from __future__ import annotations

import importlib
import re
import typing
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "DEVELOPERS.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    start = PAGE.index(f"## {title}\n")
    end = PAGE.find("\n## ", start + 4)
    return PAGE[start : end if end > 0 else None]


def found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


ROWS = re.findall(
    r"^\| `([\w.]+:\w+)` \| [^|]* \| `([\w.]+:\w+)` \| (.*?) \|$", section("The way of the data"), flags=re.MULTILINE
)


def test_there_are_five_types() -> None:
    assert len(ROWS) == 5


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r[0])
def test_a_type_is_made_and_taken_as_the_page_says(row: tuple[str, str, str]) -> None:
    kind, made, taken = found(row[0]), found(row[1]), re.search(r"`([\w.]+:\w+)`", row[2])
    returned = typing.get_type_hints(made)["return"]
    assert (typing.get_origin(returned) or returned) is kind
    assert taken is not None
    function = found(taken[1])
    if kind is not dict:
        arguments = [hint for name, hint in typing.get_type_hints(function).items() if name != "return"]
        assert arguments[0] is kind


def test_the_places_to_stand_are_there() -> None:
    table = section("The way of the data").split("Where to stand")[1]
    places = re.findall(
        r"`((?:\w+/)+[\w.]*|\w+\.py)`", "".join(line.split("|")[2] for line in table.splitlines() if line.startswith("| "))
    )
    assert len(places) > 10
    for place in places:
        assert (ROOT / "ibsym" / place).exists(), place


def test_the_layers_are_those_of_the_test() -> None:
    from tests.test_layers import PAGE as LAYERS

    named = set(re.findall(r"`(\w+)(?:/|\.py)`", section("The house").split("| elsewhere")[0]))
    assert {layer for layer in LAYERS if layer not in ("zoo",)} <= named | {"__init__", "__main__"}


@pytest.mark.parametrize("word", re.findall(r"^\| \*\*(\w+)\*\*", section("Words that are ours"), flags=re.MULTILINE))
def test_a_word_of_the_glossary_is_used(word: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ibsym").glob("**/*.py"))
    assert len(re.findall(rf"\b{word}s?\b", text)) > 3
