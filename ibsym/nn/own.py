"""A user's networks: called with values in the order of the text, their outputs held against the spec."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributions as td

from ibsym.errors import IbsymError, NetworkError
from ibsym.nn.callables import held, parameters
from ibsym.nn.reading import Reading, base_of, shapes
from ibsym.nn.samples import Value
from ibsym.nn.sizes import Sizes
from ibsym.runtime._ibsym_runtime import HALVES
from ibsym.spec.graphs import Factor

Named = Sequence[tuple[str, Value]]


class Refused(NetworkError):
    """A network that raised something when it was called."""

    def __init__(self, text: str, said: str, remedy: str):
        self.said, self.remedy = said, remedy
        super().__init__(f"{text}: {said}\n  write: {remedy}")


def halved(function: Callable[..., Any]) -> torch.dtype | None:
    """The half precision that all numbers of a network are in, or None."""
    kinds = {p.dtype for p in parameters(held(function)) if p.is_floating_point()}
    return kinds.pop() if len(kinds) == 1 and kinds <= {*HALVES} else None


def elsewhere(function: Callable[..., Any], arguments: Sequence[Tensor]) -> str:
    """What to write where a network's numbers are on another device, or of another type, than what it is called with."""
    numbers = [p for p in parameters(held(function)) if p.is_floating_point()]
    seen = [a for a in arguments if a.is_floating_point()]
    for device in {a.device for a in arguments}:
        if away := [p.device for p in numbers if p.device != device]:
            return f"system.to({str(device)!r}), or a batch on {away[0]}: the network's numbers are on {away[0]}, its inputs on {device}"
    for dtype in {a.dtype for a in seen}:
        if other := [p.dtype for p in numbers if p.dtype != dtype]:
            return f"network.to({dtype}), or a batch of {other[0]}: the network's numbers are {other[0]}, its inputs {dtype}"
    return ""


