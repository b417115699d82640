"""inputs -> scalar: a user's callable, whatever its signature and what it returns, called at a world."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ibsym.diagnosis.arithmetic import Evaluator, Formula, known, read
from ibsym.diagnosis.failures import DiagnosisError
from ibsym.diagnosis.guessing import guesses
from ibsym.diagnosis.subject import gradients
from ibsym.diagnosis.worlds import World

if TYPE_CHECKING:
    from ibsym.diagnosis.subject import Subject

TOTALS = ("loss", "total", "total_loss", "objective", "loss_total", "neg_elbo", "train_loss", "overall")
OPTIMISERS = ("optimizer", "optimiser", "opt", "optim", "scheduler", "scaler")
COUNTERS = ("batch_idx", "batch_index", "step", "epoch", "global_step", "iteration", "it", "i", "idx")


class Stub:
    """An optimiser that does nothing, for functions that take a step."""

    param_groups: tuple[dict[str, float], ...] = ({"lr": 1.0},)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **_: args[0] if args else None


class Noise(TorchFunctionMode):
    """Standard-normal draws inside a function are the world's own, so that they are known outside."""

    def __init__(self, world: World):
        super().__init__()
        self.world = world

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn_like:
            return self.world.noise(tuple(args[0].shape))
        if func is torch.randn and args:
            shape = args[0] if isinstance(args[0], tuple | list | torch.Size) else args
            return self.world.noise(tuple(shape))
        if func is torch.normal and len(args) == 2 and all(isinstance(a, Tensor) for a in args):
            return args[0] + args[1] * self.world.noise(tuple(torch.broadcast_shapes(args[0].shape, args[1].shape)))
        if func is Tensor.normal_ and len(args) == 1 and not kwargs:
            with torch.no_grad():
                return args[0].copy_(self.world.noise(tuple(args[0].shape)))
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Called:
    """A function with a formula for each of its arguments; those left out keep their defaults."""

    function: Callable[..., Any]
    subject: Subject
    formulas: tuple[Formula, ...]
    constants: tuple[tuple[str, Any], ...] = ()
    output: str | None = None

    def value(self, world: World, *, noise: bool = True, shake: int = 0) -> Tensor:
        """The scalar that the function returns, or the mean of what it returns a row."""
        arguments = {f.argument: Evaluator(self.subject, world, f).value() for f in self.formulas}
        star = arguments.pop("args", None) if self.starred else None
        arguments |= dict(self.constants)
        for leaf in world.leaves.values():
            leaf.grad = None
        torch.default_generator.manual_seed(world.seed + 1 + shake)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            positional = [arguments.pop(n) for n in self._positional(star is not None) if n in arguments]
            positional += list(star) if isinstance(star, tuple | list) else [] if star is None else [star]
            if noise:
                with Noise(world):
                    returned = self.function(*positional, **arguments)
            else:
                returned = self.function(*positional, **arguments)
        return scalar(returned, self.output)

    @property
    def starred(self) -> bool:
        """Whether the function takes ``*args``, given as a tuple under the name ``args``."""
        return takes_more(self.function)

    def _positional(self, everything: bool) -> list[str]:
        names = []
        for p in signature(self.function):
            if p.kind is inspect.Parameter.KEYWORD_ONLY or not (everything or p.kind is inspect.Parameter.POSITIONAL_ONLY):
                break
            names.append(p.name)
        return names

    def gradients(self, world: World, value: Tensor) -> list[Tensor]:
        """d value / d leaf; where the function called ``backward`` itself, what it left in the leaves."""
        leaves = list(world.leaves.values())
        if any(leaf.grad is not None for leaf in leaves):
            left = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            for leaf in leaves:
                leaf.grad = None
            return left
        return gradients(value, leaves)


