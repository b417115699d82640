"""Every example of the documentation runs, and prints what the page says that it prints."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.pages import DOCS, Story, agrees, blocks, pages


def test_lines_that_were_left_out_stand_for_any() -> None:
    assert agrees("$ x\n...\nb\n...\n", "$ x\na\na\nb\nc\n")
    assert agrees("$ x\nb\n", "$ x\nb\n")
    assert not agrees("$ x\nb\n", "$ x\na\nb\n")
    assert not agrees("$ x\n...\nb\n", "$ x\na\nb\nc\n")


def test_a_refusal_is_never_left_out() -> None:
    assert not agrees("$ x\n...\n", "$ x\nibsym: no such file\n")
    assert agrees("$ x\nibsym: no such file\n", "$ x\nibsym: no such file\n")


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_page(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    story = Story()
    with contextlib.chdir(tmp_path):
        for _, kind, body in blocks(page.read_text(encoding="utf-8")):
            told = story.told(kind, body)
            assert told is None or agrees(body, told), f"{page.name} shows\n{body}\nand what is printed is\n{told}"
