"""x ~ law(role), sizes all different: random inputs of a spec's loss, several sizes, seeds, scales and values of the parameters."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, assert_never

import torch
from torch import Tensor

from ibsym.conformance import constraint_of
from ibsym.families.facts import Constraint

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject

EVENT_SIZES = (3, 7, 4, 9, 8, 10, 11, 13)
BATCH_SIZES = (5, 6, 12, 14)
DRAWS = 2
OTHERS = (17, 19, 15, 16, 21, 22, 23, 25, 26, 27, 29, 31, 33, 34, 35, 37, 38, 39)
DATA_SIZE = 47
EXACT = torch.float64


@dataclass(frozen=True)
class Layout:
    """Which axes the user's tensors have, where the spec leaves a choice."""

    draws: bool = False
    tied: bool = False
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    fixed: tuple[tuple[str, int], ...] = ()
    images: bool = False  # split axes are split in every input, asked for or not

    def __str__(self) -> str:
        said = [*(["a Monte-Carlo axis S"] if self.draws else []), *(["batches of one size"] if self.tied else [])]
        said += [f"{d} as {','.join(axes)}" for d, axes in self.splits] + [f"{d} = {n}" for d, n in self.fixed]
        return "; ".join(said)


@dataclass(frozen=True)
class Setting:
    """Sizes and values of the parameters."""

    sizes: Mapping[str, int]
    parameters: Mapping[str, float]

    def varied(self, name: str, value: float, layout: Layout | None = None) -> Setting:
        """The same but for one size or parameter; where D is read as C,H,W, it follows them."""
        if name in self.sizes:
            return replace(self, sizes=_split({**self.sizes, name: int(value)}, layout or Layout()))
        return replace(self, parameters={**self.parameters, name: value})


@dataclass
class World:
    """Inputs by name in float64, those that carry gradients as leaves; sizes, parameters, and standard-normal noise by shape."""

    setting: Setting
    inputs: dict[str, Tensor]
    leaves: dict[str, Tensor]
    seed: int
    layout: Layout
    dtype: torch.dtype = EXACT
    drawn: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    @property
    def sizes(self) -> Mapping[str, int]:
        """The size of every named axis."""
        return self.setting.sizes

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters' values as numbers."""
        return dict(self.setting.parameters)

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """The standard-normal draw of that shape: one and the same wherever it is asked for."""
        if shape not in self.drawn:
            key = zlib.crc32(repr((self.seed, shape)).encode())
            self.drawn[shape] = torch.randn(shape, generator=torch.Generator().manual_seed(key), dtype=EXACT).to(self.dtype)
        return self.drawn[shape]


def axes(shape: tuple[Any, ...], layout: Layout) -> tuple[str, ...]:
    """The axes of an input as the layout has them: S where draws are asked for."""
    return tuple(str(a) for a in shape if str(a) != "S" or layout.draws)


def length(axis: str, sizes: Mapping[str, int]) -> int:
    """The size of an axis."""
    return int(axis) if axis.isdigit() else sizes[axis]


def dimensions(subject: Subject) -> list[str]:
    """The names of all axes: batches first, then those of events; numbers are none."""
    names = [str(a) for i in subject.inputs for a in i.shape if not str(a).isdigit()]
    for name, space in subject.spec.variables.items():
        if space.kind == "categorical" and any(i.of == name for i in subject.inputs):
            names.append(str(space.dims[0]))
    return list(dict.fromkeys(n for n in names if not n.isdigit()))


def is_batch(axis: str) -> bool:
    """B and the batches of other sources."""
    return axis == "B" or axis.startswith("B_")


def base(subject: Subject, layout: Layout) -> Setting:
    """All sizes different, all parameters inside their intervals at no special value."""
    sizes: dict[str, int] = {}
    events, batches = iter(EVENT_SIZES + OTHERS), iter(BATCH_SIZES + OTHERS)
    fixed = dict(layout.fixed)
    parts = {axis for _, names in layout.splits for axis in names}
    for name in dimensions(subject):
        if name in fixed:
            sizes[name] = fixed[name]
        elif name == "S":
            sizes[name] = DRAWS
        elif is_batch(name):
            sizes[name] = sizes["B"] if layout.tied and "B" in sizes else next(batches)
        elif name not in parts:
            sizes[name] = next(events)
    sizes["N"] = DATA_SIZE
    sizes = _split(sizes, layout)
    values = {p: parameter_values(subject, p)[0] for p in subject.spec.parameters}
    return Setting(sizes, values)


def _split(sizes: dict[str, int], layout: Layout) -> dict[str, int]:
    """With D read as C,H,W: D is their product."""
    shares = iter((2, 3, 4, 5, 2, 3))
    for name, names in layout.splits:
        product = 1
        for axis in names:
            size = int(axis) if axis.isdigit() else sizes.setdefault(axis, next(shares))
            product *= size
        sizes[name] = product
    return sizes


