"""The networks of a spec, and ancestral sampling of any of its joints from a batch of every source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ibsym.derivation.critics import sides
from ibsym.errors import EmissionError
from ibsym.nn.classes import every_class, summed_over, without_classes
from ibsym.nn.distributions import Law, Mode, draw, law
from ibsym.nn.networks import Critic, FactorNetwork, Generator, Scores, width
from ibsym.nn.samples import Rows, Value
from ibsym.nn.sizes import shape_of
from ibsym.spec.grammar import QuantitySyntax, parse
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density, Term, TotalCorrelation
from ibsym.terms.reading import Reader

SAMPLED_ONLY = ("implicit", "deterministic")


def quantity(text: str) -> QuantitySyntax:
    """A term's text, read."""
    found = parse(text, "quantity")
    assert isinstance(found, QuantitySyntax)
    return found


class System(nn.Module):
    """Networks by the factor's, the divergence's or the information term's text."""

    def __init__(self, spec: Spec, sizes: Mapping[str, int], hidden: int, dtype: torch.dtype):
        super().__init__()
        self.spec, self.sizes, self.hidden, self.dtype = spec, dict(sizes), hidden, dtype
        self.factors, self.critics, self.scores = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.through = {c.key: c.through for c in spec.critics}

    def add_factor(self, factor: Factor) -> None:
        """A network for a factor."""
        if factor.text in self.factors or not factor.learned:
            return
        assert factor.family is not None
        if factor.family.name in SAMPLED_ONLY:
            noise = factor.family.name == "implicit" and not self.random_above(factor)
            self.factors[factor.text] = Generator(self.spec, factor, self.sizes, self.hidden, noise=noise).to(self.dtype)
        else:
            self.factors[factor.text] = FactorNetwork(self.spec, factor, self.sizes, self.hidden).to(self.dtype)

    def random_above(self, factor: Factor) -> bool:
        """Whether a conditioner is drawn in the factor's own joint, so that the factor needs no noise of its own."""
        joints = [j for j in self.spec.joints.values() if factor in j.factors]
        return any(
            not f.empirical and f.family is not None for j in joints for f in j.ancestral_factors(factor.given) if f != factor
        )

    def add_critic(self, name: str) -> None:
        """A network for a critic."""
        seen = [v for v in scope(self.spec, name) if name not in self.through or v not in self.through[name].given]
        seen += self.through[name].of if name in self.through else ()
        self.critics[name] = Critic(width(self.spec, seen, self.sizes), self.hidden).to(self.dtype)

    def add_scores(self, term: str) -> None:
        """A network for all pairs of a batch."""
        first, second = self.groups(term)
        self.scores[term] = Scores(width(self.spec, first, self.sizes), width(self.spec, second, self.sizes), self.hidden).to(
            self.dtype
        )

    def groups(self, term: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The two arguments of an information term, in the order of their writing."""
        syntax = quantity(term)
        if syntax.kind != "I" or len(syntax.groups) != 2 or syntax.given:
            raise EmissionError(f"{term}: scores of all pairs need an information of two arguments, without a condition")
        first, second = (tuple(self.spec.resolve(v, "objective", capital=True) for v in g) for g in syntax.groups)
        return first, second

    def law(self, factor: Factor, given: list[Value], rows: int) -> Law:
        """The factor's distribution at its conditioners' values."""
        assert factor.family is not None
        (variable,) = factor.of
        parameters = self.parameters_of(factor, given) if factor.learned else {}
        lead = tuple(torch.broadcast_shapes(*(v.lead for v in given))) if given else (rows,)
        kind = self.spec.variables[variable].kind
        return law(factor.family, kind, shape_of(self.spec, variable, self.sizes), parameters, lead, self.dtype)

    def parameters_of(self, factor: Factor, given: list[Value]) -> dict[str, Tensor]:
        """The factor's parameters at its conditioners' values, by role."""
        network = self.factors[factor.text]
        assert isinstance(network, FactorNetwork)
        return network(given)

    def sample(self, factor: Factor, given: list[Value], rows: int, mode: Mode, copies: int = 1) -> dict[str, Value]:
        """A draw of the factor's variables, one for each row of its conditioners."""
        assert factor.family is not None
        if factor.family.name in SAMPLED_ONLY:
            return self.factors[factor.text](given, rows, self.dtype)
        (variable,) = factor.of
        space = self.spec.variables[variable]
        return {variable: draw(factor.family, space.kind, len(space.dims), self.law(factor, given, rows), mode, copies)}

    def judge(self, name: str, values: Mapping[str, Value], mode: Mode) -> Tensor:
        """The critic's logits; what it sees goes through its own factor first, where it has one."""
        seen = dict(values)
        if name in self.through:
            through = self.through[name]
            seen |= self.sample(through, [seen[v] for v in through.given], 0, mode)
            seen = {v: x for v, x in seen.items() if v not in through.given}
        return self.critics[name](list(seen.values()))


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


class Draws:
    """One draw of every joint that is asked for, from one batch of every source; each variable is drawn once a joint."""

    def __init__(self, system: System, batch: Mapping[str, Rows], mode: Mode = "relaxed", copies: int = 1):
        self.system, self.spec, self.batch, self.mode, self.copies = system, system.spec, batch, mode, copies
        self.lengths = {name: len(next(iter(rows.values())).code) for name, rows in batch.items()}
        self.drawn: dict[tuple[str, str], Value] = {}
        self.orders: dict[tuple[str, int], Tensor] = {}  # of a critic's rows, by their number

    def rows(self, joint: str) -> int:
        """The size of a joint's batch: its sources', or the first source's where it has none."""
        seen = [self.lengths[f.head] for f in self.spec.joints[joint].factors if f.empirical]
        return min(seen) if seen else next(iter(self.lengths.values()))

    def value(self, joint: str, variable: str) -> Value:
        """The variable under the joint; ancestors are drawn first."""
        if (joint, variable) not in self.drawn:
            graph = self.spec.joints[joint]
            if not graph.rooted or variable not in graph.by_variable:
                raise EmissionError(f"{variable} cannot be drawn under {joint}")
            factor = graph.by_variable[variable]
            classes = summed_over(self.spec, graph) if self.mode == "relaxed" else ()
            if variable in classes:
                (number,) = shape_of(self.spec, variable, self.system.sizes)
                place = classes.index(variable)
                fresh = {variable: every_class(place, len(classes), number, self.rows(joint), self.system.dtype)}
            elif factor.components:
                fresh = self.mixture(factor, self.rows(joint))
            elif factor.empirical:
                fresh = {v: self.batch[factor.head][v].take(slice(self.rows(joint))) for v in factor.of}
                fresh = {v: without_classes(x, len(classes)) for v, x in fresh.items()}
            else:
                given = [self.value(joint, v) for v in factor.given]
                above = graph.ancestral_factors((variable,))
                once = all(len(v.lead) == 1 + len(classes) for v in given) and any(f.empirical for f in above)
                fresh = self.system.sample(factor, given, self.rows(joint), self.mode, self.copies if once else 1)
            self.drawn |= {(joint, v): x for v, x in fresh.items()}
        return self.drawn[joint, variable]

    def mixture(self, factor: Factor, rows: int) -> Rows:
        """The components' draws below one another, in the proportion of their weights."""
        found: Rows = {}
        counts = [max(1, round(c.weight * rows)) for c in factor.components]
        for variable in factor.of:
            parts = [
                self.value(c.joint, variable).pooled().take(slice(n)) for c, n in zip(factor.components, counts, strict=True)
            ]
            index = None if any(p.index is None for p in parts) else torch.cat([p.index for p in parts if p.index is not None])
            found[variable] = Value(torch.cat([p.code for p in parts]), parts[0].event, index)
        return found

    def parameters(self, factor: Factor, joint: str, *, detached: bool = False) -> dict[str, Tensor]:
        """The factor's parameters at the conditioners' values under the joint."""
        given = [self.value(joint, v) for v in factor.given]
        return self.system.parameters_of(factor, [v.detach() for v in given] if detached else given)

    def log_prob(self, factor: Factor, joint: str) -> Tensor:
        """log of the factor at the values drawn under the joint, one a row."""
        given = [self.value(joint, v) for v in factor.given]
        value, rows = self.value(joint, factor.of[0]), self.rows(joint)
        found = self.system.law(factor, given, rows)
        assert isinstance(found, torch.distributions.Distribution)
        return found.log_prob(value.code)

    def first(self, name: str, joint: str) -> Rows:
        """The divergence's variables under its first argument's joint."""
        return pooled({v: self.value(joint, v) for v in scope(self.spec, name)})

    def second(self, name: str, joint: str) -> Rows:
        """Its variables under the second argument: a product's parts are drawn apart, a conditional at the first's conditioners."""
        term = named(self.spec, name)
        _, densities = sides(self.spec, term)
        found: Rows = {}
        for place, density in enumerate(densities):
            if density.given:
                found |= self.conditional(density, joint)
            else:
                part = {v: self.value(density.head, v) for v in density.of}
                found |= self.apart(part, name, place) if len(densities) > 1 else part
        if isinstance(term, TotalCorrelation) and term.coordinatewise:
            found = {v: x.across() for v, x in found.items()}
        found |= {v: self.value(joint, v) for v in scope(self.spec, name) if v not in found}
        found = pooled(found)
        rows = min(len(v.code) for v in found.values())
        return {v: found[v].take(slice(rows)) for v in scope(self.spec, name)}

    def apart(self, part: Rows, name: str, place: int) -> Rows:
        """The rows in one order for all parts, shifted by the part's place: no row of the product has two parts of one row."""
        rows = min(v.lead[-1] for v in part.values())
        order = self.orders.setdefault((name, rows), torch.randperm(rows)).roll(place)
        return {v: x.take(order) for v, x in part.items()}

    def conditional(self, density: Density, joint: str) -> Rows:
        """Draws of a factor at the values of its conditioners under a joint."""
        factor = self.spec.factors.get(str(density))
        if factor is None:
            raise EmissionError(f"{density} is not a declared factor, so it cannot be sampled at given conditioners")
        return pooled(
            self.system.sample(factor, [self.value(joint, v).pooled() for v in factor.given], self.rows(joint), self.mode)
        )


def pooled(rows: Mapping[str, Value]) -> Rows:
    """Every value's draws as rows; what is drawn once is repeated beside what is drawn several times."""
    draws = max((x.lead[0] for x in rows.values() if len(x.lead) == 2), default=0)
    return {v: (x.repeated(draws) if draws and len(x.lead) == 1 else x).pooled() for v, x in rows.items()}


def detached(values: Mapping[str, Value]) -> Rows:
    """Every value cut from the network that drew it."""
    return {v: x.detach() for v, x in values.items()}


def ancestors(spec: Spec, joint: str, variables: Iterable[str]) -> set[Factor]:
    """Every factor that a draw of the variables needs, those of a mixture's components included."""
    found: set[Factor] = set()
    for factor in spec.joints[joint].ancestral_factors(variables):
        found.add(factor)
        for component in factor.components:
            found |= ancestors(spec, component.joint, component.of)
    return found
