"""LaTeX is compiled for real where pdflatex is; it is parsed everywhere."""

from __future__ import annotations

import re
from pathlib import Path

from pylatexenc.latexwalker import LatexWalker

from ibsym.derivation.engine import derive
from ibsym.derivation.model import Derivation
from ibsym.rendering import latex
from ibsym.rendering.table import decomposition_latex
from ibsym.spec.model import Spec
from tests.latex import needs_pdflatex, run

HOSTILE = r"""100% of \input{/etc/passwd} $x_1^2$ & #1 {a} ~ ^^M "q" <b> | Ångström – 中文 β ≤ 😀 \end{document}"""
# What MathJax 3 knows without extensions.
KNOWN = {
    *("begin", "end", "notag", "text", "mathbb", "mathcal", "mathrm", "mathit", "widehat", "hat", "tilde", "bar", "log", "mid"),
    *("qquad", "quad", "leftrightarrow", "ge", "le", "approx", "ne", "in", "sim", "to", "infty", "tfrac", "cdot", "times"),
    *("beta", "alpha", "gamma", "delta", "lambda", "mu", "backslash", "varepsilon", "varphi"),
}


def overfull(log: str) -> list[float]:
    return [float(x) for x in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]


@needs_pdflatex
def test_every_document_compiles_and_fits(derivations: dict[str, Derivation], tmp_path: Path) -> None:
    documents = [latex.document(d) for d in derivations.values()]
    preambles = {d.split(r"\begin{document}")[0].partition("\n")[2] for d in documents}
    assert len(preambles) == 1
    bodies = [d.split(r"\begin{document}")[1].split(r"\end{document}")[0] for d in documents]
    log = run(preambles.pop() + r"\begin{document}" + "\\clearpage\n".join(bodies) + r"\end{document}", tmp_path)
    assert [x for x in overfull(log) if x > 10] == []


@needs_pdflatex
def test_every_fragment_fits_a_plain_article_with_two_packages(derivations: dict[str, Derivation], tmp_path: Path) -> None:
    fragments = "\n\\section{A}\n".join(map(latex.fragment, derivations.values()))
    log = run(
        rf"\documentclass{{article}}\usepackage{{amsmath,amssymb}}\begin{{document}}{fragments}\end{{document}}", tmp_path
    )
    assert [x for x in overfull(log) if x > 10] == []


@needs_pdflatex
def test_fragments_of_two_columns_break_to_a_column(derivations: dict[str, Derivation], tmp_path: Path) -> None:
    fragments = "\n\\section{A}\n".join(latex.fragment(d, columns=2) for d in derivations.values())
    head = r"\documentclass[twocolumn]{article}\usepackage{amsmath,amssymb}\sloppy"
    log = run(rf"{head}\begin{{document}}{fragments}\end{{document}}", tmp_path)
    wide = [x for x in overfull(log) if x > 10]
    assert len(wide) <= len(derivations) / 5  # single terms that are wider than a column
    assert max(wide, default=0) < 80


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
    assert r"\input" not in source
    log = run(source, tmp_path)
    assert "Missing character" not in log


@needs_pdflatex
def test_the_comparison_compiles(derivations: dict[str, Derivation], tmp_path: Path) -> None:
    body = decomposition_latex([*derivations.values()][:4])
    run(rf"\documentclass{{article}}\usepackage{{amsmath,amssymb}}\begin{{document}}{body}\end{{document}}", tmp_path)


def test_every_source_parses(derivations: dict[str, Derivation]) -> None:
    for d in (*derivations.values(), hostile()):
        for source in (latex.document(d), latex.fragment(d), latex.chain(d)):
            LatexWalker(source, tolerant_parsing=False).get_latex_nodes()


def test_a_notebook_can_show_the_chain(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        chain = latex.chain(d)
        assert chain.startswith("\\begin{align}\n")
        assert chain.endswith("\n\\end{align}")
        assert set(re.findall(r"\\([A-Za-z]+)", chain)) <= KNOWN


def test_the_chain_is_numbered_and_says_why(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        rows = re.split(
            r"\\\\\*?(?:\[[^\]]*\])?\n", latex.chain(d).removeprefix("\\begin{align}\n").removesuffix("\n\\end{align}")
        )
        assert sum(r"\notag" not in r for r in rows) == len(d.steps)
        joined = " ".join(r.split(r"\text{")[-1].replace("}", "") for r in rows)
        for s in d.steps:
            assert s.rule.split(" ")[0] in joined
        assert latex.chain(d).count("dropped: ") == sum(bool(len(s.gap)) for s in d.steps)


def test_conditions_gap_and_sources_are_there(derivations: dict[str, Derivation]) -> None:
    for d in derivations.values():
        fragment = latex.fragment(d)
        assert r"\paragraph{Gap.}" in fragment
        assert r"\paragraph{Sources.}" in fragment
        for g in d.gap:
            assert latex.term(g.term) in fragment