def parameter_values(subject: Subject, name: str) -> list[float]:
    """Three values of a parameter inside its interval."""
    place = zlib.crc32(name.encode()) % 7
    _, low, high = subject.interval(name)
    if high < float("inf") and low > -float("inf"):
        return [low + (high - low) * share for share in (0.37 + place / 100, 0.61 + place / 100, 0.83 + place / 100)]
    start = low if low > -float("inf") else (high - 4 if high < float("inf") else 0.0)
    return [start + share + place / 50 for share in (1.3, 2.2, 3.4)]


def variations(subject: Subject, start: Setting, layout: Layout) -> Iterator[tuple[str, list[float]]]:
    """Each size and parameter that may vary by itself, with two further values."""
    parts = dict(layout.splits)
    fixed = dict(layout.fixed)
    free = iter(OTHERS)
    for name, size in start.sizes.items():
        if name in fixed:
            continue
        if layout.tied and is_batch(name) and name != "B":
            continue
        if name in parts:
            continue
        taken = set(start.sizes.values())
        yield name, [float(n) for n in (next(v for v in free if v not in taken), size + (1 if size + 1 not in taken else 40))]
    for name in subject.spec.parameters:
        yield name, parameter_values(subject, name)[1:]


def draw(
    subject: Subject, setting: Setting, layout: Layout, seed: int, scale: float = 1.0, dtype: torch.dtype = EXACT
) -> World:
    """A world: every input drawn by its role."""
    if layout.tied and "B" in setting.sizes:
        tied = {n: setting.sizes["B"] for n in setting.sizes if is_batch(n)}
        setting = replace(setting, sizes={**setting.sizes, **tied})
    inputs: dict[str, Tensor] = {}
    leaves: dict[str, Tensor] = {}
    for place, entry in enumerate(subject.inputs):
        generator = torch.Generator().manual_seed(100_003 * seed + 7919 * place + 13)
        shape = tuple(length(a, setting.sizes) for a in axes(entry.shape, layout))
        value = _drawn(subject, entry, shape, generator, scale, setting.sizes)
        value = value if value.dtype == torch.int64 else value.to(dtype)
        if value.dtype != torch.int64 and entry.role != "value":
            value = value.requires_grad_()
            leaves[entry.name] = value
        inputs[entry.name] = value
    return World(setting, inputs, leaves, seed, layout, dtype)


def _drawn(
    subject: Subject, entry: Any, shape: tuple[int, ...], generator: torch.Generator, scale: float, sizes: Mapping[str, int]
) -> Tensor:
    normal = torch.randn(shape, generator=generator, dtype=EXACT)
    match entry.role:
        case "value" | "sample" | "sample_reference":
            return _value(subject, entry, normal, generator, scale, sizes)
        case "log_prob":
            return 0.5 * scale * normal - 0.5
        case "logits" | "critic" | "critic_reference" | "scores":
            return 1.3 * scale * normal
        case "temperature":
            return (0.4 * scale * normal).exp()
    constraint = constraint_of(subject.spec, entry)
    match constraint:
        case Constraint.LOGARITHM:
            return 0.6 * scale * normal
        case Constraint.TRIANGULAR:
            eye = torch.eye(shape[-1], dtype=EXACT)
            return torch.tril(0.3 * scale * normal, -1) + eye * (0.3 * scale * normal).exp()
        case Constraint.DIRECTION:
            return torch.nn.functional.normalize(normal, dim=-1)
        case Constraint.POSITIVE:
            return (0.4 * scale * normal).exp()
        case Constraint.REAL:
            return scale * normal
    assert_never(constraint)


def _value(
    subject: Subject, entry: Any, normal: Tensor, generator: torch.Generator, scale: float, sizes: Mapping[str, int]
) -> Tensor:
    space = subject.spec.variables.get(entry.of)
    kind = space.kind if space is not None else "real"
    uniform = torch.rand(normal.shape, generator=generator, dtype=EXACT)
    match kind:
        case "categorical" if entry.role == "value":
            return torch.randint(0, length(str(space.dims[0]), sizes), normal.shape, generator=generator)
        case "binary" if entry.role == "value":
            return (uniform < 0.5).to(EXACT)
        case "binary" | "unit":
            return 0.05 + 0.9 * uniform
        case "categorical" | "simplex":
            return torch.softmax(normal, -1)
        case "count":
            return torch.floor(6 * uniform)
        case "positive":
            return (0.5 * scale * normal).exp()
        case "sphere":
            return torch.nn.functional.normalize(normal, dim=-1)
    return scale * normal