def signature(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The arguments of a callable that can be given by name."""
    target = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        found = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        raise DiagnosisError(
            "the function has no signature that Python can read\n  write: a def or a lambda that calls it, with named arguments"
        ) from None
    return [p for p in found if p.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)]


def takes_more(function: Callable[..., Any]) -> bool:
    """Whether the function takes ``*args``."""
    target = function.forward if isinstance(function, torch.nn.Module) else function
    return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in inspect.signature(target).parameters.values())


def takes_any(function: Callable[..., Any]) -> bool:
    """Whether the function takes arguments by any name."""
    target = function.forward if isinstance(function, torch.nn.Module) else function
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(target).parameters.values())


def scalar(returned: Any, output: str | None) -> Tensor:
    """The loss in what a function returns: a tensor, a tuple, a mapping, an object with an attribute ``loss``."""
    if output is not None:
        returned = _chosen(returned, output)
    elif isinstance(returned, Mapping):
        name = next((n for n in TOTALS if n in returned), None)
        if name is None:
            tensors = [n for n, v in returned.items() if isinstance(v, Tensor | float)]
            if len(tensors) != 1:
                raise DiagnosisError(
                    f"the function returns {', '.join(map(repr, returned))}\n  write: output={tensors[:1]}, or 'sum'"
                )
            name = tensors[0]
        returned = returned[name]
    elif hasattr(returned, "loss") and not isinstance(returned, Tensor):
        returned = returned.loss
    elif isinstance(returned, tuple | list):
        names = getattr(returned, "_fields", ())
        name = next((n for n in TOTALS if n in names), None)
        returned = getattr(returned, name) if name else (returned[0] if returned else None)
    if isinstance(returned, int | float):
        returned = torch.tensor(float(returned), dtype=torch.float64)
    if not isinstance(returned, Tensor) or not returned.is_floating_point():
        raise DiagnosisError(f"the function returns {type(returned).__name__}, no loss\n  write: return the scalar tensor")
    return returned if returned.dim() == 0 else returned.mean()


def _chosen(returned: Any, output: str) -> Any:
    if output == "sum":
        values = returned.values() if isinstance(returned, Mapping) else returned
        return sum(values)
    try:
        if isinstance(returned, Mapping):
            return returned[output]
        return returned[int(output)] if output.lstrip("-").isdigit() else getattr(returned, output)
    except (KeyError, IndexError, AttributeError, TypeError):
        names = ", ".join(map(repr, returned)) if isinstance(returned, Mapping) else type(returned).__name__
        raise DiagnosisError(f"the function returns no {output!r}\n  write: one of {names}") from None


def readings(
    function: Callable[..., Any], subject: Subject, inputs: Mapping[str, Any], output: str | None = None
) -> list[Called]:
    """The ways in which the function's arguments may be the spec's inputs; several where a name leaves a choice.

    Raises an error that names the argument and the line to write where a name says nothing.
    """
    parameters = signature(function)
    names = [p.name for p in parameters]
    for name in inputs:
        if name not in names and not takes_any(function) and not (name == "args" and takes_more(function)):
            raise DiagnosisError(f"the function takes no argument {name!r}\n  write: one of {', '.join(names) or 'none'}")
    choices: list[dict[str, Formula]] = [{}]
    constants: dict[str, Any] = {}
    missing: list[str] = []
    for name in dict.fromkeys([*names, *inputs]):
        parameter = next((p for p in parameters if p.name == name), None)
        default = parameter is not None and parameter.default is not inspect.Parameter.empty
        given = inputs.get(name)
        if given is not None and not isinstance(given, str):
            constants[name] = given
            continue
        texts = [given] if given is not None else guesses(subject, name)
        if given is None and default and not _worth(parameter, texts, subject):
            continue
        if given is None and name in OPTIMISERS:
            constants[name] = Stub()
            continue
        if given is None and name in COUNTERS and not texts:
            constants[name] = 0
            continue
        formulas = [read(name, text, subject) for text in texts]
        if not formulas:
            missing.append(name)
        elif formulas[0].constant:
            if not default:
                raise DiagnosisError(
                    f"argument {name!r} has no default to keep\n  write: inputs={{{name!r}: ...}} with a value"
                )
        else:
            choices = [{**c, name: f} for c in choices for f in formulas]
    if missing:
        lines = ", ".join(f'"{n}": "..."' for n in missing)
        flags = " ".join(f"--input {n}=..." for n in missing)
        raise DiagnosisError(
            f"what is {', '.join(map(repr, missing))}? The name says nothing unambiguous\n"
            f"  write: inputs={{{lines}}} (on the command line {flags})\n  with one of {known(subject)}, or arithmetic in them"
        )
    return [Called(function, subject, tuple(c.values()), tuple(constants.items()), output) for c in choices[:16]]


def _worth(parameter: inspect.Parameter | None, texts: list[str], subject: Subject) -> bool:
    """Whether a guess for an argument with a default is one to act on: a parameter of that name, or an input in place of None."""
    assert parameter is not None
    named = parameter.name in subject.spec.parameters or parameter.name == "N"
    return len(texts) == 1 and (named or parameter.default is None)
