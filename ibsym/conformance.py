"""emitted(x) = interpreted(x), and d emitted / dx = finite differences: an emitted loss against what it was emitted from.

Inputs are random, small, in float64, and each of them is a point of the space that its role and its variable call for.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from ibsym.errors import AuditError
from ibsym.families.facts import Constraint
from ibsym.lowering import LossProgram
from ibsym.lowering import interpreter as oracle
from ibsym.lowering.program import Directions, Node, Points, Ref, StopGradient, children
from ibsym.spec.model import Spec
from ibsym.spec.schema import OPTIONS
from ibsym.training.failures import need

need("torch", purpose="checking emitted code", extra="torch")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.autograd.gradcheck import GradcheckError  # noqa: E402

from ibsym.nn.randomness import untouched  # noqa: E402

TOLERANCE = 1e-10
BATCHES = (5, 4, 6, 7)
DIMENSIONS = (3, 2, 4)
DRAWS = 2
STEP = 1e-6
TRIES = 20
ROWS = 60
"""A data set's, above those of any batch here."""


@dataclass(frozen=True)
class Agreement:
    """How often the code was compared, the largest relative error, how many gradients were checked by differences."""

    comparisons: int
    largest_error: float
    gradients: int


def rows_of(spec: Spec) -> set[str]:
    """The parameters that are numbers of rows."""
    return {str(v) for use in spec.estimators for k, v in use.options if OPTIONS[k].kind == "size" and isinstance(v, str)}


def numbers(spec: Spec, rows: int) -> dict[str, float]:
    """A value for every parameter, inside its interval; for those that are numbers of rows, one above ``rows``."""
    found = {name: inside(entry.min, entry.max) for name, entry in spec.parameters.items()}
    return found | {name: rows + inside(0, 1) for name in rows_of(spec)}


class Sizes:
    """Small sizes for the axes of a module, or some times as large ones; different ones for different batches."""

    def __init__(self, times: int = 1) -> None:
        self.known: dict[str, int] = {"S": DRAWS}
        self.times = times

    def __getitem__(self, axis: str) -> int:
        if axis.isdigit():
            return int(axis)
        if axis not in self.known:
            batches = sum(a.split("_")[0] == "B" for a in self.known)
            pool = BATCHES if axis.split("_")[0] == "B" else DIMENSIONS
            place = batches if pool is BATCHES else len(self.known) - batches - 1
            self.known[axis] = pool[place % len(pool)] * self.times
        return self.known[axis]

    def of(self, axes: Iterable[str]) -> tuple[int, ...]:
        """The sizes of several axes."""
        return tuple(self[a] for a in axes)


def agree(spec: Spec, program: LossProgram, loss_class: Any, *, worlds: int = 3, seed: int = 0) -> Agreement:
    """Compare values of every reduction, term and critic with the interpreter's, and gradients with finite differences.

    Raises :class:`~ibsym.errors.AuditError` with the first number that differs.
    """
    largest, comparisons, gradients = 0.0, 0, 0
    with untouched():
        torch.manual_seed(seed)
        for world in range(worlds):
            sizes = Sizes()
            parameters = numbers(spec, ROWS)
            inputs = {i.name: sample(spec, i, sizes, drawn=world != 1) for i in loss_class.INPUTS}
            for name, got, wanted in compared(program, loss_class, parameters, inputs, sizes):
                error = far(got, wanted)
                if not error <= TOLERANCE:
                    raise AuditError(
                        f"{spec.name}: the emitted code's {name} is {got:.12g}, the interpreter's is {wanted:.12g}"
                    )
                largest, comparisons = max(largest, error), comparisons + 1
            for name, got, wanted in critics(spec, program, loss_class, parameters, sizes):
                error = far(got, wanted)
                if not error <= TOLERANCE:
                    raise AuditError(f"{spec.name}: the emitted {name} is {got:.12g}, the interpreter's is {wanted:.12g}")
                largest, comparisons = max(largest, error), comparisons + 1
            gradients += differences(spec, program, loss_class, parameters, inputs, sizes)
    return Agreement(comparisons, largest, gradients)


def launched(spec: Spec, loss_class: Any, device: str) -> list[str]:
    """The precisions in which kernels compute a loss and its gradients on a device; they are compiled for odd sizes and multiples of 16."""
    run = sys.modules[loss_class.__module__]._one_pass()
    loss = loss_class(**numbers(spec, 16 * ROWS))
    taken: dict[str, None] = {}
    for dtype, times in itertools.product((torch.float32, torch.bfloat16, torch.float16), (1, 16)):
        sizes = Sizes(times)
        inputs = {i.name: sample(spec, i, sizes, drawn=True).to(device) for i in loss_class.INPUTS}
        given = {n: t.to(dtype).requires_grad_() if t.is_floating_point() else t for n, t in inputs.items()}
        loss(**given).loss.backward()
        if run is not None and run.known.get("cuda") is not None:
            taken[str(dtype).removeprefix("torch.")] = None
    return list(taken)


