"""LaTeX is compiled for real where pdflatex is; it is parsed everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from pybtex.database import parse_string
from pylatexenc.latexwalker import LatexWalker

from ibsym.derivation.engine import derive
from ibsym.derivation.model import Derivation
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Relation
from ibsym.rendering import bibliography, latex, notation, outline
from ibsym.rendering.boxes import Mark, flat, width
from ibsym.rendering.forms import Form
from ibsym.rendering.table import decomposition_latex
from ibsym.rendering.tex import NAMED, tex
from ibsym.rules.catalogue import RELAXATION, RULES
from ibsym.spec.loading import load, zoo_names
from ibsym.spec.model import Spec
from tests.latex import needs_pdflatex, run

HOSTILE = r"""100% of \input{/etc/passwd} $x_1^2$ & #1 {a} ~ ^^M "q" <b> | Ångström – 中文 β ≤ 😀 \end{document}"""
# What MathJax 3 knows without extensions.
KNOWN = {
    *("begin", "end", "text", "mathbb", "mathcal", "mathrm", "mathit", "widehat", "hat", "tilde", "bar", "log", "mid"),
    *("qquad", "quad", "leftrightarrow", "ge", "le", "approx", "ne", "in", "sim", "to", "infty", "tfrac", "cdot", "times"),
    *("beta", "alpha", "gamma", "delta", "lambda", "mu", "backslash", "varepsilon", "varphi"),
}


def overfull(log: str) -> list[float]:
    return [float(x) for x in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]


@needs_pdflatex
@pytest.mark.parametrize("columns", [1, 2])
def test_every_document_compiles_and_fits(derivations: dict[str, Derivation], columns: int, tmp_path: Path) -> None:
    documents = [latex.document(d, columns) for d in derivations.values()]
    preambles = {d.split(r"\begin{document}")[0].partition("\n")[2] for d in documents}
    assert len(preambles) == 1
    bodies = [d.split(r"\begin{document}")[1].split(r"\end{document}")[0] for d in documents]
    log = run(preambles.pop() + r"\begin{document}" + "\\clearpage\n".join(bodies) + r"\end{document}", tmp_path)
    assert overfull(log) == []


def article(fragments: Iterable[str], options: str = "") -> str:
    """Fragments as sections of an article that loads what they need, and nothing else."""
    head = rf"\documentclass[{options}]{{article}}\usepackage{{amsmath,amssymb,mathtools}}"
    return rf"{head}\begin{{document}}" + "".join("\n\\section{A}\n" + f for f in fragments) + r"\end{document}"


@needs_pdflatex
@pytest.mark.parametrize("columns", [1, 2])
def test_every_fragment_fits_an_article(derivations: dict[str, Derivation], columns: int, tmp_path: Path) -> None:
    """One column or two, in full and as theorem and proof: no box is overfull, not by a point."""
    fragments = [latex.fragment(d, columns, form) for form in (Form.FULL, Form.THEOREM) for d in derivations.values()]
    assert overfull(run(article(fragments, "twocolumn" if columns == 2 else ""), tmp_path)) == []


def test_lines_are_as_wide_as_was_asked_for(derivations: dict[str, Derivation]) -> None:
    """Terms are broken until they fit; together the lines say what the sum says."""
    for d in derivations.values():
        for step in d.steps[-2:]:
            pieces = notation.pieces(step.after)
            for limit in (14.0, 17.5, 27.5):
                lines = outline.folded(pieces, limit)
                assert all(sum(map(width, line)) <= limit + 1e-9 for line in lines[:1])
                assert all(sum(map(width, line)) <= limit - 2.0 + 1e-9 for line in lines[1:])
                atoms = [a for line in lines for box in line for a in flat(box) if a not in (Mark.QUAD, Mark.THIN)]
                assert atoms == [a for piece in pieces for a in flat(piece) if a is not Mark.THIN]


