"""Text, JSON, HTML and the comparison of systems."""

from __future__ import annotations

import ast
import hashlib
import json as stdlib_json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from ibsym.derivation.engine import derive
from ibsym.derivation.model import BoundTerm, Derivation, SurrogateTerm
from ibsym.rendering import html, json, templating, text
from ibsym.rendering.table import compare, decomposition
from ibsym.spec.loading import load
from ibsym.spec.model import Spec

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """Tags with attributes; fails on one that is not closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def read(source: str) -> Reader:
    reader = Reader()
    reader.feed(source)
    reader.close()
    assert reader.open == []
    return reader


def test_json_has_the_keys_that_others_rely_on(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        record = stdlib_json.loads(json.json_text(d))
        assert record == json.record(d)
        assert {"name", "objective", "relation", "steps", "bound", "gap", "constants"} <= set(record)
        assert record["relation"] in ("=", "<=", ">=", "~")
        assert record["objective"] == d.spec.objective_text
        for s in record["steps"]:
            assert {"rule", "relation", "before", "after", "gap", "premises", "cite"} <= set(s)
            assert isinstance(s["gap"], list)
        assert all({"coefficient", "term", "estimator"} <= set(b) for b in record["bound"])
        assert all({"coefficient", "term", "closable"} == set(g) for g in record["gap"])
        assert all({"coefficient", "term"} == set(c) for c in record["constants"])
        computed: tuple[BoundTerm | SurrogateTerm, ...] = (*d.bound, *d.surrogates)
        assert [b["term"] for b in record["bound"]] == [item.text for item in computed]
        models = [getattr(item, "model", None) for item in computed]
        assert all(("model" in b) is (model is not None) for b, model in zip(record["bound"], models, strict=True))
        for item, b in zip(computed, record["bound"], strict=True):
            tree = ast.parse(b["coefficient"], mode="eval")
            assert {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} == {s.name for s in item.coefficient.free_symbols}
        for previous, following in zip(record["steps"], record["steps"][1:], strict=False):
            assert previous["after"] == following["before"]
        assert all({"term", "direction", "rows", "computed", "equations"} <= set(p) for p in record["certificate"])


def test_text_is_plain_and_fits(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        printed = text.text(d)
        assert max(map(len, printed.splitlines())) <= 100
        assert "\x1b" not in printed
        for number in range(1, len(d.steps) + 1):
            assert re.search(rf"^ *{number} [=≤≥≈] ", printed, re.MULTILINE)
        for b in d.bound:
            assert re.search(rf"^ +{re.escape(str(b.coefficient))}  {re.escape(b.text)} +{b.estimator}", printed, re.MULTILINE)
        flat = " ".join(printed.split())
        for g in d.gap:
            assert re.search(rf"{re.escape(str(g.term))} +{'closable' if g.closable else 'not closable'}", flat)
        assert all(s.rule in flat for s in d.steps)


def test_text_drops_control_characters() -> None:
    printed = text.text(hostile("a\x1b[31mred\u202e\n\nb"))
    assert "\x1b" not in printed
    assert "\u202e" not in printed


def hostile(words: str) -> Derivation:
    spec = load("vib")
    return derive(Spec(**{**spec.keys, "title": words, "notes": words, "cite": [words]}))


def test_a_page_is_whole_and_loads_nothing(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        source = html.page(d)
        reader = read(source)
        assert source.startswith("<!DOCTYPE html>")
        assert "://" not in source
        assert "url(" not in source
        assert {tag for tag, _ in reader.seen}.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form"})
        assert {a for _, attributes in reader.seen for a in attributes}.isdisjoint({"src", "href", "srcset", "action", "data"})
        assert sum(tag == "li" and a.get("class") in ("equal", "bound", "estimate") for tag, a in reader.seen) >= len(d.steps)
        assert "prefers-color-scheme: dark" in source
        assert "@media print" in source


def test_a_page_escapes_what_the_spec_says() -> None:
    reader = read(html.page(hostile(SCRIPT)))
    assert {tag for tag, _ in reader.seen}.isdisjoint({"script", "img"})
    assert not any(a.startswith("on") for _, attributes in reader.seen for a in attributes)
    assert reader.said.count("<script>alert(1)</script>") >= 3


def test_a_constraint_is_told_everywhere(derivations: dict[str, Derivation]) -> None:
    held = [d for d in derivations.values() if d.constraints]
    assert held
    for d in held:
        (constraint,) = json.record(d)["constraints"]
        assert {"divergence", "through", "multiplier", "information", "budget", "bound"} <= set(constraint)
        assert constraint["information"] in text.text(d)
        assert "held to" in read(html.page(d)).said


def test_a_template_and_its_context_have_the_same_names() -> None:
    with pytest.raises(TypeError, match="missing"):
        templating.render("fragment.tex.j2", {"name": "a"})
    with pytest.raises(TypeError, match="unused"):
        templating.render("fragment.tex.j2", {"name": "a", "body": "", "more": ""})


def test_systems_are_the_same_terms_under_different_treatments() -> None:
    names = ("aae", "infovae", "vae-gan", "bib-ae")
    table = compare(derive(load(n)) for n in names)
    assert table.systems == names
    cell = {
        (system, str(term)): [(str(c.coefficient), c.treatment) for c in cells]
        for system, row in zip(table.systems, table.cells, strict=True)
        for term, cells in zip(table.terms, row, strict=True)
    }
    latent = "KL(q(z)||p(z))"
    assert [cell[n, latent] for n in names] == [
        [("1", "density-ratio")],
        [("alpha + lam - 1", "mmd")],
        [("1", "dropped")],
        [("-1", "density-ratio")],
    ]
    printed = decomposition(derive(load(n)) for n in names)
    assert max(map(len, printed.splitlines())) <= 100
    assert all(str(t) in printed for t in table.terms)
    assert all(n in printed for n in names)


def test_a_table_of_nothing_is_empty() -> None:
    assert decomposition([]) == ""


STABLE = """
import hashlib
from ibsym.derivation.engine import derive
from ibsym.rendering import html, json, latex, text
from ibsym.spec.loading import load
for name in ("vdb", "semi-supervised-ib", "infovae"):
    d = derive(load(name))
    for printed in (latex.document(d), latex.fragment(d), text.text(d), json.json_text(d), html.page(d)):
        print(hashlib.sha256(printed.encode()).hexdigest())
"""


def test_bytes_are_the_same_under_every_hash_seed() -> None:
    found = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", STABLE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(hashlib.sha256(done.stdout.encode()).hexdigest())
    assert len(found) == 1
