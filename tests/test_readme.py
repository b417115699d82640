"""Every Python example of the README runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
SPEC = re.search(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 4
    assert SPEC is not None


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_example(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    exec(compile(block, "README.md", "exec"), {})  # noqa: S102


def test_the_spec_on_the_page_is_the_zoo_entry() -> None:
    import ibsym

    assert SPEC is not None
    assert ibsym.derive(ibsym.loads(SPEC[1])).line == ibsym.derive("vib").line


def test_the_loss_on_the_page_is_the_emitted_one() -> None:
    block = re.search(r"```text\n(# KL.*?)```", TEXT, flags=re.DOTALL)
    assert block is not None
    emitted = (Path(__file__).parents[1] / "generated" / "vib.py").read_text(encoding="utf-8")
    assert [line for line in block[1].splitlines() if line.strip() not in emitted] == []


def test_the_derivation_on_the_page_is_the_one_that_is_told() -> None:
    import ibsym
    from ibsym.rendering.text import text

    block = re.search(r"```text\n(minimize .*?)```", TEXT, flags=re.DOTALL)
    assert block is not None
    told = text(ibsym.derive("vib"))
    assert [
        line for line in block[1].splitlines() if line.strip() not in (*told.split("\n"), "...") and line.rstrip() not in told
    ] == []