def test_a_chain_of_inequalities_has_no_equation_and_no_reason(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        short = outline.inequalities(d)
        kept = [s.relation for s in d.steps if s.relation is not Relation.EQ]
        assert [link.relation for link in short] == (kept or [Relation.EQ] * bool(d.steps))
        assert not short or short[-1].after == d.final
        assert r"\ibsymreason{" not in latex.fragment(d, steps=Form.SHORT).split(r"\begin{align}")[1]


def test_a_theorem_claims_what_is_proved_and_no_more(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        claim, text = outline.claim(d), latex.fragment(d, steps=Form.THEOREM)
        assert all(s.relation is not Relation.APPROX for s in claim.steps)
        assert (r"\begin{theorem}" in text) == bool(claim.steps)
        if claim.steps:
            assert r"\approx" not in text.split(r"\begin{theorem}")[1].split(r"\end{proof}")[0]
        if d.relation is not Relation.APPROX:
            assert claim.reached == d.final
            assert claim.relation is d.relation


def test_a_class_may_spell_what_it_likes() -> None:
    source = latex.fragment(derive(load("vib")))
    given = set(re.findall(r"\\providecommand\{\\(ibsym[A-Za-z]+)\}", source))
    assert set(re.findall(r"\\(ibsym[A-Za-z]+)", source)) == given
    body = source.split(r"\providecommand{\ibsymheading}")[1]
    assert r"\mathbb{E}" not in body
    assert r"\mathrm{KL}" not in body
    assert r"\ibsymE_{q(x)}\,\ibsymD_{\ibsymKL}" in body


def test_what_is_cited_has_an_entry(derivations: dict[str, Derivation]) -> None:
    """Every key of a fragment is a key of the system's .bib, which a reader of BibTeX takes."""
    for d in derivations.values():
        keys = {k for found in re.findall(r"\\ibsymcite\{([^}]*)\}", latex.fragment(d)) for k in found.split(",")}
        assert keys == set(parse_string(bibliography.cited(d), "bibtex").entries)


def test_every_source_of_the_zoo_of_rules_and_estimators_is_an_entry_of_ours() -> None:
    cited = [c for name in zoo_names() for c in load(name).cite]
    cited += [c for rule in RULES.values() for c in rule.sources] + [*RELAXATION.sources]
    cited += [c for e in ESTIMATORS.values() for c in e.sources]
    names = {part.strip() for c in cited for part in c.split(";")} - set(outline.FOLKLORE)
    entries = bibliography.library().entries
    assert {bibliography.key(name) for name in names} == set(entries)
    assert all({"author", "title", "year"} <= {*e.fields, *e.persons} for e in entries.values())


@pytest.mark.parametrize("text", ["Own & Work 2031", HOSTILE, "我们 2030", "{", "$x$ \\", "}{"])
def test_a_source_of_ones_own_is_said_as_it_stands(text: str) -> None:
    entry = parse_string(bibliography.bibtex([text]), "bibtex").entries[bibliography.key(text)]
    assert "\\input" not in bibliography.bibtex([text])
    assert entry.fields["title"].startswith("{")
    assert [k for k, _ in bibliography.listed([text])] == [bibliography.key(text)]


@needs_pdflatex
def test_a_document_stands_alone(derivations: dict[str, Derivation], tmp_path: Path) -> None:
    run(latex.document(next(iter(derivations.values()))), tmp_path)


def hostile() -> Derivation:
    spec = Spec(
        name="hostile",
        title=HOSTILE,
        notes=HOSTILE + "\n\n" + HOSTILE,
        cite=(HOSTILE,),
        objective="minimize I_q(X_obs;Z__) - weight_of_it*I_q(Z__;C)",
        variables={"x_obs": "real[D_in]", "z__": "real[L]", "c": "categorical[K]"},
        joints={"q": "data(x_obs,c) q(z__|x_obs)", "my_model": "my_model(z__) my_model(c|z__)"},
        families={"q(z__|x_obs)": "diagonal-normal", "my_model(z__)": "standard-normal", "my_model(c|z__)": "categorical"},
        parameters={"weight_of_it": {"default": 1.0, "min": 0}},
    )
    return derive(spec)


@needs_pdflatex
def test_names_and_prose_are_escaped(tmp_path: Path) -> None:
    source = latex.document(hostile())
    assert r"\input{" not in source
    log = run(source, tmp_path)
    assert "Missing character" not in log


@needs_pdflatex
def test_the_comparison_compiles(derivations: dict[str, Derivation], tmp_path: Path) -> None:
    body = decomposition_latex([*derivations.values()][:4])
    run(rf"\documentclass{{article}}\usepackage{{amsmath,amssymb}}\begin{{document}}{body}\end{{document}}", tmp_path)


def test_every_source_parses(derivations: dict[str, Derivation]) -> None:
    for d in (*derivations.values(), hostile()):
        for source in (latex.document(d), latex.chain(d)):  # a document has what a fragment has
            LatexWalker(source, tolerant_parsing=False).get_latex_nodes()


def test_a_notebook_can_show_the_chain(derivations: dict[str, Derivation]) -> None:
    """In the LaTeX that MathJax 2, MathJax 3 and KaTeX all read: nothing after a line's end, nothing that numbers, no macro of ours."""
    for d in derivations.values():
        chain = latex.chain(d)
        assert chain.startswith("$$\n\\begin{aligned}\n")
        assert chain.endswith("\n\\end{aligned}\n$$")
        assert set(re.findall(r"\\([A-Za-z]+)", chain)) <= KNOWN
        assert not re.search(r"\\\\[*\[]", chain)


def test_the_chain_is_numbered_and_says_why(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        chain = latex.chain(d)
        rows = chain.split(" \\\\\n")
        assert [int(n) for n in re.findall(r"&& \\text\{\((\d+)\)\}", chain)] == list(range(1, len(d.steps) + 1))
        joined = " ".join(r.split(r"\text{")[-1].replace("}", "") for r in rows)
        for s in d.steps:
            assert s.rule.split(" ")[0] in joined
        assert chain.count("dropped: ") == sum(bool(len(s.gap)) for s in d.steps)


def test_conditions_gap_and_sources_are_there(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        fragment = latex.fragment(d)
        assert r"\ibsymheading{Gap.}" in fragment
        assert r"\ibsymheading{Sources.}" in fragment
        plain = fragment.replace(r"\allowbreak ", "")
        for g in d.gap:
            assert tex(notation.term(g.term), NAMED).strip() in plain
