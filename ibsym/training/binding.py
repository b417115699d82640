"""Which observed variable is what of the data: labels, images, strips of images; the sizes of all dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ibsym.errors import SpecError, unknown
from ibsym.nn.samples import Rows, Value
from ibsym.nn.sizes import DEFAULT_SIZES, default_size, dimensions, shape_of, size_of
from ibsym.spec.model import Spec
from ibsym.spec.spaces import Space
from ibsym.training.data import Images, Split
from ibsym.training.failures import refused

DEFAULT_LABELLED = 100


@dataclass(frozen=True)
class Binding:
    """Each source's rows, to train on and held out; every named dimension's size; image variables' height and width; notes in words."""

    train: dict[str, Rows]
    held_out: dict[str, Rows]
    sizes: dict[str, int]
    views: dict[str, tuple[int, int]]
    notes: tuple[str, ...]


def bind(
    spec: Spec, images: Images, *, sizes: Mapping[str, int], labelled: int | None, seed: int, dtype: torch.dtype
) -> Binding:
    """Bind every source of the spec to the data, or say why that cannot be done."""
    return _Binder(spec, images, dict(sizes), dtype).bind(labelled, seed)


class _Binder:
    def __init__(self, spec: Spec, images: Images, sizes: dict[str, int], dtype: torch.dtype):
        self.spec, self.images, self.sizes, self.dtype = spec, images, sizes, dtype
        self.notes: list[str] = []
        known = dimensions(spec)
        for name, size in sizes.items():
            if name not in known:
                raise unknown("dimension", name, known, key="variables")
            if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= 1_000_000:
                raise SpecError(f"{name} = {size!r} is not a size", key="variables", remedy="a positive whole number")

    def bind(self, labelled: int | None, seed: int) -> Binding:
        spec = self.spec
        if not spec.sources:
            raise SpecError(
                "nothing is observed, so there is nothing to bind the data to", key="joints", remedy="a factor such as data(x)"
            )
        label_source = self.check_sources()
        strips = self.strips()
        self.size_everything(strips)
        with_label, hidden = self.split_labels(label_source, labelled, seed)
        train, held_out = {}, {}
        for name in spec.sources:
            train[name] = self.rows(name, with_label if name == label_source or label_source is None else hidden, strips)
            held_out[name] = self.rows(name, self.images.held_out, strips)
        for variable in dict.fromkeys(v for f in spec.sources.values() for v in f.of):
            self.notes.append(f"{variable} <- {self.what(variable, strips)}")
        views = {v: (self.images.height, last - first) for v, (first, last) in strips.items()}
        return Binding(train, held_out, self.sizes, views, tuple(self.notes))

    def check_sources(self) -> str | None:
        """The one source that sees the label; a variable of a kind that no image or label is, is refused."""
        spec, found = self.spec, []
        for name, source in spec.sources.items():
            classes = [v for v in source.of if is_label(spec, v)]
            if len(classes) > 1:
                raise SpecError(
                    f"{source} observes {' and '.join(classes)}, and the data set has one label for each image",
                    key=f"variables.{classes[1]}",
                    remedy="one categorical observed variable, or data of your own in a training loop of your own",
                )
            found += [name] * len(classes)
            for v in source.of:
                kind = spec.variables[v].kind
                if kind not in ("categorical", *PIXELS):
                    what = f"{v} lives on a {kind} space, and an image does not"
                    raise SpecError(what, key=f"variables.{v}", remedy=" or ".join(PIXELS))
        if len(found) > 1:
            raise SpecError(
                f"{' and '.join(found)} both observe a label",
                key="joints",
                remedy="one labelled source, others with images only",
            )
        return found[0] if found else None

    def strips(self) -> dict[str, tuple[int, int]]:
        """Image variables that are observed together are vertical strips of one image, from left to right: the views of it."""
        spec, width = self.spec, self.images.width
        together: nx.Graph = nx.Graph()
        for source in spec.sources.values():
            views = [v for v in source.of if not is_label(spec, v)]
            together.add_nodes_from(views)
            together.add_edges_from(pairwise(views))
        strips: dict[str, tuple[int, int]] = {}
        for group in nx.connected_components(together):
            ordered = spec.ordered(group)
            if len(ordered) > width // 2:
                remedy = "fewer of them"
                raise SpecError(
                    f"{len(ordered)} views of an image that is {width} pixels wide",
                    key=f"variables.{ordered[-1]}",
                    remedy=remedy,
                )
            edges = [round(i * width / len(ordered)) for i in range(len(ordered) + 1)]
            strips |= dict(zip(ordered, pairwise(edges), strict=True))
        return strips

    def size_everything(self, strips: dict[str, tuple[int, int]]) -> None:
        spec = self.spec
        for variable in (v for f in spec.sources.values() for v in f.of):
            if variable in strips:
                self.size_image(variable, strips[variable][1] - strips[variable][0])
            else:
                self.size_label(variable)
        for space in spec.variables.values():
            for dim in space.dims:
                if not dim.isdigit():
                    self.sizes.setdefault(dim, DEFAULT_SIZES[space.kind])
        for name in dimensions(spec):
            self.sizes.setdefault(name, default_size(self.spec, name))

    def size_label(self, variable: str) -> None:
        (dim,) = self.spec.variables[variable].dims  # a label is one symbol
        if self.images.classes < 2:
            what = f"{variable} is a label, and {self.images.name} has none that tells one image from another"
            raise refused(
                what, option="--data", remedy=f"data with labels 0, 1, ..., or a spec that does not observe {variable}"
            )
        size = int(dim) if dim.isdigit() else self.sizes.setdefault(dim, self.images.classes)
        if size < self.images.classes:
            what = f"{variable} has {size} classes, and {self.images.name} has {self.images.classes}"
            raise SpecError(what, key=f"variables.{variable}", remedy='"categorical[K]": K is read off the data')

    def size_image(self, variable: str, width: int) -> None:
        """D is the number of pixels; H, W and C, H, W are the image's axes; what is set or shared must fit."""
        space, height = self.spec.variables[variable], self.images.height
        if space.kind == "categorical" and not space.dims[0].isdigit():
            self.sizes.setdefault(space.dims[0], LEVELS)
        given = [int(d) if d.isdigit() else self.sizes.get(d) for d in space.event]
        natural = {1: [height * width], 2: [height, width], 3: [1, height, width]}.get(
            len(given), [1] * (len(given) - 2) + [height, width]
        )
        sizes = [n if g is None else g for n, g in zip(natural, given, strict=True)]
        open_places = [i for i, g in enumerate(given) if g is None]
        if len(open_places) == 1:
            rest = math.prod(s for i, s in enumerate(sizes) if i != open_places[0])
            sizes[open_places[0]] = height * width // rest if height * width % rest == 0 else sizes[open_places[0]]
        if math.prod(sizes) != height * width:
            classes = space.dims[: len(space.dims) - len(space.event)]
            shown = Space(space.kind, (*classes, *map(str, sizes)))
            what = f"{variable} is {shown}, {math.prod(sizes)} numbers, and what it is bound to has {height} x {width} pixels"
            raise SpecError(
                what, key=f"variables.{variable}", remedy=f'"{Space(space.kind, (*classes, "D"))}": D is read off the data'
            )
        self.sizes |= {d: s for d, s in zip(space.event, sizes, strict=True) if not d.isdigit()}

    def split_labels(self, label_source: str | None, labelled: int | None, seed: int) -> tuple[Split, Split]:
        """Rows whose label is seen, as even over the classes as can be, and rows whose label is hidden."""
        whole, others = self.images.train, len(self.spec.sources) > 1
        if label_source is None:
            if labelled is not None:
                raise refused(
                    "no source of the spec observes a label",
                    option="--labelled",
                    remedy="leave it out, or data(x,c) with c categorical",
                )
            return whole, whole
        number = labelled if labelled is not None else (min(DEFAULT_LABELLED, len(whole) // 2) if others else len(whole))
        most = len(whole) - 1 if others else len(whole)
        if not 1 < number <= most:
            raise refused(f"{number} labelled images of {len(whole)}", option="--labelled", remedy=f"between 2 and {most}")
        order = np.random.default_rng(seed).permutation(len(whole))
        rank = np.empty(len(whole), dtype=np.int64)
        for label in np.unique(whole.labels):
            rows = order[whole.labels[order] == label]
            rank[rows] = np.arange(len(rows))
        chosen: NDArray[np.int64] = order[np.argsort(rank[order], kind="stable")][:number]
        mask = np.zeros(len(whole), dtype=bool)
        mask[chosen] = True
        if number < len(whole):
            self.notes.append(
                f"{label_source}: {number} labelled images"
                + (f", the label of {len(whole) - number} is hidden" if others else "")
            )
        return Split(whole.images[mask], whole.labels[mask]), Split(whole.images[~mask], whole.labels[~mask])

    def rows(self, source: str, split: Split, strips: dict[str, tuple[int, int]]) -> Rows:
        rows: Rows = {}
        for variable in self.spec.sources[source].of:
            space = self.spec.variables[variable]
            if variable not in strips:
                rows[variable] = Value.of_class(torch.from_numpy(split.labels), size_of(space.dims[0], self.sizes), self.dtype)
                continue
            first, last = strips[variable]
            pixels = torch.from_numpy(np.ascontiguousarray(split.images[:, :, first:last]))
            if space.kind == "categorical":
                *event, levels = shape_of(self.spec, variable, self.sizes)
                index = ((levels - 1) * pixels).round().long().reshape(len(split), *event)
                rows[variable] = Value.of_class(index, levels, self.dtype, len(event))
                continue
            shaped = (
                PIXELS[space.kind][0](pixels).to(self.dtype).reshape(len(split), *shape_of(self.spec, variable, self.sizes))
            )
            rows[variable] = Value(shaped, len(space.dims))
        return rows

    def what(self, variable: str, strips: dict[str, tuple[int, int]]) -> str:
        if variable not in strips:
            return f"the label ({self.images.classes} classes)"
        first, last = strips[variable]
        part = "the image" if (first, last) == (0, self.images.width) else f"columns {first} to {last - 1} of the image"
        space = self.spec.variables[variable]
        if space.kind == "categorical":
            return f"{part}, in {size_of(space.dims[0], self.sizes)} levels of grey"
        how = PIXELS[space.kind][1]
        return f"{part}, {how}"


LEVELS = 16
"""Of grey, where an image is an array of symbols and nothing says how many there are."""


def is_label(spec: Spec, variable: str) -> bool:
    """Whether a variable is one class; an array of symbols is an image."""
    space = spec.variables[variable]
    return space.kind == "categorical" and not space.event


def shares(pixels: Tensor) -> Tensor:
    """What each pixel has of the light of its image."""
    return pixels / pixels.sum((-2, -1), keepdim=True)


PIXELS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "binary": (lambda pixels: (pixels >= 0.5).to(pixels.dtype), "thresholded at 1/2"),
    "unit": (lambda pixels: pixels, "in [0, 1]"),
    "positive": (lambda pixels: pixels + 1 / 256, "in [0, 1], raised by 1/256"),
    "count": (lambda pixels: (16 * pixels).round(), "counted in sixteenths"),
    "simplex": (lambda pixels: shares(pixels + 1 / 256), "as shares of its light"),
    "real": (lambda pixels: 2 * pixels - 1, "scaled to [-1, 1]"),
}
"""How pixels in [0, 1] become values of a space, and how that is said; no other space is bound to an image."""


class Batches:
    """Shuffled batches of every source, without end; an epoch is one pass over the longest of them."""

    def __init__(self, rows: Mapping[str, Rows], batch: int, generator: torch.Generator):
        self.rows, self.generator = rows, generator
        self.lengths = {name: len(next(iter(values.values())).code) for name, values in rows.items()}
        self.sizes = {name: min(batch, length) for name, length in self.lengths.items()}
        self.steps = max(length // self.sizes[name] for name, length in self.lengths.items())

    def __iter__(self) -> Iterator[dict[str, Rows]]:
        """One epoch; a shorter source is shuffled anew whenever it runs out."""
        pending: dict[str, Tensor] = {name: torch.empty(0, dtype=torch.long) for name in self.rows}
        for _ in range(self.steps):
            batch: dict[str, Rows] = {}
            for name, values in self.rows.items():
                if len(pending[name]) < self.sizes[name]:
                    pending[name] = torch.randperm(self.lengths[name], generator=self.generator)
                here, pending[name] = pending[name][: self.sizes[name]], pending[name][self.sizes[name] :]
                batch[name] = {v: value.take(here) for v, value in values.items()}
            yield batch
