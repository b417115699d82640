"""Typst is compiled for real, the whole zoo in one document; what is said in words is escaped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibsym.derivation.engine import derive
from ibsym.derivation.model import Derivation
from ibsym.rendering import bibliography, outline, typst
from ibsym.rendering.forms import Form
from ibsym.spec.loading import load
from ibsym.spec.model import Spec
from tests.rendering.test_latex import HOSTILE

compiler = pytest.importorskip("typst")


@pytest.mark.parametrize(("columns", "form"), [(1, Form.THEOREM), (2, Form.FULL)])
def test_fragments_of_all_systems_are_one_paper(
    derivations: dict[str, Derivation], columns: int, form: Form, tmp_path: Path
) -> None:
    lines = [f"#set page(columns: {columns})"]
    for name, d in derivations.items():
        (tmp_path / f"{name}.typ").write_text(typst.fragment(d, columns, form), encoding="utf-8")
        lines.append(f'= {name}\n#include "{name}.typ"')
    cited = dict.fromkeys(s for d in derivations.values() for s in outline.sources(d))
    (tmp_path / "sources.bib").write_text(bibliography.bibtex(cited), encoding="utf-8")
    (tmp_path / "paper.typ").write_text("\n".join([*lines, '#bibliography("sources.bib")']), encoding="utf-8")
    assert compiler.compile(str(tmp_path / "paper.typ")).startswith(b"%PDF")


@pytest.mark.parametrize("words", [HOSTILE, '#import "x"', "= a", "// b", "/* c", "$ d", "<e> @f", "`g", "- h", "]", "\\"])
def test_a_document_stands_alone_and_says_words_as_words(words: str, tmp_path: Path) -> None:
    spec = load("vib")
    d = derive(Spec(**{**spec.keys, "title": words, "notes": words, "cite": [words]}))
    (tmp_path / "paper.typ").write_text(typst.document(d), encoding="utf-8")
    assert compiler.compile(str(tmp_path / "paper.typ")).startswith(b"%PDF")


def test_every_form_says_the_same_steps(derivations: dict[str, Derivation]) -> None:
    d = derivations["vib"]
    full, short = typst.fragment(d), typst.fragment(d, steps=Form.SHORT)
    assert full.count("[$=$], ") - 1 == sum(str(s.relation) == "=" for s in d.steps)
    assert short.count("[$<=$], ") == full.count("[$<=$], ") == 2
    assert "Theorem" in typst.fragment(d, steps=Form.THEOREM)
