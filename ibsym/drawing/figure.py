"""A scheme on paper: SVG and PDF by matplotlib, TikZ as text. Kinds differ by shape and stroke, so that grey print reads."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ibsym.drawing.information import information
from ibsym.drawing.layout import FONT, Layout, Line, Place, Point, layout, mathtext, need
from ibsym.drawing.scheme import Kind, Node, Scheme, scheme
from ibsym.errors import ArgumentError, unknown
from ibsym.rendering.tex import citation

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation

FORMATS = ("svg", "pdf", "tikz")
MARGIN = 0.15
PLATE = 0.07  # between a node and its plate, in inches
SMALL, LEADING, LETTER = 8, 0.16, 0.068  # of a legend: its size in points, a line's height and a letter's width in inches

STYLES: dict[Kind, dict[str, Any]] = {
    Kind.VARIABLE: {"boxstyle": "round,pad=0,rounding_size=0.21", "facecolor": "white", "edgecolor": "black"},
    Kind.SOURCE: {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": "#e4e4e4", "edgecolor": "black"},
    Kind.NETWORK: {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "black"},
    Kind.FIXED: {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "black", "linestyle": (0, (1, 1.5))},
    Kind.CRITIC: {"boxstyle": "round,pad=0,rounding_size=0.2", "facecolor": "white", "edgecolor": "#1f5fbf", "linewidth": 1.6},
    Kind.TERM: {"boxstyle": "round,pad=0,rounding_size=0.2", "facecolor": "white", "edgecolor": "#1f5fbf", "linewidth": 0.9},
    Kind.PART: {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "#999999", "linewidth": 0.6},
    Kind.DROPPED: {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "black", "linestyle": (0, (1, 1.5))},
    Kind.CONSTANT: {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "black", "linestyle": (0, (4, 2.5))},
}
HATCHED: dict[str, Any] = {"facecolor": "none", "edgecolor": "#bbbbbb", "linewidth": 0.0, "hatch": "////"}
TIKZ = {
    Kind.SOURCE: "draw, rounded corners=2pt, fill=black!10",
    Kind.VARIABLE: "draw, rounded corners=0.21in, inner sep=0pt",
    Kind.NETWORK: "draw",
    Kind.FIXED: "draw, densely dotted",
    Kind.CRITIC: "draw, thick, rounded corners=6pt",
    Kind.TERM: "draw, thin, rounded corners=6pt",
    Kind.PART: "draw=black!40, very thin",
    Kind.STEP: "draw, circle, inner sep=0pt, font=\\footnotesize",
    Kind.DROPPED: "draw, densely dotted, pattern=north east lines, pattern color=black!25",
    Kind.CONSTANT: "draw, dashed",
}


KINDS = {"system": scheme, "information": information}


def figure(derivation: Derivation, form: str = "svg", kind: str = "system") -> bytes:
    """The system, or what its derivation dropped where, as a picture; the same bytes for the same derivation."""
    if kind not in KINDS:
        raise ArgumentError(unknown("kind of figure", kind, KINDS))
    if form not in FORMATS:
        raise ArgumentError(unknown("figure format", form, FORMATS))
    need()
    drawn = KINDS[kind](derivation)
    found = layout(drawn)
    return tikz(drawn, found).encode() if form == "tikz" else picture(drawn, found, form)


def picture(drawn: Scheme, found: Layout, form: str) -> bytes:
    """By matplotlib, text as outlines."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    below = LEADING * len(drawn.legend) + (MARGIN if drawn.legend else 0.0)
    wide = max(found.width, *(LETTER * len(line) for line in drawn.legend), 0.0)
    with mpl.rc_context({"svg.hashsalt": drawn.name, "svg.fonttype": "path", "hatch.linewidth": 0.5}):
        paper = Figure(figsize=(wide + 2 * MARGIN, found.height + below + 2 * MARGIN))
        axes = paper.add_axes((0, 0, 1, 1))
        axes.set_xlim(-MARGIN, wide + MARGIN)
        axes.set_ylim(-MARGIN - below, found.height + MARGIN)
        for i, line in enumerate(drawn.legend, 1):
            axes.text(0, -MARGIN - LEADING * (i - 0.5), line, ha="left", va="center", fontsize=SMALL)
        axes.axis("off")
        for stroke in found.lines:
            _stroke(axes, stroke)
        for node, place in found.places.items():
            _shape(axes, node, place, node in drawn.shared)
            if node in drawn.plates:
                _plate(axes, place, drawn.plates[node])
        buffer = io.BytesIO()
        metadata = {"Date": None} if form == "svg" else {"CreationDate": None}
        paper.savefig(buffer, format=form, metadata=metadata)
    return buffer.getvalue()


