"""d loss(whole batch) from pieces: every input is computed by pieces, the loss on all of them, its gradient sent back by pieces.

What is shuffled is shuffled over all pieces. Exact where networks look at each row alone: the noise of a piece is the same both
times (gradient caching, Gao et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ibsym.errors import NetworkError
from ibsym.nn.bank import Bank
from ibsym.nn.callables import frozen
from ibsym.nn.classes import as_declared
from ibsym.nn.draws import Draws
from ibsym.nn.randomness import untouched
from ibsym.nn.samples import Rows, Value, stacked
from ibsym.nn.wiring import CRITIC_SIDES, MODEL, Wiring, by_draw

Place = tuple[str, str]
"""A joint, and a variable that is drawn under it."""


@dataclass
class Piece:
    """What one piece computed: inputs by name, the draws of which rows meet those of other pieces; the random state before."""

    tensors: dict[str, Tensor]
    drawn: dict[Place, Value]
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
        tensors = joined(wiring, found)
        drawn = {place: stacked([p.drawn[place] for p in found]).detach() for place in found[0].drawn}
        leaves = {
            **{n: t for n, t in tensors.items() if t.is_floating_point()},
            **{_name(place): x.code for place, x in drawn.items() if not _observed(wiring, place)},
        }
        for leaf in leaves.values():
            leaf.requires_grad_()
        draws = of_whole(wiring, pieces, drawn, copies)
        for entry in wiring.inputs:
            if wiring.across_rows(entry):
                tensors[entry.name] = met(wiring, entry, draws, len(pieces))
        loss, terms = wiring.loss_of(tensors)
        loss.backward()
        slopes = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        offsets: dict[str, int] = {}
        for number, (rows, piece) in enumerate(zip(pieces, found, strict=True)):
            with replayed(piece.state, wiring.bank.like):
                again = compute(wiring, rows, copies)
            _send_back(wiring, again, slopes, offsets, first=number == 0)
    return loss.detach(), terms


def accumulate_critic(wiring: Wiring, name: str, pieces: Sequence[Mapping[str, Rows]], copies: int) -> tuple[Tensor, Draws]:
    """Adds the gradient of a critic's loss on all pieces together to its parameters; the loss, without gradient, and its draws."""
    refuse_statistics(wiring.bank)
    places = [place for role in CRITIC_SIDES for place in wiring.behind_side(name, role)] if name in wiring.judged else []
    found = [_drawn(Draws(wiring.bank, rows, copies=copies, still=True), places) for rows in pieces]
    drawn = {place: stacked([one[place] for one in found]) for place in found[0]}
    draws = of_whole(wiring, pieces, drawn, copies, still=True)
    seen = wiring.seen_by_critic(name, draws)
    with frozen(wiring.parameters(apart_from=name)):
        sides = [judged(wiring, name, side, draws, len(pieces)) for side in seen]
        loss = wiring.critic_loss_of(name, sides, draws)
        loss.backward()
    return loss.detach(), draws


def of_whole(
    wiring: Wiring, pieces: Sequence[Mapping[str, Rows]], drawn: dict[Place, Value], copies: int, *, still: bool = False
) -> Draws:
    """Draws of all pieces as one batch, of which so much is drawn."""
    batch = {s: {v: stacked([rows[s][v] for rows in pieces]) for v in values} for s, values in pieces[0].items()}
    draws = Draws(wiring.bank, batch, copies=copies, still=still)
    draws.drawn = drawn
    return draws


def met(wiring: Wiring, entry: Any, draws: Draws, parts: int) -> Tensor:
    """An input in which rows of all pieces meet; a critic is asked by pieces, and again when its gradient is taken."""
    if entry.role not in CRITIC_SIDES:
        return wiring.input(entry, draws)
    logits = judged(wiring, entry.of, wiring.side(entry.of, entry.role, draws), draws, parts)
    return as_declared(by_draw(entry, logits, draws.rows(entry.joint)), entry, wiring.spec, wiring.bank.graphs)


def judged(wiring: Wiring, name: str, side: Rows, draws: Draws, parts: int) -> Tensor:
    """The critic's logits of rows, in the memory of one part of them."""
    number = min(len(v.code) for v in side.values())
    length = -(-number // parts)

    def of(start: int) -> Tensor:
        return wiring.bank.judge(name, {v: x.take(slice(start, start + length)) for v, x in side.items()}, draws.mode)

    return torch.cat([checkpoint(of, start, use_reentrant=False) for start in range(0, number, length)])


def compute(wiring: Wiring, rows: Mapping[str, Rows], copies: int) -> Piece:
    """Every input of one piece whose rows are its own, and the draws that the others are made of."""
    draws = Draws(wiring.bank, rows, copies=copies)
    tensors: dict[str, Tensor] = {}
    places: list[Place] = []
    for entry in wiring.inputs:
        if wiring.across_rows(entry):
            places += wiring.behind(entry)
        else:
            tensors[entry.name] = wiring.input(entry, draws)
    return Piece(tensors, _drawn(draws, places))


def _drawn(draws: Draws, places: Sequence[Place]) -> dict[Place, Value]:
    return {place: draws.value(*place) for place in dict.fromkeys(places)}


def _observed(wiring: Wiring, place: Place) -> bool:
    """Whether a draw is a source's row, which has no gradient."""
    joint, variable = place
    return wiring.bank.graphs.factor(joint, variable).empirical


def _name(place: Place) -> str:
    return "/".join(place)


def axis(entry: Any, tensor: Tensor) -> int | None:
    """Which axis of an input counts rows."""
    places = [k for k, a in enumerate(entry.shape) if a.split("_")[0] == "B"]
    if not places:
        return None
    return places[0] - (1 if entry.shape[0] == "S" and tensor.dim() < len(entry.shape) else 0)


def joined(wiring: Wiring, pieces: Sequence[Piece]) -> dict[str, Tensor]:
    """The pieces' inputs as one batch's, cut from what computed them."""
    tensors: dict[str, Tensor] = {}
    for entry in wiring.inputs:
        if entry.name in pieces[0].tensors:
            parts = [p.tensors[entry.name] for p in pieces]
            place = axis(entry, parts[0])
            tensors[entry.name] = (parts[0] if place is None else torch.cat(parts, place)).detach().clone()
    return tensors


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
        if entry.name in piece.tensors:
            add(entry.name, piece.tensors[entry.name], axis(entry, piece.tensors[entry.name]))
    for place, value in piece.drawn.items():
        add(_name(place), value.code, len(value.lead) - 1)
    if tensors:
        torch.autograd.backward(tensors, gradients)


def random_state(like: Tensor) -> list[Tensor]:
    """What the next draws depend on."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(like.device)] if like.is_cuda else [])]


@contextmanager
def replayed(state: Sequence[Tensor], like: Tensor) -> Iterator[None]:
    """Draws as they were at a state; afterwards the state of before."""
    with untouched():
        torch.set_rng_state(state[0])
        if like.is_cuda:
            torch.cuda.set_rng_state(state[1], like.device)
        yield