def compared(
    program: LossProgram, loss_class: Any, parameters: Mapping[str, float], inputs: Mapping[str, Tensor], sizes: Sizes
) -> Any:
    """Pairs of numbers: the loss under every reduction, every term."""
    arrays = {name: t.numpy() for name, t in inputs.items()}
    directions = projections(program, sizes)
    for reduction in ("mean", "sum", "none"):
        if reduction == "none" and program.rows is None:
            continue
        loss = loss_class(**parameters, reduction=reduction)
        fix(loss, directions)
        values = oracle.evaluate(
            program, arrays, parameters, reduction=reduction, directions={k: t.numpy() for k, t in directions.items()}
        )
        wanted = torch.as_tensor(values.loss).reshape(-1).tolist()
        # A call on the CPU may be the pass of C; the expression is the module's own text, and is compared too.
        for how, output in (("", loss(**inputs)), (" as written", loss.expression(*(inputs[i.name] for i in loss.INPUTS)))):
            got = output.loss.reshape(-1).tolist()
            yield f"number of rows under {reduction!r}{how}", float(len(got)), float(len(wanted))
            yield from ((f"loss under {reduction!r}{how}", a, b) for a, b in zip(got, wanted, strict=True))
            yield from ((f"{text}{how}", float(output.terms[text]), value) for text, value in values.terms.items())