def _stroke(axes: Any, line: Line) -> None:
    """A curve that leaves and enters level; the flow has a head, a look is dashed."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points = [line.points[0], *(p for bend in bends(line) for p in bend)]
    path = Path(points, [Path.MOVETO, *[Path.CURVE4] * (len(points) - 1)])
    style: dict[str, Any] = {"color": "black", "linewidth": 0.9, "arrowstyle": "-|>,head_length=4,head_width=2"}
    if line.look:
        style = {"color": "#1f5fbf", "linewidth": 0.8, "linestyle": (0, (4, 2.5)), "arrowstyle": "-"}
    axes.add_patch(FancyArrowPatch(path=path, mutation_scale=1, shrinkA=0, shrinkB=0, zorder=1, **style))


def _shape(axes: Any, node: Node, place: Place, shared: bool) -> None:
    """The node's outline, twice for one of several boxes of a network, and its formula."""
    from matplotlib.patches import Circle, FancyBboxPatch

    corner = (place.x - place.width / 2, place.y - place.height / 2)
    if place.width == place.height:
        axes.add_patch(Circle((place.x, place.y), place.height / 2, facecolor="white", edgecolor="black", zorder=2))
    else:
        axes.add_patch(FancyBboxPatch(corner, place.width, place.height, zorder=2, **STYLES[node.kind]))
    if node.kind is Kind.DROPPED:
        axes.add_patch(FancyBboxPatch(corner, place.width, place.height, boxstyle="square,pad=0", zorder=2, **HATCHED))
    if shared:
        inner = (corner[0] + 0.04, corner[1] + 0.04)
        style = {**STYLES[node.kind], "linewidth": 0.6}
        axes.add_patch(FancyBboxPatch(inner, place.width - 0.08, place.height - 0.08, zorder=2, **style))
    axes.text(
        *(place.x, place.y, f"${mathtext(node.label)}$"),
        ha="center",
        va="center",
        fontsize=SMALL if node.kind is Kind.STEP else FONT,
        math_fontfamily="stix",
        zorder=3,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if node.kind is Kind.DROPPED else None,
    )


def _plate(axes: Any, place: Place, times: str) -> None:
    """A rectangle around a node that a row has several of, and how many, below its right corner."""
    from matplotlib.patches import Rectangle

    wide, high = place.width + 2 * PLATE, place.height + 2 * PLATE
    corner = (place.x - wide / 2, place.y - high / 2)
    axes.add_patch(Rectangle(corner, wide, high, facecolor="none", edgecolor="black", linewidth=0.6, zorder=2))
    axes.text(corner[0] + wide - 0.03, corner[1] - 0.02, f"${times}$", ha="right", va="top", fontsize=SMALL, zorder=3)


def bends(line: Line) -> Iterator[tuple[Point, Point, Point]]:
    """Control points and end of each piece, level at both ends."""
    for (x0, y0), (x1, y1) in zip(line.points, line.points[1:], strict=False):
        middle = (x0 + x1) / 2
        yield (middle, y0), (middle, y1), (x1, y1)


def tikz(drawn: Scheme, found: Layout) -> str:
    """A ``tikzpicture`` that needs tikz, amsmath and amssymb, and for what was dropped tikz's library patterns, as its first line says."""
    names = {node: f"n{i}" for i, node in enumerate(found.places)}
    lines = [r"% \usepackage{tikz,amsmath,amssymb}"]
    lines += [r"% \usetikzlibrary{patterns}"] if any(node.kind is Kind.DROPPED for node in found.places) else []
    lines += [r"\begin{tikzpicture}[x=1in, y=1in, >=stealth]"]
    for node, place in found.places.items():
        style = TIKZ[node.kind] + (", double" if node in drawn.shared else "")
        box = f"minimum width={place.width:.2f}in, minimum height={place.height:.2f}in"
        lines.append(rf"  \node[{style}, {box}] ({names[node]}) at ({place.x:.2f}, {place.y:.2f}) {{${node.label}$}};")
        if node in drawn.plates:
            right, low = place.x + place.width / 2 + PLATE, place.y - place.height / 2 - PLATE
            opposite = _point((place.x - place.width / 2 - PLATE, place.y + place.height / 2 + PLATE))
            lines.append(rf"  \draw[very thin] {_point((right, low))} rectangle {opposite};")
            lines.append(
                rf"  \node[anchor=north east, font=\footnotesize, inner sep=1pt] at {_point((right, low))} {{${drawn.plates[node]}$}};"
            )
    for line in found.lines:
        way = _point(line.points[0])
        for a, b, end in bends(line):
            way += f" .. controls {_point(a)} and {_point(b)} .. {_point(end)}"
        lines.append(rf"  \draw[{'dashed' if line.look else '->'}] {way};")
    for i, text in enumerate(drawn.legend, 1):
        lines.append(rf"  \node[anchor=west, font=\footnotesize] at (0, {-MARGIN - LEADING * i:.2f}) {{{citation(text)}}};")
    return "\n".join([*lines, r"\end{tikzpicture}", ""])


def _point(at: Point) -> str:
    return f"({at[0]:.2f}, {at[1]:.2f})"
