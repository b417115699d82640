"""Figures of every system: what must be in them is, nothing covers anything, and each format is what it says."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ibsym
from ibsym.drawing import KINDS, figure
from ibsym.drawing.information import information
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
    told(derivation, information(derivation))
    terms = [n for n in found.nodes.values() if n.kind in (Kind.TERM, Kind.CRITIC)]
    assert len(terms) == len({(b.text, b.estimator) for b in derivation.bound})
    assert all(any(end is term for _, end in found.looks) for term in terms)
    assert all(any(node in edge for edge in (*found.flow, *found.looks)) for node in found.nodes.values())
    apart(placed)
    beside(placed)
    assert all(line.points[0][0] < line.points[-1][0] for line in placed.lines)  # from left to right


def told(derivation: ibsym.Derivation, found: Scheme) -> None:
    """A picture of a derivation has each step, what it drops, and what is left; nothing is left over."""
    shown = {kind: [n for n in found.nodes.values() if n.kind is kind] for kind in Kind}
    starts, ends = {a for a, _ in found.flow}, {b for _, b in found.flow}
    assert len(shown[Kind.STEP]) == sum(s.before != s.after for s in derivation.steps)
    assert len(shown[Kind.DROPPED]) == sum(len(s.gap) for s in derivation.steps)
    left = [n for kind in (Kind.TERM, Kind.CRITIC, Kind.CONSTANT) for n in shown[kind]]
    assert len(left) == len(derivation.final)
    assert not {*left} & starts
    assert all(n in starts for kind in (Kind.SOURCE, Kind.PART) for n in shown[kind])
    assert all(n in ends for n in shown[Kind.PART])
    assert len(found.legend) == len(derivation.steps) + 1


@pytest.mark.parametrize("name", ["bib-ae", "mvib", "club"])
@pytest.mark.parametrize("form", ["svg", "tikz"])
def test_what_was_dropped_is_drawn(name: str, form: str) -> None:
    derivation = ibsym.derive(name)
    placed = layout(information(derivation))
    apart(placed)
    beside(placed)
    data = figure(derivation, form, "information")
    assert data == figure(derivation, form, "information")
    assert (b"north east lines" in data) if form == "tikz" else ElementTree.fromstring(data).tag.endswith("svg")
    with pytest.raises(ArgumentError, match="one of system, information"):
        figure(derivation, form, "flow")


def apart(placed: Layout) -> None:
    """Nothing covers anything, and all is inside."""
    for a, b in itertools.combinations(placed.places.values(), 2):
        apart_x, apart_y = abs(a.x - b.x) - (a.width + b.width) / 2, abs(a.y - b.y) - (a.height + b.height) / 2
        assert max(apart_x, apart_y) > 0.01
    for place in placed.places.values():
        assert place.x - place.width / 2 >= -1e-9
        assert place.x + place.width / 2 <= placed.width + 1e-9
        assert place.y - place.height / 2 >= -1e-9
        assert place.y + place.height / 2 <= placed.height + 1e-9


def beside(placed: Layout) -> None:
    """A line bends between layers only, and runs level through a layer beside its nodes: under no box but where it ends."""
    for line in placed.lines:
        for (x0, y0), (x1, y1) in itertools.pairwise(line.points):
            inside = [p for p in placed.places.values() if x0 < p.x + p.width / 2 - 1e-6 and p.x - p.width / 2 + 1e-6 < x1]
            assert all(y0 == y1 and abs(p.y - y0) > p.height / 2 for p in inside)


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
    found = [figure(ibsym.derive(name), "tikz", kind) for name in ("bib-ae", "mvib", "beta-tcvae") for kind in KINDS]
    body = "\n".join(data.decode() for data in found)
    head = r"\documentclass[border=2pt,varwidth=50cm]{standalone}\usepackage{tikz,amsmath,amssymb}\usetikzlibrary{patterns}\begin{document}"
    run(f"{head}\n{body}\\end{{document}}", tmp_path)
