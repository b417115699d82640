"""d loss(whole batch) from pieces: every input is computed by pieces, the loss on all of them, its gradient sent back by pieces.

Exact where networks look at each row alone: the noise of a piece is the same both times (gradient caching, Gao et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ibsym.errors import NetworkError
from ibsym.nn.bank import Bank
from ibsym.nn.callables import frozen
from ibsym.nn.draws import Draws
from ibsym.nn.samples import Rows, Value
from ibsym.nn.wiring import MODEL, Wiring

Pairs = tuple[dict[str, Value], dict[str, Value]]


@dataclass
class Piece:
    """What one piece computed: inputs by name, the values of which all pairs are scored; the random state before."""

    tensors: dict[str, Tensor]
    pairs: dict[str, Pairs]
    state: list[Tensor] = field(default_factory=list)


def refuse_statistics(bank: Bank) -> None:
    """Raises where a network computes with statistics of a batch, which a piece does not have."""
    for text, key in bank.keys.items():
        for name, module in bank.networks[key].named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or not module.track_running_stats):
                where = f" at {name!r}" if name else ""
                raise NetworkError(
                    f"{text}: {type(module).__name__}{where} computes with statistics of a batch, and a piece has others\n"
                    "  write: GroupNorm or LayerNorm, or .eval() of it"
                )


def accumulate(wiring: Wiring, pieces: Sequence[Mapping[str, Rows]], copies: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Adds the gradient of the loss on all pieces together to the model's parameters; the loss and its terms, without gradient."""
    refuse_statistics(wiring.bank)
    critics = [p for player, parameters in wiring.players().items() if player != MODEL for p in parameters]
    with frozen(critics):
        found: list[Piece] = []
        for rows in pieces:
            state = random_state(wiring.bank.like)
            with torch.no_grad():
                found.append(replace(compute(wiring, rows, copies), state=state))
        whole = joined(wiring, found)
        leaves = {id(t): t.requires_grad_() for t in _floats(whole)}
        tensors = dict(whole.tensors)
        for entry in wiring.inputs:
            if entry.role == "scores":
                tensors[entry.name] = wiring.bank.pairs(entry.of, *wiring.with_all(*whole.pairs[entry.name]))
        loss, terms = wiring.loss_of(tensors)
        loss.backward()
        slopes = _gradients(whole)
        assert len(slopes) <= len(leaves) or not leaves
        offsets: dict[str, int] = {}
        for number, (rows, piece) in enumerate(zip(pieces, found, strict=True)):
            with replayed(piece.state, wiring.bank.like):
                again = compute(wiring, rows, copies)
            _send_back(wiring, again, slopes, offsets, first=number == 0)
    return loss.detach(), terms


def compute(wiring: Wiring, rows: Mapping[str, Rows], copies: int) -> Piece:
    """Every input of one piece, all pairs aside."""
    draws = Draws(wiring.bank, rows, copies=copies)
    tensors, pairs = {}, {}
    for entry in wiring.inputs:
        if entry.role == "scores":
            pairs[entry.name] = wiring.pairs(entry, draws)
        else:
            tensors[entry.name] = wiring.input(entry, draws)
    return Piece(tensors, pairs)


def axis(entry: Any, tensor: Tensor) -> int | None:
    """Which axis of an input counts rows."""
    places = [k for k, a in enumerate(entry.shape) if a.split("_")[0] == "B"]
    if not places:
        return None
    return places[0] - (1 if entry.shape[0] == "S" and tensor.dim() < len(entry.shape) else 0)


def joined(wiring: Wiring, pieces: Sequence[Piece]) -> Piece:
    """The pieces' inputs as one batch's, cut from what computed them."""
    tensors: dict[str, Tensor] = {}
    pairs: dict[str, Pairs] = {}
    for entry in wiring.inputs:
        if entry.role == "scores":
            sides = [p.pairs[entry.name] for p in pieces]
            first, second = ({v: _stacked([s[k][v] for s in sides]) for v in sides[0][k]} for k in (0, 1))
            pairs[entry.name] = first, second
            continue
        parts = [p.tensors[entry.name] for p in pieces]
        place = axis(entry, parts[0])
        tensors[entry.name] = (parts[0] if place is None else torch.cat(parts, place)).detach().clone()
    return Piece(tensors, pairs)


def _stacked(values: Sequence[Value]) -> Value:
    index = None if values[0].index is None else torch.cat([v.index for v in values if v.index is not None])
    return Value(torch.cat([v.code for v in values]).detach().clone(), values[0].event, index)


def _floats(piece: Piece) -> Iterator[Tensor]:
    """Everything in a piece that may have a gradient."""
    yield from (t for t in piece.tensors.values() if t.is_floating_point())
    yield from (v.code for sides in piece.pairs.values() for side in sides for v in side.values())


def _gradients(piece: Piece) -> dict[str, Tensor]:
    """The loss's gradient in each of them, by a name."""
    found = {name: t.grad for name, t in piece.tensors.items()}
    for name, sides in piece.pairs.items():
        for k, side in enumerate(sides):
            found |= {f"{name}/{k}/{v}": x.code.grad for v, x in side.items()}
    return {name: slope for name, slope in found.items() if slope is not None}


def _send_back(wiring: Wiring, piece: Piece, slopes: Mapping[str, Tensor], offsets: dict[str, int], *, first: bool) -> None:
    """The gradient of a piece's rows, through the networks that computed them."""
    tensors: list[Tensor] = []
    gradients: list[Tensor] = []

    def add(name: str, tensor: Tensor, place: int | None) -> None:
        start, length = offsets.get(name, 0), 0 if place is None else tensor.shape[place]
        offsets[name] = start + length
        if name in slopes and tensor.requires_grad and (place is not None or first):
            tensors.append(tensor)
            gradients.append(slopes[name] if place is None else slopes[name].narrow(place, start, length))

    for entry in wiring.inputs:
        if entry.role != "scores":
            add(entry.name, piece.tensors[entry.name], axis(entry, piece.tensors[entry.name]))
    for name, sides in piece.pairs.items():
        for k, side in enumerate(sides):
            for v, x in side.items():
                add(f"{name}/{k}/{v}", x.code, 0)
    if tensors:
        torch.autograd.backward(tensors, gradients)


def random_state(like: Tensor) -> list[Tensor]:
    """What the next draws depend on."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(like.device)] if like.is_cuda else [])]


@contextmanager
def replayed(state: Sequence[Tensor], like: Tensor) -> Iterator[None]:
    """Draws as they were at a state; afterwards the state of before."""
    with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
        torch.set_rng_state(state[0])
        if like.is_cuda:
            torch.cuda.set_rng_state(state[1], like.device)
        yield
