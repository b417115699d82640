"""Every input of an emitted loss, by (of, role, joint): which factors it is made of, its value at draws; who learns what.

The model's loss is differentiated through the critics and moves the model only; a critic's sees samples that are cut from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ibsym.errors import EmissionError
from ibsym.nn.bank import Bank
from ibsym.nn.callables import frozen
from ibsym.nn.classes import as_declared
from ibsym.nn.draws import Draws, ancestors, detached
from ibsym.nn.own import full
from ibsym.nn.samples import Rows, Value
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import MutualInformation, TotalCorrelation

Key = tuple[str, str, str]
Substitute = Callable[..., tuple[Tensor, Mapping[str, Tensor]]]
SAMPLES = ("value", "sample", "sample_reference")
CRITIC_SIDES = ("critic", "critic_reference")
MODEL = "model"


def key_of(entry: Any) -> Key:
    """What an input is, whatever its name."""
    return entry.of, entry.role, entry.joint


def by_draw(entry: Any, logits: Tensor, rows: int) -> Tensor:
    """A critic's logits with their Monte-Carlo axis, where the input has one and there are several draws."""
    return logits.reshape(-1, rows) if entry.shape[:1] == ("S",) and len(logits) > rows else logits


class Wiring:
    """What an emitted loss takes, and from where."""

    def __init__(self, spec: Spec, loss: Any, bank: Bank, substitute: Substitute | None = None):
        self.spec, self.loss, self.bank, self.substitute = spec, loss, bank, substitute
        bank.group = self.group
        self.inputs = tuple(loss.INPUTS)
        self.critics: tuple[str, ...] = tuple(loss.CRITICS)
        self.critic_inputs: dict[str, tuple[Any, ...]] = {
            n: tuple(i for i in e if not i.role.startswith("critic")) for n, e in getattr(loss, "CRITIC_INPUTS", {}).items()
        }
        self.fitted = tuple(n for n in self.critics if n in self.critic_inputs and n not in bank.through)
        """Players that fit a density and have no critic."""
        self.judged = tuple(n for n in self.critics if n not in self.fitted)
        self.first_joints = {name: bank.comparison(name).first.head for name in self.judged}
        self.first_joints |= {i.of: i.joint for i in self.inputs if i.role == "critic"}
        self.scores = tuple(dict.fromkeys(i.of for i in self.inputs if i.role == "scores"))
        self.temperatures = tuple(
            dict.fromkeys(i.of for i in self.inputs if i.role == "temperature" and i.of not in spec.factors)
        )
        self.embedded = tuple(dict.fromkeys(i.of for i in self.inputs if i.role == "embedding"))
        self.factors = self.by_player()
        self.products = {
            (v, d.head): (use.key, place)
            for use in reversed(spec.estimators)
            for place, d in reversed([*enumerate(use.term.second)])
            if len(use.term.second) > 1
            for v in d.of
        }
        """Parts of a product that a divergence compares with: the divergence, and which part."""

    def group(self) -> Any:
        """The processes that the loss is of, as it is now."""
        return getattr(self.loss, "group", None)

    def across_ranks(self) -> dict[str, Any]:
        """What a mean over the rows of all processes takes besides."""
        group = self.group()
        return {} if group is None else {"group": group}

    def by_player(self) -> dict[str, list[Factor]]:
        """Each player's learned factors; one that only a critic needs is that critic's."""
        owned = {name: self.owned(name) for name in self.critics}
        needed = set().union(*(self.needs(i) for i in self.inputs))
        needed |= set().union(*(self.needs_of_side(name, role) for name in self.judged for role in CRITIC_SIDES))
        groups = {MODEL: needed.difference(*owned.values()), **owned}
        return {player: sorted((f for f in factors if f.learned), key=str) for player, factors in groups.items()}

    def texts(self) -> Iterator[tuple[str, str]]:
        """Each player and what it needs a network for."""
        seen: set[str] = set()
        for player, factors in self.factors.items():
            for factor in factors:
                if factor.text not in seen:
                    seen.add(factor.text)
                    yield player, factor.text
        yield from ((MODEL, text) for text in (*self.scores, *self.embedded, *self.temperatures))
        yield from ((name, name) for name in self.judged)

    def build(self) -> list[str]:
        """Default networks for what has none; what they stand for."""
        before = set(self.bank.made)
        for factors in self.factors.values():
            for factor in factors:
                self.bank.add_factor(factor)
        for term in self.scores:
            self.bank.add_scores(term)
        for variable in self.embedded:
            self.bank.add_embedding(variable, self.beside(variable))
        for term in self.temperatures:
            self.bank.add_temperature(term)
        for name in self.judged:
            self.bank.add_critic(name)
        return [text for text in self.bank.made if text not in before]

    def beside(self, variable: str) -> list[str]:
        """The variables whose embeddings are as wide as this one's."""
        axis = next(i.shape[-1] for i in self.inputs if i.role == "embedding" and i.of == variable)
        return [i.of for i in self.inputs if i.role == "embedding" and i.shape[-1] == axis]

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Every player's parameters: each parameter once, and of the first that has it; frozen ones are nobody's."""
        found: dict[str, list[nn.Parameter]] = {MODEL: [], **{name: [] for name in self.critics}}
        seen: set[int] = set()
        for player, text in self.texts():
            for parameter in self.bank.parameters_of_network(text):
                if id(parameter) not in seen and parameter.requires_grad:
                    seen.add(id(parameter))
                    found[player].append(parameter)
        if not found[MODEL]:
            still = [text for _, text in self.texts() if self.bank.parameters_of_network(text)]
            why = f": every parameter of {' and '.join(still)} is frozen\n  write: .requires_grad_() of one" if still else ""
            raise EmissionError(f"nothing in the loss is learned, so there is nothing to train{why}")
        return found

    def owned(self, name: str) -> set[Factor]:
        """The factors that belong to a critic: a density that it fits, what it looks through and what only its constraint takes."""
        inputs = self.critic_inputs.get(name, ())
        if name in self.fitted:
            return {self.spec.factors[i.of] for i in inputs if i.of in self.spec.factors and i.role not in SAMPLES}
        if name not in self.bank.through:
            return set()
        taken = set().union(*(self.needs(i) for i in self.inputs))
        rate = {self.spec.factors[i.of] for i in inputs if i.of in self.spec.factors}
        return {self.bank.through[name]} | (rate - taken)

    def needs(self, entry: Any) -> set[Factor]:
        """The factors that an input is made of."""
        spec = self.spec
        if entry.role in CRITIC_SIDES:
            return self.needs_of_side(entry.of, entry.role)
        if entry.role == "scores":
            return self.above(entry.joint, [v for g in self.bank.groups(entry.of) for v in g])
        if entry.of in self.temperatures:
            return set()
        if entry.role in (*SAMPLES, "embedding") and entry.of in spec.variables:
            return self.above(entry.joint, [entry.of])
        factor = spec.factors[entry.of]
        if entry.role in SAMPLES:
            return self.above(entry.joint, factor.of)
        at_value = entry.role == "log_prob"
        return {factor} | self.above(entry.joint, (*factor.given, *factor.of) if at_value else factor.given)

    def needs_of_side(self, name: str, role: str) -> set[Factor]:
        """The factors that a critic's samples are made of."""
        about = self.bank.comparison(name)
        seen, densities = about.scope, about.second
        if role == "critic":
            return self.above(self.first_joints[name], seen)
        drawn = {v for d in densities for v in d.of}
        found = self.above(self.first_joints[name], [v for v in seen if v not in drawn])
        for density in densities:
            declared = self.spec.factors.get(str(density)) if density.given else None
            found |= {declared} if declared is not None else self.above(density.head, density.scope)
        return found

    def above(self, joint: str, variables: Iterable[str]) -> set[Factor]:
        """The factors that a draw of the variables needs under a joint."""
        return ancestors(self.spec, joint, list(variables))

    def input(self, entry: Any, draws: Draws) -> Tensor:
        """An input with the axes of its shape."""
        return as_declared(self.tensor(entry, draws), entry, self.spec, self.bank.graphs)

    def tensor(self, entry: Any, draws: Draws, *, apart: bool = False) -> Tensor:
        """The value of one input; ``apart`` cuts every sample from the network that drew it."""
        match entry.role:
            case "critic" | "critic_reference":
                return by_draw(entry, self.judge(entry.of, entry.role, draws, apart=apart), draws.rows(entry.joint))
            case "scores":
                return self.bank.pairs(entry.of, *self.with_all(*self.pairs(entry, draws)))
            case "embedding":
                code = draws.value(entry.joint, entry.of).pooled().take(slice(draws.rows(entry.joint))).flat
                return full(self.bank.embeddings[entry.of](code))
            case "temperature" if entry.of in self.temperatures:
                return full(self.bank.temperatures[entry.of]())
            case "value" | "sample" | "sample_reference":
                return self.sample(entry, draws, apart)
            case "log_prob":
                return draws.log_prob(self.spec.factors[entry.of], entry.joint)
        factor = self.spec.factors[entry.of]
        parameters = draws.parameters(factor, entry.joint, detached=apart)
        if entry.role not in parameters:
            raise EmissionError(f"{entry.of}: nothing here makes its {entry.role}\n  write: a training loop of your own")
        found = parameters[entry.role]
        if entry.shape and entry.shape[0].split("_")[0] in ("B", "S") and not factor.given:
            found = found.expand(draws.rows(entry.joint), *found.shape)
        return found

    def across_rows(self, entry: Any) -> bool:
        """Whether which rows an input has depends on the whole batch: pairs, what is shuffled, a mixture's shares of its components."""
        if any(len(f.components) > 1 for f in self.needs(entry)):
            return True
        match entry.role:
            case "scores":
                return True
            case "critic_reference":
                term, second = self.bank.comparison(entry.of).term, self.bank.comparison(entry.of).second
                return len(second) > 1 or isinstance(term, MutualInformation | TotalCorrelation)
            case "sample_reference":
                return (self.variable(entry), entry.joint) in self.products
        return False

    def behind(self, entry: Any) -> list[tuple[str, str]]:
        """The draws that such an input is put together from: a joint, a variable of it."""
        factor, variables = self.spec.factors.get(entry.of), []
        match entry.role:
            case "critic" | "critic_reference":
                return self.behind_side(entry.of, entry.role)
            case "scores":
                variables = [v for g in self.bank.groups(entry.of) for v in g]
            case "value" | "sample" | "sample_reference" | "embedding":
                variables = [self.variable(entry)]
            case _ if factor is not None:
                variables = [*factor.given, *(factor.of if entry.role == "log_prob" else ())]
        return self.unmixed((entry.joint, v) for v in variables)

    def behind_side(self, name: str, role: str) -> list[tuple[str, str]]:
        """The draws that a critic's samples are put together from."""
        joint, about = self.first_joints[name], self.bank.comparison(name)
        return self.unmixed([(joint, v) for v in about.scope] if role == "critic" else about.behind_second(self.spec, joint))

    def unmixed(self, places: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Draws of single joints that these are made of: those of a mixture's components, and what stands beside them."""
        found: list[tuple[str, str]] = []
        for joint, variable in places:
            factor = self.bank.graphs.factor(joint, variable)
            if not any(len(f.components) > 1 for f in self.above(joint, [variable])):
                found.append((joint, variable))
            elif factor.components:
                found += self.unmixed((c.joint, variable) for c in factor.components)
            else:
                found += self.unmixed((joint, v) for v in factor.given)
        return found

    def pairs(self, entry: Any, draws: Draws) -> tuple[dict[str, Value], dict[str, Value]]:
        """The values of which all pairs are scored, one a row."""
        rows = slice(draws.rows(entry.joint))
        first, second = ({v: draws.value(entry.joint, v).pooled().take(rows) for v in g} for g in self.bank.groups(entry.of))
        return first, second

    def with_all(self, first: dict[str, Value], second: dict[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
        """A process's own rows, and the rows of all processes to score them against."""
        group = self.group()
        if group is None:
            return first, second
        codes = {v: self.loss.gathered(x.code, group) for v, x in second.items()}
        vectors = {v for v in second if self.bank.quantised[v] is not None}
        classes = {
            v: None if second[v].index is None or v in vectors else code.detach().argmax(-1) for v, code in codes.items()
        }
        return first, {v: Value(code, second[v].event, classes[v]) for v, code in codes.items()}

    def judge(self, name: str, role: str, draws: Draws, *, apart: bool) -> Tensor:
        """The critic's logits on one side of its divergence."""
        side = self.side(name, role, draws)
        return self.bank.judge(name, detached(side) if apart else side, draws.mode)

    def side(self, name: str, role: str, draws: Draws) -> Rows:
        """What the critic sees of one of its divergence's arguments."""
        joint = self.first_joints[name]
        return draws.first(name, joint) if role == "critic" else draws.second(name, joint)

    def sample(self, entry: Any, draws: Draws, apart: bool) -> Tensor:
        """Draws of a variable (or of a factor's only one); an index where a categorical value is asked for."""
        variable = self.variable(entry)
        value = draws.value(entry.joint, variable)
        if entry.role == "sample_reference":
            value = self.reference(variable, entry.joint, draws)
        if entry.role == "value":
            return value.index if value.index is not None else value.code.detach()
        return value.code.detach() if apart else value.code

    def variable(self, entry: Any) -> str:
        """The variable of which an input is draws."""
        return entry.of if entry.of in self.spec.variables else self.spec.factors[entry.of].of[0]

    def reference(self, variable: str, joint: str, draws: Draws) -> Value:
        """A draw from a divergence's second argument; the parts of a product are shuffled apart."""
        value = draws.value(joint, variable)
        if (variable, joint) not in self.products:
            return value
        return draws.apart({variable: value}, *self.products[variable, joint])[variable].pooled()

    def tensors(self, draws: Draws) -> dict[str, Tensor]:
        """Every input on one draw; critics take no gradient from it."""
        with frozen(self.parameters(apart_from=MODEL)):
            return self.all_inputs(draws)

    def evaluate(self, draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """The emitted loss and its terms on one draw; critics take no gradient from it."""
        with frozen(self.parameters(apart_from=MODEL)):
            return self.model_pass(draws)

    def all_inputs(self, draws: Draws) -> dict[str, Tensor]:
        """Every input by name."""
        return {i.name: self.input(i, draws) for i in self.inputs}

    def model_pass(self, draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """The emitted loss of every input."""
        return self.loss_of(self.all_inputs(draws))

    def compile(self) -> None:
        """Networks, draws and losses together as compiled graphs: the model's; what each critic sees, and what it says of it.

        Draws are those of the same seed without compilation.
        """
        for name in ("model_pass", "critic_pass", "seen_by_critic"):
            setattr(self, name, torch.compile(getattr(self, name), options={"fallback_random": True}))

    def parameters(self, *, apart_from: str) -> list[nn.Parameter]:
        """What the other players learn."""
        return [p for player, own in self.players().items() if player != apart_from for p in own] if self.critics else []

    def loss_of(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The emitted loss and its terms at inputs."""
        if self.substitute is not None:
            keyed = {key_of(i): tensors[i.name] for i in self.inputs}
            loss, terms = self.substitute(keyed, **{p: getattr(self.loss, p) for p in self.spec.parameters})
            return loss, dict(terms)
        output = self.loss(**tensors)
        return output.loss, dict(output.terms)

    def critic_loss(self, name: str, draws: Draws) -> Tensor:
        """What the critic minimises, on samples that are cut from the model."""
        seen = self.seen_by_critic(name, draws)
        with frozen(self.parameters(apart_from=name)):
            return self.critic_pass(name, seen, draws)

    def seen_by_critic(self, name: str, draws: Draws) -> list[Rows]:
        """Both sides of what it compares, drawn before anything is frozen: the model may use these draws."""
        seen = [detached(self.side(name, role, draws)) for role in CRITIC_SIDES] if name in self.judged else []
        for entry in self.critic_inputs.get(name, ()):
            factor = self.spec.factors.get(entry.of)
            for v in factor.given if factor is not None and entry.role not in SAMPLES else ():
                draws.value(entry.joint, v)
        return seen

    def critic_pass(self, name: str, seen: list[Rows], draws: Draws) -> Tensor:
        """The critic's loss at what it sees."""
        return self.critic_loss_of(name, [self.bank.judge(name, side, draws.mode) for side in seen], draws)

    def critic_loss_of(self, name: str, sides: list[Tensor], draws: Draws) -> Tensor:
        """The critic's loss at its logits on both sides."""
        return self.loss.critic_loss(name, *sides, **self.constraint_inputs(name, draws), **self.across_ranks())

    def constraint_inputs(self, name: str, draws: Draws) -> dict[str, Tensor]:
        """What the critic's constraint is measured on, by name."""
        return {i.name: self.tensor(i, draws, apart=True) for i in self.critic_inputs.get(name, ())}
