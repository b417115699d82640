"""A batch as a user has it, as values of every source: {"x": images}, or by source {"q": {...}, "u": {...}}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ibsym.errors import NetworkError, nearest
from ibsym.nn.samples import Rows, Value
from ibsym.nn.sizes import Sizes
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec

Batch = Mapping[str, Any]


def by_source(spec: Spec, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """Each source's tensors; a source goes by its own name, or by that of a joint that starts from it."""
    if not isinstance(batch, Mapping):
        raise wrong(f"a {type(batch).__name__}", spec)
    nested = {name: part for name, part in batch.items() if isinstance(part, Mapping)}
    if not nested:
        found = {name: {v: batch[v] for v in source.of if v in batch} for name, source in spec.sources.items()}
        strange = [v for v in batch if not any(v in part for part in found.values())]
        shared = [v for v in batch if sum(v in part for part in found.values()) > 1]
        if strange:
            raise wrong(f"{strange[0]!r}, which no source observes", spec)
        if shared:
            raise wrong(f"one {shared[0]}, which {' and '.join(map(str, spec.sources.values()))} observe", spec)
        return found
    if len(nested) < len(batch):
        raise wrong("variables beside sources", spec)
    found = {}
    for name, part in nested.items():
        heads = [name] if name in spec.sources else []
        if not heads and name in spec.joints:
            heads = [f.head for f in spec.joints[name].factors if f.empirical and f.head in spec.sources]
        if not heads:
            close = nearest(name, spec.sources)
            raise wrong(f"the unknown source {name!r}" + (f", did you mean {close!r}?" if close else ""), spec)
        for head in heads:
            found.setdefault(head, {}).update({v: t for v, t in part.items() if v in spec.sources[head].of})
        strange = [v for v in part if not any(v in spec.sources[h].of for h in heads)]
        if strange:
            raise wrong(
                f"{strange[0]!r} of {name}, which {' and '.join(str(spec.sources[h]) for h in heads)} does not observe", spec
            )
    return found


def wrong(what: str, spec: Spec) -> NetworkError:
    """A batch that has what it should not, and one that would do."""
    return NetworkError(f"the batch has {what}\n  write: {example(spec)}")


def example(spec: Spec) -> str:
    """A batch of the spec's sources, as one writes it."""
    parts = {name: "{" + ", ".join(f'"{v}": ...' for v in source.of) + "}" for name, source in spec.sources.items()}
    if len(parts) == 1:
        return next(iter(parts.values()))
    return "{" + ", ".join(f'"{name}": {part}' for name, part in parts.items()) + "}"


def check_whole(spec: Spec, batch: Batch) -> None:
    """Raises where a batch lacks a source, or a variable of one."""
    found = by_source(spec, batch)
    lacking = [str(f) for name, f in spec.sources.items() if name not in found]
    if lacking:
        raise NetworkError(f"the batch lacks {' and '.join(lacking)}\n  write: {example(spec)}")
    for name, source in spec.sources.items():
        missing = [v for v in source.of if v not in found[name]]
        if missing:
            raise NetworkError(f"{source}: the batch lacks {' and '.join(missing)}\n  write: {example(spec)}")


def rows_of(spec: Spec, batch: Batch, sizes: Sizes, like: Tensor) -> dict[str, Rows]:
    """Every source's values; sizes that were not known are learned. Numbers of classes are not: they come from the networks."""
    found: dict[str, Rows] = {}
    for head, tensors in by_source(spec, batch).items():
        source = spec.sources[head]
        if not tensors:
            continue
        lengths = {v: len(t) if isinstance(t, Tensor) and t.dim() else None for v, t in tensors.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{v} has {n}" for v, n in lengths.items())
            raise NetworkError(f"{source}: rows differ in number: {told}\n  write: as many of each")
        found[head] = {v: value_of(source, v, t, sizes, like) for v, t in tensors.items()}
    return found


def value_of(source: Factor, variable: str, tensor: Any, sizes: Sizes, like: Tensor) -> Value:
    """One observed variable."""
    spec = sizes.spec
    space = spec.variables[variable]
    if isinstance(tensor, Value):
        return tensor
    if not isinstance(tensor, Tensor):
        raise NetworkError(f"{source}: {variable} is a {type(tensor).__name__}\n  write: a torch tensor")
    shape = tuple(tensor.shape)
    if space.kind == "categorical":
        dimension, *event = space.dims
        if (
            tensor.is_floating_point()
            or tensor.dtype is torch.bool
            or not shape
            or not sizes.fit_symbols(variable, shape[1:], "the batch")
        ):
            what = f"{variable} has shape {shape}, {tensor.dtype}, and {sizes.told(variable)}"
            wanted = f"({', '.join(['B', *event])}{'' if event else ','})"
            whose = "symbol" if event else "row"
            raise NetworkError(f"{source}: {what}\n  write: the class of each {whose}, integers of shape {wanted}")
        most, classes = int(tensor.max()) if tensor.numel() else -1, sizes.size(dimension)
        if classes is None:
            raise Unsized(variable, dimension, most + 1)
        if most >= classes or (tensor.numel() and int(tensor.min()) < 0):
            said = f", {sizes.origin[dimension]} said" if dimension in sizes.origin else ""
            raise NetworkError(
                f"{source}: {variable} has class {most if most >= classes else int(tensor.min())}, and {dimension} = {classes}{said}\n"
                f"  write: sizes={{'{dimension}': {max(most + 1, 2)}}}, and networks of that size"
            )
        return Value.of_class(tensor.long(), classes, like.dtype, len(event))
    if not tensor.is_floating_point():
        what = f"{variable} is {tensor.dtype}, and {variable} is {space}"
        raise NetworkError(f"{source}: {what}\n  write: {variable}.float(), scaled as the space asks")
    if not shape or not sizes.fit(variable, shape[1:], "the batch"):
        raise NetworkError(
            f"{source}: {variable} has shape {shape}: {sizes.told(variable)}\n  write: (B, {', '.join(space.dims)})"
        )
    code = tensor.to(like.dtype) if tensor.dtype != like.dtype else tensor
    return Value(code.reshape(shape[0], *sizes.shape(variable)), len(space.dims))


class Unsized(NetworkError):
    """A number of classes that neither a network nor the user has said yet."""

    def __init__(self, variable: str, dimension: str, least: int):
        self.variable, self.dimension, self.least = variable, dimension, least
        super().__init__(f"{variable}: {dimension} is not known\n  write: sizes={{'{dimension}': {least}}}")


def by_variable(spec: Spec, batch: Any) -> Mapping[str, Any]:
    """A batch of a loader by variable: a mapping as it is, a tuple in the order of the source's text; what is beyond it is left."""
    if isinstance(batch, Mapping):
        return batch
    members = [batch] if isinstance(batch, Tensor) else list(batch)
    sources = list(spec.sources.values())
    if len(sources) != 1 or len(members) < len(sources[0].of):
        told = " and ".join(map(str, sources))
        raise NetworkError(f"a tuple of {len(members)} is not a batch of {told}\n  write: a dataset whose items are mappings")
    return dict(zip(sources[0].of, members, strict=False))