class Own:
    """A callable under the text of what it stands for.

    A categorical value is handed over as its code, one number a class, which may be relaxed; a network that cannot take that
    gets the class's index, which carries no gradient.
    """

    def __init__(self, text: str, function: Callable[..., Any], sizes: Sizes):
        self.text, self.function, self.sizes = text, function, sizes
        self.indices: bool | None = None
        self.pairs: bool | None = None
        self.low: torch.dtype | None = None  # half precision that the network is in

    def call(self, values: Named, lead: tuple[int, ...] | None) -> Any:
        """The callable at the values, whose leading axes become one: those that all share, or each its own."""
        classes = [v for v, x in values if x.index is not None]
        if self.indices is not None or not classes:
            return self._call(values, lead, bool(self.indices))
        try:
            found = self._call(values, lead, indices=False)
            self.indices = False
        except Refused as error:
            try:
                found = self._call(values, lead, indices=True)
            except Refused as second:
                told = f"{error.said}; with class indices, {second.said}"
                raise NetworkError(f"{self.text}: {told}\n  write: {error.remedy}") from second.__cause__
            except NetworkError:
                raise error from error.__cause__
            self.indices = True
        return found

    def _call(self, values: Named, lead: tuple[int, ...] | None, indices: bool) -> Any:
        arguments = [self.argument(v, x, x.lead if lead is None else lead, indices) for v, x in values]
        try:
            return self.function(*arguments)
        except (IbsymError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever a user's code raises
            low = halved(self.function)
            if low is not self.low:  # it takes what it is made of; what it returns is raised again
                self.low = low
                return self._call(values, lead, indices)
            told = ", ".join(f"{v} {tuple(a.shape)}" for (v, _), a in zip(values, arguments, strict=True)) or "nothing"
            why = (str(error).strip().splitlines() or [""])[0]
            spaces = "; ".join(self.sizes.told(v) for v, _ in values)
            remedy = f"a network of ({', '.join(v for v, _ in values)})" + (f": {spaces}" if spaces else "")
            said = f"the network was called with {told}, and raised {type(error).__name__}: {why}"
            raise Refused(self.text, said, elsewhere(self.function, arguments) or remedy) from error

    def argument(self, variable: str, value: Value, lead: tuple[int, ...], indices: bool) -> Tensor:
        """A value as the network takes it: rows first, an image as an image."""
        if indices and value.index is not None:
            if value.code.requires_grad:
                raise NetworkError(
                    f"{self.text}: {variable} is drawn with a gradient, and the network takes class indices\n"
                    f"  write: a network that takes the code of {variable}, one number for each class"
                )
            symbols = value.index.shape[len(value.lead) :]
            return value.index.expand(*lead, *symbols).reshape(-1, *symbols)
        axes = value.code.shape[len(value.lead) :]
        code = value.code.expand(*lead, *axes) if lead != value.lead else value.code
        code = code if self.low is None else code.to(self.low)
        return code.reshape(math.prod(lead), *self.sizes.view(variable))

    def error(self, what: str, remedy: str) -> NetworkError:
        """What is wrong with the network."""
        return NetworkError(f"{self.text}: {what}\n  write: {remedy}")


class OwnFactor(Own):
    """The parameters of a factor's family, from a callable; or a density of the caller's, as a distribution."""

    def __init__(self, factor: Factor, function: Callable[..., Any], sizes: Sizes):
        super().__init__(factor.text, function, sizes)
        self.factor = factor
        self.reading = Reading(factor, sizes)
        self.checked = False

    def named(self, given: Sequence[Value]) -> tuple[list[tuple[str, Value]], tuple[int, ...]]:
        """The conditioners by name, and the leading axes that they share."""
        lead = tuple(torch.broadcast_shapes(*(v.lead for v in given))) if given else ()
        return list(zip(self.factor.given, given, strict=True)), lead

    def __call__(self, given: Sequence[Value]) -> dict[str, Tensor]:
        """Each parameter by its role, at the conditioners' values."""
        values, lead = self.named(given)
        rows = math.prod(lead) if given else None
        found = {n: full(t) for n, t in self.reading.parameters(self.call(values, lead), rows).items()}
        if not self.checked:
            self.reading.check_domains(found)
            self.checked = True
        shared = {r.name for r in self.reading.roles if r.shared}
        return {n: t if n in shared else t.reshape(*lead, *t.shape[1:]) for n, t in found.items()} if given else found

    def density(self, given: Sequence[Value]) -> td.Distribution:
        """The distribution that a network of an external factor returns."""
        values, lead = self.named(given)
        found = self.call(values, lead)
        if not isinstance(found, td.Distribution):
            what = f"the network returns {shapes(found)}, and {self.text} is external"
            raise self.error(what, "a torch.distributions.Distribution, which has log_prob and sample")
        rows = (math.prod(lead),) if given else ()
        axes = tuple((found.batch_shape + found.event_shape)[len(rows) :])
        if type(base_of(found)).__name__ == "Categorical":
            axes = (*axes, found.param_shape[-1])  # type: ignore[attr-defined]
        if tuple(found.batch_shape[: len(rows)]) != rows or not self.sizes.fit(self.reading.variable, axes, self.text):
            told = self.sizes.told(self.reading.variable)
            raise self.error(f"the distribution has shape {(*rows, *axes)}: {told}", "one whose rows come first")
        extra = len(found.batch_shape) - len(rows)
        return td.Independent(found, extra, validate_args=False) if extra > 0 else found


class OwnSampler(Own):
    """A draw of a factor's variables, from a callable: all its noise is its own."""

    def __init__(self, factor: Factor, function: Callable[..., Any], sizes: Sizes):
        super().__init__(factor.text, function, sizes)
        self.factor = factor

    def __call__(self, given: Sequence[Value], rows: int, dtype: torch.dtype) -> dict[str, Value]:
        """A draw of each variable, at the conditioners or so many of them."""
        lead = tuple(torch.broadcast_shapes(*(v.lead for v in given))) if given else (rows,)
        values = list(zip(self.factor.given, given, strict=True))
        out = self.call(values, lead) if given else self.function(rows)
        variables = self.factor.of
        match out:
            case Tensor() if len(variables) == 1:
                parts: Mapping[str, Any] = {variables[0]: out}
            case Mapping() if set(out) == set(variables):
                parts = out
            case list() | tuple() if len(out) == len(variables):
                parts = dict(zip(variables, out, strict=True))
            case _:
                raise self.error(f"the network returns {shapes(out)}", f"draws of {', '.join(variables)}")
        return {v: self.value(v, parts[v], lead) for v in variables}

    def value(self, variable: str, out: Any, lead: tuple[int, ...]) -> Value:
        """One variable's draw, in its shape."""
        rows, spec = math.prod(lead), self.sizes.spec
        if not isinstance(out, Tensor) or not out.is_floating_point():
            raise self.error(f"{variable} is {shapes(out)}", f"draws of {variable} as a tensor of floating point")
        got, axes = tuple(out.shape), tuple(out.shape[1:])
        fits = got[:1] == (rows,)
        if fits and not self.sizes.whole(variable):
            fits = self.sizes.fit(variable, axes, self.text)
        if not fits or axes not in (
            self.sizes.shape(variable),
            self.sizes.view(variable),
            (math.prod(self.sizes.shape(variable)),),
        ):
            expected = f"({rows}, {', '.join(map(str, self.sizes.event(variable)))})".replace("None", "?")
            told = self.sizes.told(variable)
            raise self.error(f"the network returns shape {got}, expected {expected}: {told}", f"{variable} of that shape")
        code = full(out).reshape(*lead, *self.sizes.shape(variable))
        kind, event = spec.variables[variable].kind, len(spec.variables[variable].axes)
        return Value(code, event, code.detach().argmax(-1) if kind == "categorical" else None)


class OwnCritic(Own):
    """A logit a row, of the variables of a divergence in the order of the text."""

    def __call__(self, values: Mapping[str, Value]) -> Tensor:
        """One logit a row."""
        lead = tuple(torch.broadcast_shapes(*(v.lead for v in values.values())))
        out = self.call(list(values.items()), lead)
        rows = math.prod(lead)
        if not isinstance(out, Tensor) or tuple(out.shape) != (rows,):
            one = isinstance(out, Tensor) and tuple(out.shape) == (rows, 1)
            remedy = ".squeeze(-1) of it" if one else "one number a row"
            raise self.error(f"the critic returns {shapes(out)}, expected ({rows},)", remedy)
        return full(out).reshape(lead)


class OwnScores(Own):
    """A number for every pair of a batch: (B, B) at once, or a critic that is asked for all pairs."""

    def __call__(self, first: Mapping[str, Value], second: Mapping[str, Value]) -> Tensor:
        """Entry i, j: the i-th of the first with the j-th of the second."""
        rows, columns = (next(iter(side.values())).lead[0] for side in (first, second))
        if self.pairs is None:  # a number a row, of as many of each
            few = min(rows, columns)
            out = self.call([(v, x.take(slice(few))) for v, x in (*first.items(), *second.items())], None)
            self.pairs = isinstance(out, Tensor) and tuple(out.shape) == (few,)
        if self.pairs:
            order = torch.arange(rows * columns, device=next(iter(first.values())).code.device)
            left = {v: x.take(order // columns) for v, x in first.items()}
            right = {v: x.take(order % columns) for v, x in second.items()}
            out = self.call([*left.items(), *right.items()], None)
            out = out.reshape(rows, columns)
        else:
            out = self.call([*first.items(), *second.items()], None)
        if not isinstance(out, Tensor) or tuple(out.shape) != (rows, columns):
            what = f"the scores are {shapes(out)}, expected ({rows}, {columns})"
            raise self.error(what, "all pairs, rows by the first variable; or one number a pair")
        return full(out)


def full(tensor: Tensor) -> Tensor:
    """Half precision raised: draws and densities need the digits."""
    return tensor.float() if tensor.dtype in HALVES else tensor
