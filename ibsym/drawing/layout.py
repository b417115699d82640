"""Where nodes and edges of a scheme stand: layers from left to right, as few crossings as Sugiyama's method finds."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ibsym.drawing.scheme import Kind, Node, Scheme
from ibsym.errors import MissingDependencyError

ROW, COLUMN, HEIGHT = 0.66, 0.55, 0.42
"""Between neighbours of a layer, between layers, and of a node, in inches."""
FONT = 11
NARROW = 0.5
"""What a passing edge takes of a row."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Place:
    """A node's centre and size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """An edge as the points that it passes, from border to border; ``look`` is one that a term takes."""

    points: tuple[Point, ...]
    look: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of nodes, lines, and the size of the whole."""

    places: dict[Node, Place]
    lines: tuple[Line, ...]
    width: float
    height: float


def size(node: Node) -> tuple[float, float]:
    """Width and height of a node, in inches."""
    if node.kind is Kind.STEP:
        return HEIGHT, HEIGHT
    text = wide(node.label)
    if node.kind is Kind.VARIABLE:  # a circle, as long as the name has room in it
        return HEIGHT if text < HEIGHT - 0.08 else text + 0.24, HEIGHT
    return max(0.62, text + 0.24), HEIGHT


@cache
def wide(label: str) -> float:
    """How wide a formula is, in inches."""
    need()
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser

    font = FontProperties(size=FONT, math_fontfamily="stix")
    return float(MathTextParser("path").parse(f"${mathtext(label)}$", dpi=72, prop=font).width) / 72


def mathtext(label: str) -> str:
    r"""A formula in the part of LaTeX that matplotlib reads.

    >>> print(mathtext(r"\tfrac{1}{2}\widehat{I}_{q}^{\text{dv}}(x\mid z)"))
    \frac{1}{2}\widehat{I}_{q}^{\mathrm{dv}}(x|z)
    """
    label = re.sub(r"\\text\{([^{}]*)\}", lambda m: r"\mathrm{" + m[1].replace("-", "\N{HYPHEN}") + "}", label)
    return re.sub(r"\\mid ?", "|", label).replace(r"\tfrac", r"\frac").replace(r"\,\|\,", r"\,\Vert\,")


def need() -> None:
    """What layout and drawing are done by."""
    for name in ("igraph", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(f"a figure needs {name}\n  write: pip install 'ibsym[figures]'")


def layers(scheme: Scheme) -> dict[Node, int]:
    """The longest way to each node; what has no origin stands right before who needs it first."""
    nodes, edges = list(scheme.nodes.values()), [*scheme.flow, *scheme.looks]
    depth = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for start, end in edges:
            depth[end] = max(depth[end], depth[start] + 1)
    for node in reversed(nodes):
        after = [depth[end] for start, end in edges if start is node]
        if after and not any(end is node for _, end in edges):
            depth[node] = min(after) - 1
    rank = {d: i for i, d in enumerate(sorted(set(depth.values())))}
    return {node: rank[d] for node, d in depth.items()}


Item = Node | tuple[int, int]
"""A node, or where an edge, by its number, passes a layer."""


def layout(scheme: Scheme) -> Layout:
    """The nodes in layers, and every edge through the layers between its ends."""
    depth, edges = layers(scheme), [*scheme.flow, *scheme.looks]
    chains: list[list[Item]] = [
        [a, *((i, layer) for layer in range(depth[a] + 1, depth[b])), b] for i, (a, b) in enumerate(edges)
    ]
    where: dict[Item, int] = dict(depth.items())
    where |= {item: item[1] for chain in chains for item in chain if isinstance(item, tuple)}
    cross = spread(ordered(where, chains), chains)
    columns, wide, width = _columns(depth)
    low, high = min(cross.values()), max(cross.values())
    points: dict[Item, Point] = {
        item: (columns[layer], (high - cross[item]) * ROW + HEIGHT / 2) for item, layer in where.items()
    }
    places = {n: Place(*points[n], *size(n)) for n in depth}
    lines = []
    for chain, (a, b) in zip(chains, edges, strict=True):
        level = [(points[i][0] + turn * wide[where[i]] / 2, points[i][1]) for i in chain[1:-1] for turn in (-1, 1)]
        start, end = places[a], places[b]
        leaves = [start.x + start.width / 2, start.x + wide[depth[a]] / 2]  # level as far as its layer's widest node reaches
        enters = [end.x - wide[depth[b]] / 2, end.x - end.width / 2]
        way = [*((x, start.y) for x in leaves), *level, *((x, end.y) for x in enters)]
        lines.append(Line(tuple(dict.fromkeys(way)), (a, b) in scheme.looks))
    return Layout(places, tuple(lines), width, (high - low) * ROW + HEIGHT)


def ordered(where: dict[Item, int], chains: Sequence[Sequence[Item]]) -> list[list[Item]]:
    """The items of each layer in an order with few crossings."""
    import igraph

    items = list(where)
    number = {item: i for i, item in enumerate(items)}
    steps = [(number[a], number[b]) for chain in chains for a, b in itertools.pairwise(chain)]
    graph = igraph.Graph(steps, n=len(items), directed=True)
    found = graph.layout_sugiyama(layers=[where[i] for i in items], maxiter=1000)
    return [
        sorted((i for i in items if where[i] == layer), key=lambda i: found[number[i]][0])
        for layer in range(max(where.values()) + 1)
    ]


def spread(order: Sequence[Sequence[Item]], chains: Sequence[Sequence[Item]]) -> dict[Item, float]:
    """Each item near the middle of its neighbours, in rows, its layer's order kept and no two on one place."""
    neighbours: dict[Item, list[Item]] = {item: [] for layer in order for item in layer}
    for chain in chains:
        for a, b in itertools.pairwise(chain):
            neighbours[a].append(b)
            neighbours[b].append(a)
    at = {item: i - (len(layer) - 1) / 2 for layer in order for i, item in enumerate(layer)}
    for _ in range(40):
        for layer in order:
            wanted = [sum(at[m] for m in neighbours[n]) / len(neighbours[n]) if neighbours[n] else at[n] for n in layer]
            at |= zip(layer, _apart(wanted, [1.0 if isinstance(n, Node) else NARROW for n in layer]), strict=True)
    return at


def _apart(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """The numbers nearest in squares to what is wanted that keep their order and half of each one's room (adjacent violators pooled)."""
    offsets = [0.0]
    for left, right in itertools.pairwise(room):
        offsets.append(offsets[-1] + (left + right) / 2)
    blocks: list[tuple[float, int]] = []
    for value, offset in zip(wanted, offsets, strict=True):
        blocks.append((value - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [((a * m + b * n) / (m + n), m + n)]
    return [v + o for v, o in zip((v for v, count in blocks for _ in range(count)), offsets, strict=True)]


def _columns(depth: dict[Node, int]) -> tuple[list[float], list[float], float]:
    """The middle and the width of each layer, and the width of all."""
    wide = [max(size(n)[0] for n, d in depth.items() if d == layer) for layer in range(max(depth.values()) + 1)]
    middle = [sum(wide[:i]) + COLUMN * i + width / 2 for i, width in enumerate(wide)]
    return middle, wide, sum(wide) + COLUMN * (len(wide) - 1)
