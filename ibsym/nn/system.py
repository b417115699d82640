"""min over the model of the loss, min over each critic of its own, with any networks: a spec as a torch module."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ibsym.errors import NetworkError, SpecError, unknown
from ibsym.estimators import ESTIMATORS
from ibsym.lowering import lower
from ibsym.nn.accumulating import accumulate, accumulate_critic
from ibsym.nn.bank import Bank
from ibsym.nn.batches import Batch, by_source, check_whole, rows_of
from ibsym.nn.callables import held
from ibsym.nn.draws import Draws, ancestors
from ibsym.nn.samples import Rows, Value
from ibsym.nn.scoring import scores_of_rows
from ibsym.nn.sizes import Sizes, dimensions
from ibsym.nn.sizing import learn_sizes
from ibsym.nn.wiring import MODEL, Substitute, Wiring
from ibsym.sources import Source, certificate_of, class_of, spec_of
from ibsym.spec.model import Spec

LOG = logging.getLogger("ibsym")
HIDDEN = 128


class Output(NamedTuple):
    """What the model minimises, and each term's unweighted, detached value, in nats."""

    loss: Tensor
    terms: dict[str, Tensor]


class Drawn(dict[str, Any]):
    """Joint -> variable -> values, and factor -> distribution; a variable's or factor's own name finds the first joint that has it."""

    def __missing__(self, name: str) -> Any:
        for inside in self.values():
            if name in inside:
                return inside[name]
        raise KeyError(name)


