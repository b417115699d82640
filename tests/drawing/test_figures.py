"""Figures of every system: what must be in them is, nothing covers anything, and each format is what it says."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ibsym
from ibsym.drawing import figure
from ibsym.drawing.layout import Layout, layout
from ibsym.drawing.scheme import Kind, Scheme, scheme
from ibsym.errors import ArgumentError
from tests.latex import has, needs_pdflatex, run

pytest.importorskip("igraph")
pytest.importorskip("matplotlib")
NAMES = ibsym.zoo()


def drawn(name: str) -> tuple[ibsym.Derivation, Scheme, Layout]:
    derivation = ibsym.derive(name)
    found = scheme(derivation)
    return derivation, found, layout(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_every_term_and_nothing_covers_anything(name: str) -> None:
    derivation, found, placed = drawn(name)
    terms = [n for n in found.nodes.values() if n.kind in (Kind.TERM, Kind.CRITIC)]
    assert len(terms) == len({(b.text, b.estimator) for b in derivation.bound})
    assert all(any(end is term for _, end in found.looks) for term in terms)
    assert all(any(node in edge for edge in (*found.flow, *found.looks)) for node in found.nodes.values())
    for a, b in itertools.combinations(placed.places.values(), 2):
        apart_x, apart_y = abs(a.x - b.x) - (a.width + b.width) / 2, abs(a.y - b.y) - (a.height + b.height) / 2
        assert max(apart_x, apart_y) > 0.01
    for place in placed.places.values():
        assert place.x - place.width / 2 >= -1e-9
        assert place.x + place.width / 2 <= placed.width + 1e-9
        assert place.y - place.height / 2 >= -1e-9
        assert place.y + place.height / 2 <= placed.height + 1e-9
    assert all(line.points[0][0] < line.points[-1][0] for line in placed.lines)  # from left to right


def test_lines_pass_beside_what_they_do_not_touch() -> None:
    """Through a layer a line runs level, at least as far from its nodes as it has room."""
    for name in ("dvcca-private", "hidden-markov-vae", "semi-supervised-ib"):
        _, _, placed = drawn(name)
        for line in placed.lines:
            for (x0, y), (x1, _) in zip(line.points[1:-1:2], line.points[2:-1:2], strict=True):
                inside = [
                    p for p in placed.places.values() if x0 - 1e-6 <= p.x - p.width / 2 and p.x + p.width / 2 <= x1 + 1e-6
                ]
                assert all(abs(p.y - y) > p.height / 2 for p in inside)


def test_a_network_that_is_used_twice_is_shown_as_one() -> None:
    _, found, _ = drawn("semi-supervised-ib")
    assert len({n.label for n in found.shared}) == 3
    assert not drawn("vae")[1].shared


def test_pictures_are_the_same_bytes_each_time() -> None:
    for form in ("svg", "pdf", "tikz"):
        assert figure(ibsym.derive("bib-ae"), form) == figure(ibsym.derive("bib-ae"), form)


def test_formats() -> None:
    derivation = ibsym.derive("vae")
    assert ElementTree.fromstring(figure(derivation, "svg")).tag.endswith("svg")
    assert figure(derivation, "pdf").startswith(b"%PDF")
    with pytest.raises(ArgumentError, match="one of svg, pdf, tikz"):
        figure(derivation, "png")


@needs_pdflatex
@pytest.mark.skipif(not (has("standalone.cls") and has("tikz.sty")), reason="TikZ is not installed")
def test_tikz_compiles(tmp_path: Path) -> None:
    body = "\n".join(figure(ibsym.derive(name), "tikz").decode() for name in ("bib-ae", "mvib", "beta-tcvae"))
    head = r"\documentclass[border=2pt,varwidth=50cm]{standalone}\usepackage{tikz,amsmath,amssymb}\begin{document}"
    run(f"{head}\n{body}\\end{{document}}", tmp_path)
