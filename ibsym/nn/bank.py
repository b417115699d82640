"""The networks of a spec, the user's and the default ones, by the text of what they stand for; draws and densities of its factors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ibsym.derivation.critics import sides
from ibsym.errors import EmissionError, NetworkError
from ibsym.lowering.naming import unused
from ibsym.nn.callables import held
from ibsym.nn.distributions import Law, LawOf, Mode, draw
from ibsym.nn.graphs import drawable
from ibsym.nn.networks import EMBEDDING, Critic, Embedding, FactorNetwork, Generator, Scores, Temperature, width
from ibsym.nn.own import OwnCritic, OwnFactor, OwnSampler, OwnScores, full
from ibsym.nn.quantised import Quantised, as_vectors
from ibsym.nn.samples import Value
from ibsym.nn.sizes import Sizes, quantised
from ibsym.spec.grammar import QuantitySyntax, parse
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density, MutualInformation, Term
from ibsym.terms.reading import Reader


def quantity(text: str) -> QuantitySyntax:
    """A term's text, read."""
    found = parse(text, "quantity")
    assert isinstance(found, QuantitySyntax)
    return found


def named(spec: Spec, name: str) -> Term:
    """The term of this text."""
    return Reader(spec, "estimators").term(quantity(name))


def compared(spec: Spec, name: str) -> tuple[Density, tuple[Density, ...]]:
    """What a critic compares: a divergence's arguments; of an information, the joint density and the product of its marginals."""
    return sides(spec, named(spec, name))


def scope(spec: Spec, name: str) -> tuple[str, ...]:
    """The variables that a critic sees, in the order of declaration."""
    first, second = compared(spec, name)
    return spec.ordered({v for d in (first, *second) for v in d.scope})


def in_order_of_text(spec: Spec, name: str) -> tuple[str, ...]:
    """The variables that a critic sees, in the order in which its divergence's text names them.

    >>> from ibsym.spec.loading import loads
    >>> lines = ('name = "s"', 'objective = "minimize JS(q(z,x)||p(x,z))"', '[variables]', 'x = "real[D]"', 'z = "real[L]"',
    ...     '[joints]', 'q = "data(x) q(z|x)"', 'p = "p(z) p(x|z)"', '[families]', '"q(z|x)" = "implicit"', '"p(x|z)" = "implicit"',
    ...     '"p(z)" = "standard-normal"')
    >>> in_order_of_text(loads(chr(10).join(lines)), "JS(q(z,x)||p(x,z))")
    ('z', 'x')
    """
    syntax, seen = quantity(name), scope(spec, name)
    if syntax.first is not None:
        written = [v for d in (syntax.first, *syntax.second) for v in (*d.of, *d.given)]
    else:
        written = [spec.resolve(v, "objective", capital=True) for g in (*syntax.groups, syntax.given) for v in g]
    return tuple(dict.fromkeys(v for v in (*written, *seen) if v in seen))


def safe(text: str) -> str:
    """A text as a key and as a file's name.

    >>> safe("KL(q(z|x)||p(z))"), safe("E_q[log p(x|z)]")
    ('KL_q_z_given_x_to_p_z', 'E_q_log_p_x_given_z')
    """
    return re.sub(r"[\W_]+", "_", text.replace("||", "_to_").replace("|", "_given_"), flags=re.ASCII).strip("_")


def safe_names(texts: Iterable[str]) -> dict[str, str]:
    """A key for each text; texts that differ have keys that differ.

    >>> safe_names(["q(a,b)", "q(a_b)"])
    {'q(a,b)': 'q_a_b', 'q(a_b)': 'q_a_b_2'}
    """
    found: dict[str, str] = {}
    for text in texts:
        found[text] = unused(safe(text), found.values())
    return found