class System(nn.Module):
    """The networks of a spec, wired to its emitted loss.

    ``networks`` maps a factor's text to a callable of its conditioners, in the order of the text, which returns the parameters
    of its family: one tensor that is split along its last axis, a tuple, a mapping by role, or a ``torch.distributions``
    object; for ``implicit`` and ``deterministic`` factors the variable itself. A divergence's text maps to its critic, called with
    its variables in the order of the text, which returns ``(B,)``; an information term's to ``(B, B)`` scores or a critic of
    pairs; with ``critic = "inner-product"``, a variable to its embedding, by default the code itself, and the term to its temperature.
    Categorical values are handed over as one number a class, or as class indices where a network takes nothing else.
    What is left out gets a small default network, and a notice says so.

    Sizes are learned from the first batch; ``sizes`` sets some. ``draws`` is the number of Monte-Carlo draws of a row,
    ``hidden`` the width of default networks; further keywords are the spec's parameters.

    >>> import torch, ibsym
    >>> encoder, decoder = torch.nn.Linear(6, 2 * 3), torch.nn.Linear(3, 6)
    >>> spec = ibsym.Spec(name="s", objective="minimize beta*I_q(X;Z) - I_q(Z;X)", variables={"x": "binary[D]", "z": "real[L]"},
    ...     joints={"q": "data(x) q(z|x)", "p": "p(z) p(x|z)"}, parameters={"beta": {"default": 1.0, "min": 0}},
    ...     families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal", "p(x|z)": "bernoulli"})
    >>> system = System(spec, {"q(z|x)": encoder, "p(x|z)": decoder}, beta=2.0)
    >>> out = system({"x": (torch.rand(5, 6) < 0.5).float()})
    >>> sorted(out.terms), len(system.players["model"]), system.sample("p", 4)["z"].shape
    (['E_q[log p(x|z)]', 'KL(q(z|x)||p(z))'], 4, torch.Size([4, 3]))
    """

    def __init__(
        self,
        spec: Source,
        networks: Mapping[str, Callable[..., Any]] | None = None,
        *,
        sizes: Mapping[str, int] | None = None,
        draws: int | None = None,
        hidden: int = HIDDEN,
        group: Any = None,
        **parameters: Any,
    ):
        certificate = certificate_of(spec)
        read, program = spec_of(certificate), lower(certificate)
        for name in parameters:
            if name not in read.parameters:
                raise unknown("parameter", name, read.parameters, key="System")
        options = {} if group is None else {"group": group}
        try:
            loss = class_of(program)(**parameters, **options)
        except (TypeError, ValueError) as error:  # a parameter outside of its interval, a group that is none
            raise NetworkError(f"{read.name}: {error}") from error
        self._set_up(read, loss, sizes or {}, draws, hidden, None)
        self._rows: dict[str, str] = _terms_by_row(program)
        self._adopt(networks or {})

    @classmethod
    def around(
        cls,
        spec: Spec,
        loss: Any,
        networks: Mapping[str, Callable[..., Any]] | None = None,
        *,
        sizes: Mapping[str, int] | None = None,
        draws: int | None = None,
        hidden: int = HIDDEN,
        dtype: torch.dtype = torch.float32,
        substitute: Substitute | None = None,
        notices: bool = False,
    ) -> System:
        """A system around a loss that is there; ``substitute`` takes the place of its forward pass."""
        self = cls.__new__(cls)
        self._set_up(spec, loss, sizes or {}, draws, hidden, substitute)
        self._rows, self.notices = {}, notices
        self.bank.like = self.bank.like.to(dtype)
        self._adopt(networks or {})
        return self

    def _set_up(
        self,
        spec: Spec,
        loss: Any,
        sizes: Mapping[str, int],
        draws: int | None,
        hidden: int,
        substitute: Substitute | None,
    ) -> None:
        nn.Module.__init__(self)
        self.spec, self.loss = spec, loss
        known = dimensions(spec)
        for name, size in sizes.items():
            if name not in known:
                raise unknown("dimension", name, known, key="sizes")
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise SpecError(f"{name} = {size!r} is not a size", key="sizes", remedy="a positive whole number")
        for key, number in (("draws", draws), ("hidden", hidden)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise SpecError(f"{number!r} is none", key=key, remedy="a positive whole number")
        self.sizes = Sizes(spec, dict(sizes), dict.fromkeys(sizes, "sizes"))
        self.bank = Bank(spec, self.sizes, hidden, torch.zeros(()))
        self.wiring = Wiring(spec, loss, self.bank, substitute)
        self.copies = draws or max((ESTIMATORS[e.estimator].copies for e in spec.estimators), default=1)
        self.ready, self.notices, self._told = False, True, False

    def _adopt(self, networks: Any) -> None:
        spec, wiring = self.spec, self.wiring
        if not isinstance(networks, Mapping):
            learned = next((f.text for f in spec.factors.values() if f.learned), "q(z|x)")
            raise NetworkError(f'networks is a {type(networks).__name__}\n  write: {{"{learned}": a network, ...}}')
        factors = {text.replace(" ", ""): f for text, f in spec.factors.items()}
        others = (*wiring.judged, *wiring.scores, *wiring.embedded, *wiring.temperatures)
        places = {**factors, **{n.replace(" ", ""): n for n in others}}
        for text, network in networks.items():
            place = places.get(text.replace(" ", ""))
            if place is None:
                known = [*(f.text for f in spec.factors.values() if f.learned), *others]
                raise unknown("network", text, known, key="networks")
            if not callable(network):
                raise NetworkError(
                    f"{text}: a {type(network).__name__} is not callable\n  write: a torch.nn.Module or a function"
                )
            if isinstance(place, str):
                adopts = {
                    **dict.fromkeys(wiring.judged, self.bank.adopt_critic),
                    **dict.fromkeys(wiring.scores, self.bank.adopt_scores),
                    **dict.fromkeys(wiring.embedded, self.bank.adopt_embedding),
                    **dict.fromkeys(wiring.temperatures, self.bank.adopt_temperature),
                }
                adopts[place](place, network)
            elif not place.learned:
                family = place.family.name if place.family is not None else "a mixture"
                raise NetworkError(f"{place} is {family}, which takes no network\n  write: networks without it")
            else:
                self.bank.adopt(place, network)
            if not held(network):
                LOG.warning("%s: no parameters were found in its network, so nothing of it is trained", text)

    def prepare(self, batch: Batch) -> System:
        """Sizes from a batch, and default networks for what has none; the first call of the system does it too."""
        if not self.ready:
            check_whole(self.spec, batch)
            self._place(batch)
            learn_sizes(self.wiring, batch)
            self._finish()
        return self

    def _place(self, batch: Batch) -> None:
        """Type and device of what is drawn: those of the observed numbers."""
        observed = [t for part in by_source(self.spec, batch).values() for t in part.values() if isinstance(t, Tensor)]
        numbers = [t for t in observed if t.is_floating_point()] or [p for p in self.bank.parameters() if p.is_floating_point()]
        for tensor in numbers[:1]:
            full = torch.float64 if tensor.dtype is torch.float64 else torch.float32
            self.bank.like = torch.zeros((), dtype=full, device=tensor.device)
        if not numbers and observed:
            self.bank.like = self.bank.like.to(observed[0].device)

    def _finish(self) -> None:
        self.wiring.build()
        for text in self.bank.keys:
            if self.notices and not _is_own(self.bank, text):
                count = sum(p.numel() for p in self.bank.parameters_of_network(text))
                if count > 1 or text not in (*self.wiring.embedded, *self.wiring.temperatures):
                    LOG.warning("%s has no network: a small default one with %d numbers", text, count)
        self.ready = True

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Who minimises what: the model's parameters, and each critic's; every parameter is one player's, frozen ones are nobody's."""
        self._complete("system.players")
        return self.wiring.players()

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter; an error where default networks, which sizes decide, are still to be made: an optimiser would miss theirs."""
        self._complete("system.parameters()")
        yield from super().named_parameters(*args, **kwargs)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """No gradients, before the first batch too."""
        for part in self.children():
            part.zero_grad(set_to_none)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._complete("system.load_state_dict(state)")
        super()._load_from_state_dict(*args, **kwargs)

    def _complete(self, asked: str) -> None:
        """Makes default networks where sizes are known; raises where they are not."""
        missing = [] if self.ready else [text for _, text in self.wiring.texts() if text not in self.bank.keys]
        if missing and all(d in self.sizes.known for d in dimensions(self.spec)):
            self._finish()
        elif missing:
            raise NetworkError(
                f"{', '.join(missing)}: default networks are made when sizes are known\n"
                f"  write: system.prepare(batch) before {asked}, or networks for all"
            )

    def adam(self, player: str, lr: float) -> torch.optim.Adam:
        """The usual optimiser of a player; where there are critics, everybody's opponent moves, and old gradients count for less."""
        betas = (0.5, 0.9) if self.wiring.critics else (0.9, 0.999)
        return torch.optim.Adam(self.players[player], lr=lr, betas=betas)

    def forward(self, batch: Batch) -> Output:
        """The model's loss and its terms on a batch; critics take no gradient from it."""
        out = Output(*self.wiring.evaluate(self.drawn(batch)))
        self._watch(out.loss)
        return out

    def critic_losses(self, batch: Batch) -> dict[str, Tensor]:
        """What each critic minimises, on samples that are cut from the model."""
        draws = self.drawn(batch, still=True)
        return {name: self.wiring.critic_loss(name, draws) for name in self.wiring.critics}

    @torch.no_grad()
    def dual_step(self, name: str, draws: Draws, step: float) -> None:
        """One step of a critic's multiplier, where it has one: up by what its rate exceeds the budget."""
        if name in self.bank.through and self.wiring.critic_inputs.get(name):
            rate = self.loss.constraint_value(name, **self.wiring.constraint_inputs(name, draws), **self.wiring.across_ranks())
            self.loss.dual_step(name, float(rate), step)

    def accumulate(self, batches: Sequence[Batch], player: str = MODEL) -> Output:
        """Adds the gradient of the loss on all the batches together, exactly, in the memory of the largest of them.

        Terms that compare rows compare all of them, and what is shuffled is shuffled over all. ``player`` is the model, or the
        critic whose loss it is. Networks must look at each row alone; batch statistics are refused.
        """
        if player not in (MODEL, *self.wiring.critics):
            raise unknown("player", player, (MODEL, *self.wiring.critics), key="accumulate")
        several = list(batches)
        if not several:
            raise NetworkError("no batches to accumulate\n  write: system.accumulate([batch, ...])")
        pieces = [self.rows(batch) for batch in several]
        if player != MODEL:
            return Output(accumulate_critic(self.wiring, player, pieces, self.copies)[0], {})
        return Output(*accumulate(self.wiring, pieces, self.copies))

    def drawn(self, batch: Batch, *, still: bool = False) -> Draws:
        """Draws of every joint from a batch, made as they are asked for."""
        rows = self.rows(batch)
        if self.wiring.group() is None:  # of several processes some may have no rows
            for source, values in rows.items():
                if any(not len(v.code) for v in values.values()):
                    raise NetworkError(
                        f"{self.spec.sources[source]}: the batch has no rows\n  write: a batch of one row or more"
                    )
        return Draws(self.bank, rows, copies=self.copies, still=still)

    def rows(self, batch: Batch) -> dict[str, Rows]:
        """A batch as values by source, held against the spec; every source is there."""
        check_whole(self.spec, batch)
        self.prepare(batch)
        return rows_of(self.spec, batch, self.sizes, self.bank.like)

    @torch.no_grad()
    def sample(self, joint: str, n: int, batch: Batch | None = None) -> dict[str, Tensor]:
        """n ancestral samples of a joint, by variable; a joint that starts from data takes them from a batch."""
        if joint not in self.spec.joints:
            raise unknown("joint", joint, self.spec.joints, key="sample")
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise NetworkError(f"{n!r} samples\n  write: system.sample({joint!r}, 16)")
        graph = self.spec.joints[joint]
        if not graph.rooted:
            raise NetworkError(
                f"{joint} is conditional: it has no law of its own\n  write: a joint whose variables all have factors"
            )
        observed = sorted({str(f) for f in ancestors(self.spec, joint, graph.variables) if f.empirical})
        if observed and batch is None:
            raise NetworkError(f"{joint} starts from {' and '.join(observed)}\n  write: system.sample({joint!r}, {n}, batch)")
        if not self.ready:
            if batch is not None:
                self.prepare(batch)
            else:
                _ = self.players
                self._whole(graph.variables)
        rows = {} if batch is None else rows_of(self.spec, batch, self.sizes, self.bank.like)
        part = {h: {v: x.take(slice(n)) for v, x in values.items()} for h, values in rows.items()}
        draws = Draws(self.bank, part, mode="exact", rows=n)
        return {v: self._shown(v, draws.value(joint, v).take(slice(n))) for v in graph.variables}

    def _whole(self, variables: Sequence[str]) -> None:
        for v in variables:
            if not self.sizes.whole(v):
                raise NetworkError(
                    f"{self.sizes.told(v)}: sizes are learned from the first batch\n  write: system.prepare(batch) first"
                )

    @torch.no_grad()
    def draw(self, batch: Batch) -> Drawn:
        """Every variable under every joint, and every factor's distribution at them: ``draw["q"]["z"]``, ``draw["q"]["p(x|z)"]``."""
        draws = Draws(self.bank, self.rows(batch), mode="exact", copies=self.copies)
        found = Drawn()
        for joint in self.spec.joints.values():
            if not joint.rooted:
                continue
            inside: dict[str, Any] = {}
            for v in joint.variables:
                needed = joint.ancestral_factors((v,))
                if all(not f.learned or f.text in self.bank.factors for f in needed):
                    inside[v] = self._shown(v, draws.value(joint.name, v))
            for text, factor in self.spec.factors.items():
                drawable = factor.evaluated and set(factor.given) <= set(inside)
                if drawable and (not factor.learned or text in self.bank.factors):
                    given = [draws.value(joint.name, v) for v in factor.given]
                    law = draws.law(factor, joint.name)
                    inside[text] = law if law is not None else self.bank.law(factor, given, draws.rows(joint.name))
            found[joint.name] = inside
        return found

    @torch.no_grad()
    def score(self, batch: Batch) -> dict[str, Tensor]:
        """Each term's value row by row, ``(B,)``; terms that compare rows or batches have none and are left out."""
        return scores_of_rows(self.wiring, self.wiring.tensors(self.drawn(batch)), self._rows)

    def _shown(self, variable: str, value: Value) -> Tensor:
        """A value as a user has it: a class as its index, an image as an image."""
        if value.index is not None:
            return value.index
        return value.code.reshape(*value.lead, *self.sizes.view(variable))

    def _watch(self, loss: Tensor) -> None:
        """Says once that gradients of several batches were added up, where that is not the gradient of the whole."""
        coupled = tuple(getattr(self.loss, "BATCH_COUPLED", ()))
        if not coupled or self._told or not loss.requires_grad:
            return

        def told(gradient: Tensor) -> None:
            there = (p.grad for p in self.wiring.players()["model"] if p.grad is not None)
            if not self._told and any(bool(g.any()) for g in there):
                self._told = True
                LOG.warning(
                    "gradients of an earlier batch are added to, and %s compares the rows of a batch: the sum is not the gradient "
                    "of the whole\n  write: system.accumulate([batch, ...])",
                    " and ".join(coupled),
                )

        loss.register_hook(told)


def _is_own(bank: Bank, text: str) -> bool:
    from ibsym.nn.own import Own

    found = bank.factors.get(text) or bank.critics.get(text) or bank.scores.get(text)
    return isinstance(found, Own) or text in bank.given


def _terms_by_row(program: Any) -> dict[str, str]:
    """Each term that is a per-row average, and the batch whose rows they are."""
    found: dict[str, set[str | None]] = {}
    for term in program.terms:
        found.setdefault(term.text, set()).add(term.rows)
    return {text: axes.copy().pop() or "" for text, axes in found.items() if len(axes) == 1 and None not in axes}