def critics(spec: Spec, program: LossProgram, loss_class: Any, parameters: Mapping[str, float], sizes: Sizes) -> Any:
    """Pairs of numbers: what each critic minimises, and what it is held to."""
    loss = loss_class(**parameters)
    for name in loss.CRITICS:
        sides: tuple[Tensor, ...] = torch.randn(5, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
        entries = loss.CRITIC_INPUTS.get(name, ())
        player = bool(entries) and not any(i.role.startswith("critic") for i in entries)
        sides = () if player else sides
        extra = {
            i.name: sample(spec, i, sizes, drawn=False)
            for i in loss.CRITIC_INPUTS.get(name, ())
            if not i.role.startswith("critic")
        }
        arrays = {k: t.numpy() for k, t in extra.items()}
        left, right = map(Tensor.numpy, sides) if sides else (None, None)
        wanted = oracle.critic_loss(program, name, left, right, arrays, parameters)
        yield f"loss of the critic of {name}", float(loss.critic_loss(name, *sides, **extra)), wanted
        if extra and not player:
            yield (
                f"constraint on {name}",
                float(loss.constraint_value(name, **extra)),
                oracle.constraint_value(program, name, arrays),
            )


def differences(
    spec: Spec,
    program: LossProgram,
    loss_class: Any,
    parameters: Mapping[str, float],
    inputs: Mapping[str, Tensor],
    sizes: Sizes,
) -> int:
    """How many inputs were moved, one coordinate at a time, to find the loss's gradient as autograd does."""
    loss = loss_class(**parameters, reduction="mean")
    fix(loss, projections(program, sizes))
    moving = [i.name for i in loss_class.INPUTS if i.role != "value"]
    if not moving:
        return 0

    def at(*tensors: Tensor) -> Tensor:
        found: Tensor = loss(**{**inputs, **dict(zip(moving, tensors, strict=True))}).loss
        return found

    for _ in range(TRIES):  # where a loss is infinite, as of a batch that lacks a class, there are no differences
        tensors = [inputs[name].clone().requires_grad_(True) for name in moving]
        if at(*tensors).isfinite():
            break
        inputs = {i.name: sample(spec, i, sizes, drawn=True) for i in loss_class.INPUTS}
    else:
        return 0
    if any(stops(step.node) for step in program.steps):
        return one_sided(spec, program, parameters, inputs, (moving, tensors, at(*tensors)))
    for step, tolerance in ((1e-6, 1e-5), (1e-8, 1e-4)):  # near a pole, a difference is the slope only if it is small
        try:
            torch.autograd.gradcheck(at, tensors, eps=step, atol=tolerance, rtol=1e-4)
        except GradcheckError as error:
            why = str(error)
        else:
            return len(moving)
    raise AuditError(f"{spec.name}: a gradient of the emitted code is not what differences say: {why[:300]}")


def stops(node: Node) -> bool:
    """Whether no gradient is taken of a part of a value."""
    return isinstance(node, StopGradient) or any(map(stops, children(node)))


def one_sided(
    spec: Spec,
    program: LossProgram,
    parameters: Mapping[str, float],
    inputs: Mapping[str, Tensor],
    moved: tuple[list[str], list[Tensor], Tensor],
) -> int:
    """Gradients against differences of the interpreter's loss with everything still of which no gradient is taken."""
    names, tensors, loss = moved
    found = torch.autograd.grad(loss, tensors, allow_unused=True)
    arrays = {name: t.numpy() for name, t in inputs.items()}
    for name, tensor, gradient in zip(names, tensors, found, strict=True):
        for place in range(tensor.numel()):
            sides = []
            for shift in (STEP, -STEP):
                moving = arrays[name].copy()
                moving.reshape(-1)[place] += shift
                sides.append(float(oracle.evaluate(program, arrays | {name: moving}, parameters, still=arrays).loss))
            wanted = (sides[0] - sides[1]) / (2 * STEP)
            got = 0.0 if gradient is None else float(gradient.reshape(-1)[place])
            if not abs(got - wanted) <= 1e-5 + 1e-4 * abs(wanted):
                raise AuditError(
                    f"{spec.name}: the gradient of the emitted code in {name} is {got:.6g}, differences say {wanted:.6g}"
                )
    return len(names)


def fix(loss: Any, directions: Mapping[str, Tensor]) -> None:
    """Set the directions of a sliced distance, which are drawn afresh otherwise."""
    if directions:
        loss.directions.update(directions)


def projections(program: LossProgram, sizes: Sizes) -> dict[str, Tensor]:
    """Unit vectors for every sliced distance of a program, the same ones at every call."""
    found: dict[str, Tensor] = {}
    for node in (step.node for step in program.steps):
        if isinstance(node, Directions):
            points = program.steps[node.like.index].node if isinstance(node.like, Ref) else node.like
            assert isinstance(points, Points)
            length = sum(math.prod(sizes.of(operand.axes[len(operand.axes) - event :])) for operand, event in points.operands)
            generator = torch.Generator().manual_seed(len(found))
            drawn = torch.randn(length, node.number, dtype=torch.float64, generator=generator)
            found[node.term] = drawn / drawn.norm(dim=0)
    return found


def inside(low: float | None, high: float | None) -> float:
    """A number inside an interval, no round one."""
    share = 0.1 + 0.8 * float(torch.rand(()))
    if low is None:
        return share + 0.2 if high is None else high - share
    return low + share if high is None else low + share * (high - low)


def sample(spec: Spec, entry: Any, sizes: Sizes, *, drawn: bool) -> Tensor:
    """A random tensor of an input's shape, on its space; without ``drawn`` the Monte-Carlo axis is left out."""
    axes = entry.shape if drawn else tuple(a for a in entry.shape if a != "S")
    shape = sizes.of(axes)
    raw = torch.randn(shape, dtype=torch.float64)
    kind, dims = space_of(spec, entry)
    if entry.of in spec.variables:
        return on_space(raw, kind, entry.role == "value", [sizes[d] for d in dims])
    return in_domain(constraint_of(spec, entry), raw)


def constraint_of(spec: Spec, entry: Any) -> Constraint:
    """The domain of an input: that of its factor's parameter, the real line for logits of critics."""
    if entry.role == "temperature":
        return Constraint.POSITIVE
    factor = spec.factors.get(entry.of)
    known = factor.family.roles if factor is not None and factor.family is not None else ()
    return next((r.constraint for r in known if r.name == entry.role), Constraint.REAL)


def in_domain(constraint: Constraint, raw: Tensor) -> Tensor:
    """Normal numbers as a parameter, at some distance from the edge of its domain."""
    match constraint:
        case Constraint.POSITIVE:
            return raw.abs() + 0.3
        case Constraint.TRIANGULAR:
            return raw.tril(-1) * 0.3 + torch.diag_embed(raw.diagonal(dim1=-2, dim2=-1).abs() + 0.5)
        case Constraint.DIRECTION:
            return torch.nn.functional.normalize(raw, dim=-1)
        case Constraint.REAL | Constraint.LOGARITHM:
            return raw
    assert_never(constraint)


def space_of(spec: Spec, entry: Any) -> tuple[str, tuple[str, ...]]:
    """The kind and the dimensions of the variable that an input belongs to; real for those of a divergence."""
    if entry.of in spec.variables:
        space = spec.variables[entry.of]
        return space.kind, space.axes
    if entry.of in spec.factors:
        space = spec.variables[spec.factors[entry.of].of[0]]
        return space.kind, space.axes
    return "real", ()


def on_space(raw: Tensor, kind: str, observed: bool, dims: list[int]) -> Tensor:
    """Normal numbers as points of a space; relaxed ones where a gradient flows."""
    match kind:
        case "categorical" if observed:
            return (raw.abs() * 10).long() % dims[-1]
        case "categorical" | "simplex":
            return raw.softmax(-1)
        case "count" if observed:
            return (3 * raw.abs()).floor()
        case "positive" | "count":
            return raw.abs() + 0.05
        case "binary" if observed:
            return (raw > 0).to(raw.dtype)
        case "unit" | "binary":
            return 0.05 + 0.9 * raw.sigmoid()
        case "sphere":
            return torch.nn.functional.normalize(raw, dim=-1)
    return raw


def far(a: float, b: float) -> float:
    """The relative distance, absolute below one."""
    return 0.0 if a == b else abs(a - b) / max(1.0, abs(b))