@dataclass(frozen=True)
class Comparison:
    """What a critic is of, read off its name once: its term, the divergence's arguments, the variables as declared and as written.

    ``in_order`` is the second argument's densities with their places, a conditional after what it is given.
    """

    term: Term
    first: Density
    second: tuple[Density, ...]
    scope: tuple[str, ...]
    written: tuple[str, ...]
    in_order: tuple[tuple[int, Density], ...]

    @staticmethod
    def of(spec: Spec, name: str) -> Comparison:
        """The comparison of this text."""
        first, second = compared(spec, name)
        return Comparison(
            named(spec, name), first, second, scope(spec, name), in_order_of_text(spec, name), tuple(_conditionals_last(second))
        )

    def behind_second(self, spec: Spec, joint: str) -> list[tuple[str, str]]:
        """The draws of single joints, as joint and variable, that draws of the second argument are put together from."""
        if isinstance(self.term, MutualInformation) and self.term.given:
            return [(self.term.joint, v) for g in (*self.term.groups, self.term.given) for v in g]
        drawn = {v for d in self.second for v in d.of}
        factors = [spec.factors[str(d)] for d in self.second if d.given and str(d) in spec.factors]
        beside = [v for v in (*self.scope, *(v for f in factors for v in f.given)) if v not in drawn]
        return [(d.head, v) for d in self.second if not d.given for v in d.of] + [(joint, v) for v in beside]


def _conditionals_last(densities: Sequence[Density]) -> Iterator[tuple[int, Density]]:
    """Each density with its place, a conditional after what it is given."""
    pending = list(enumerate(densities))
    while pending:
        drawn = {v for _, d in pending for v in d.of}
        one = next((p for p in pending if not drawn & {*p[1].given}), pending[0])
        pending.remove(one)
        yield one


def laws_of(spec: Spec) -> dict[str, LawOf]:
    """The law of every factor that has a family."""
    return {text: LawOf(f.family, spec.variables[f.of[0]].kind) for text, f in spec.factors.items() if f.family}


class Bank(nn.Module):
    """Networks by the factor's, the divergence's or the information term's text."""

    like: Tensor

    def __init__(self, spec: Spec, sizes: Sizes, hidden: int, like: Tensor):
        super().__init__()
        self.spec, self.sizes, self.hidden = spec, sizes, hidden
        self.register_buffer("like", like, persistent=False)
        self.group: Callable[[], Any] = lambda: None
        """The processes that a batch is spread over, whose rows a product's parts come from."""
        self.networks = nn.ModuleDict()
        self.factors: dict[str, FactorNetwork | Generator | OwnFactor | OwnSampler] = {}
        self.critics: dict[str, Critic | OwnCritic] = {}
        self.scores: dict[str, Scores | OwnScores] = {}
        self.embeddings: dict[str, Callable[[Tensor], Tensor]] = {}
        self.temperatures: dict[str, Callable[[], Tensor]] = {}
        self.given: set[str] = set()
        self.keys: dict[str, str] = {}
        self.codebooks: dict[str, Tensor] = {}
        self.quantised = {v: quantised(spec, v) for v in spec.variables}
        self.through = {c.key: c.through for c in spec.critics}
        self.laws, self.graphs = laws_of(spec), drawable(spec)
        self.observed_above = {
            (j.name, v): any(f.empirical for f in j.ancestral_factors((v,)))
            for j in self.graphs.joints.values()
            for v in j.by_variable
        }
        """Whether a draw of a variable under a joint starts from data."""
        self.comparisons: dict[str, Comparison] = {}
        self.pairings: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or another process needs: not laws and graphs, which are made of the spec, nor what networks returned last."""
        return {**self.__dict__, "laws": {}, "graphs": None, "codebooks": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.laws, self.graphs = laws_of(self.spec), drawable(self.spec)

    @property
    def made(self) -> list[str]:
        """What has a network."""
        return [*self.factors, *self.critics, *self.scores, *self.embeddings, *self.temperatures]

    def keep(self, text: str, network: Callable[..., Any]) -> None:
        """Registers what a network learns, so that it is saved and moved with the system."""
        key = self.keys[text] = unused(safe(text), self.networks)
        if isinstance(network, nn.Module):
            self.networks[key] = network
            return
        parts = held(network)
        holder = nn.Module()
        for k, part in enumerate(parts):
            if isinstance(part, nn.Module):
                holder.add_module(str(k), part)
            else:
                holder.register_parameter(str(k), part)
        self.networks[key] = holder

    def parameters_of_network(self, text: str) -> list[nn.Parameter]:
        """What is learned under a text."""
        return list(self.networks[self.keys[text]].parameters())

    def adopt(self, factor: Factor, network: Callable[..., Any]) -> None:
        """A user's network for a factor."""
        assert factor.family is not None
        kind = OwnSampler if factor.family.sampler else OwnFactor
        self.factors[factor.text] = kind(factor, network, self.sizes)
        self.keep(factor.text, network)

    def adopt_critic(self, name: str, network: Callable[..., Any]) -> None:
        """A user's critic."""
        self.critics[name] = OwnCritic(name, network, self.sizes)
        self.keep(name, network)

    def adopt_scores(self, term: str, network: Callable[..., Any]) -> None:
        """A user's table of all pairs."""
        self.scores[term] = OwnScores(term, network, self.sizes)
        self.keep(term, network)

    def adopt_embedding(self, variable: str, network: Callable[..., Any]) -> None:
        """A user's embedding of a variable, whose inner products are taken."""
        self.embeddings[variable] = network
        self.given.add(variable)
        self.keep(variable, network)

    def adopt_temperature(self, term: str, number: Callable[..., Any]) -> None:
        """A user's temperature, a function of nothing."""
        self.temperatures[term] = number
        self.given.add(term)
        self.keep(term, number)

    def add_factor(self, factor: Factor) -> None:
        """A default network for a factor."""
        if factor.text in self.factors or not factor.learned:
            return
        assert factor.family is not None
        sizes = self.sizes.known
        if factor.family.outside:
            raise NetworkError(
                f"{factor} is external: its density is yours, and it has no network\n"
                f'  write: {{"{factor}": a network that returns a torch.distributions.Distribution}}'
            )
        if factor.family.sampler:
            noise = not factor.family.roles and not self.random_above(factor)
            made: FactorNetwork | Generator = Generator(self.spec, factor, sizes, self.hidden, noise=noise)
        else:
            made = FactorNetwork(self.spec, factor, sizes, self.hidden)
        self.factors[factor.text] = made.to(self.like)
        self.keep(factor.text, made)

    def random_above(self, factor: Factor) -> bool:
        """Whether a conditioner is drawn in the factor's own joint, so that the factor needs no noise of its own."""
        joints = [j for j in self.spec.joints.values() if factor in j.factors]
        return any(
            not f.empirical and f.family is not None for j in joints for f in j.ancestral_factors(factor.given) if f != factor
        )

    def comparison(self, name: str) -> Comparison:
        """What the critic of this text compares."""
        if name not in self.comparisons:
            self.comparisons[name] = Comparison.of(self.spec, name)
        return self.comparisons[name]

    def seen_by(self, name: str) -> tuple[str, ...]:
        """What a critic's network is called with, in the order of the text; what goes through a factor comes out of it."""
        written = self.comparison(name).written
        if name not in self.through:
            return written
        through = self.through[name]
        found: list[str] = []
        for v in written:
            found += [v] if v not in through.given else through.of
        return tuple(dict.fromkeys(found))

    def add_critic(self, name: str) -> None:
        """A default critic."""
        if name not in self.critics:
            made = Critic(width(self.spec, self.seen_by(name), self.sizes.known), self.hidden).to(self.like)
            self.critics[name] = made
            self.keep(name, made)

    def add_scores(self, term: str) -> None:
        """A default network for all pairs of a batch."""
        if term not in self.scores:
            first, second = (width(self.spec, g, self.sizes.known) for g in self.groups(term))
            made = Scores(first, second, self.hidden).to(self.like)
            self.scores[term] = made
            self.keep(term, made)

    def add_embedding(self, variable: str, others: Iterable[str]) -> None:
        """The code itself, where those that it is multiplied with are as wide, else a default network for it."""
        if variable not in self.embeddings:
            widths = {width(self.spec, (v,), self.sizes.known) for v in (variable, *others)}
            own = width(self.spec, (variable,), self.sizes.known)
            made = Embedding(own, None if len(widths) == 1 else EMBEDDING, self.hidden).to(self.like)
            self.embeddings[variable] = made
            self.keep(variable, made)

    def add_temperature(self, term: str) -> None:
        """A temperature that is learned: for unit vectors as CLIP's starts, else where inner products of normal numbers are of order 1."""
        if term not in self.temperatures:
            (first,), (second,) = self.groups(term)
            same = next((t for t in self.temperatures if {*self.groups(t)} == {(first,), (second,)}), None)
            sphere = self.spec.variables[first].kind == self.spec.variables[second].kind == "sphere"
            start = 0.07 if sphere else math.sqrt(width(self.spec, (first,), self.sizes.known))
            made = self.temperatures[same] if same is not None else Temperature(start).to(self.like)
            self.temperatures[term] = made
            self.keep(term, made)

    def groups(self, term: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The two arguments of an information term, in the order of their writing."""
        if term not in self.pairings:
            syntax = quantity(term)
            if syntax.kind != "I" or len(syntax.groups) != 2 or syntax.given:
                raise EmissionError(f"{term}: scores of all pairs need an information of two arguments, without a condition")
            first, second = (tuple(self.spec.resolve(v, "objective", capital=True) for v in g) for g in syntax.groups)
            self.pairings[term] = first, second
        return self.pairings[term]

    def law(self, factor: Factor, given: Sequence[Value], rows: int, parameters: Mapping[str, Tensor] | None = None) -> Law:
        """The factor's distribution at its conditioners' values."""
        assert factor.family is not None
        (variable,) = factor.of
        if factor.family.outside:
            network = self.network(factor)
            assert isinstance(network, OwnFactor)
            return network.density(given)
        if parameters is None:
            parameters = self.parameters_of(factor, given) if factor.learned else {}
        lead = tuple(torch.broadcast_shapes(*(v.lead for v in given))) if given else (rows,)
        if factor.text not in self.laws:  # of a variable under another name, inside a mixture
            self.laws[factor.text] = LawOf(factor.family, self.spec.variables[variable].kind)
        return self.laws[factor.text](self.sizes.shape(variable), parameters, lead, self.like)

    def network(self, factor: Factor) -> Any:
        """The factor's network."""
        if factor.text not in self.factors:
            raise EmissionError(f"{factor} is not in the loss, so nothing trains it\n  write: networks={{'{factor}': ...}}")
        return self.factors[factor.text]

    def unreachable(self, factor: Factor) -> EmissionError:
        """A factor whose conditioners no joint can draw."""
        given = ", ".join(factor.given)
        return EmissionError(f"{factor}: no joint draws {given} from what is observed\n  write: a joint that generates {given}")

    def parameters_of(self, factor: Factor, given: Sequence[Value]) -> dict[str, Tensor]:
        """The factor's parameters at its conditioners' values, by role."""
        found = {name: full(tensor) for name, tensor in self.network(factor)(list(given)).items()}
        if "codebook" in found:
            self.codebooks = {**self.codebooks, factor.text: found["codebook"]}
        return found

    def sample(
        self, factor: Factor, given: Sequence[Value], rows: int, mode: Mode, copies: int = 1, found: Law | None = None
    ) -> dict[str, Value]:
        """A draw of the factor's variables, one for each row of its conditioners."""
        assert factor.family is not None
        if factor.family.sampler:
            return self.network(factor)(list(given), rows, self.like.dtype)
        (variable,) = factor.of
        space = self.spec.variables[variable]
        found = found if found is not None else self.law(factor, given, rows)
        if factor.family.outside:
            return {variable: self.drawn_outside(factor, found, given, rows, copies)}
        if isinstance(found, Quantised):
            return {variable: found.value(copies)}
        value = draw(factor.family, space.kind, len(space.axes), found, mode, copies)
        own = self.quantised[variable]
        return {variable: value if own is None else as_vectors(value, self.codebook(own))}

    def codebook(self, factor: Factor) -> Tensor:
        """The vectors of a factor's classes, as its network has them."""
        network = self.network(factor)
        found = network.shared["codebook"] if isinstance(network, FactorNetwork) else self.codebooks.get(factor.text)
        if found is None:
            raise NetworkError(
                f"{factor}: its network was not called yet, so that there is no codebook\n  write: system(batch), once"
            )
        return found

    def drawn_outside(self, factor: Factor, found: Law, given: Sequence[Value], rows: int, copies: int) -> Value:
        """A draw of a density of the caller's."""
        assert factor.family is not None
        (variable,) = factor.of
        space = self.spec.variables[variable]
        lead = tuple(torch.broadcast_shapes(*(v.lead for v in given))) if given else (rows,)
        shape = torch.Size(((copies,) if copies > 1 else ()) + (() if given else (rows,)))
        if factor.family.reparameterised and not found.has_rsample and space.kind != "categorical":
            raise NetworkError(
                f"{factor}: a {type(found).__name__} has no rsample, and the spec takes gradients through its draws\n"
                f'  write: families."{factor}" = {{ family = "external", reparameterised = false }}'
            )
        code = found.rsample(shape) if found.has_rsample and factor.family.reparameterised else found.sample(shape)
        lead = ((copies,) if copies > 1 else ()) + lead
        if not code.is_floating_point():  # an index
            *event, classes = self.sizes.shape(variable)
            return Value.of_class(code.reshape(*lead, *event), classes, self.like.dtype, len(event))
        code = code.reshape(*lead, *self.sizes.shape(variable))
        return Value(code, len(space.axes), code.detach().argmax(-1) if space.kind == "categorical" else None)

    def log_prob(self, factor: Factor, given: Sequence[Value], value: Value, rows: int) -> Tensor:
        """log of a density of the caller's at a value, one a row."""
        lead = tuple(torch.broadcast_shapes(value.lead, *(v.lead for v in given)))
        found = self.law(factor, [v.expanded(lead) for v in given], rows)
        assert isinstance(found, torch.distributions.Distribution)
        wide = value.expanded(lead)
        if wide.index is not None and tuple(found.event_shape) == tuple(wide.index.shape[len(lead) :]):
            return found.log_prob(wide.index.flatten(0, len(lead) - 1)).reshape(lead)
        axes = found.event_shape or wide.code.shape[len(lead) :]
        return found.log_prob(wide.code.reshape(math.prod(lead), *axes)).reshape(lead)

    def judge(self, name: str, values: Mapping[str, Value], mode: Mode) -> Tensor:
        """The critic's logits; what it sees goes through its own factor first, where it has one."""
        seen = dict(values)
        if name in self.through:
            through = self.through[name]
            seen |= self.sample(through, [seen[v] for v in through.given], 0, mode)
        ordered = {v: seen[v] for v in self.seen_by(name)}
        critic = self.critics[name]
        return critic(ordered) if isinstance(critic, OwnCritic) else full(critic(list(ordered.values())))

    def pairs(self, term: str, first: Mapping[str, Value], second: Mapping[str, Value]) -> Tensor:
        """A number for every pair of a batch."""
        network = self.scores[term]
        if isinstance(network, OwnScores):
            return network(first, second)
        return full(network(list(first.values()), list(second.values())))
