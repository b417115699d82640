"""Ancestral sampling of any joint of a spec from a batch of every source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from ibsym.errors import EmissionError
from ibsym.nn.bank import Bank
from ibsym.nn.classes import every_class, summed_over, without_classes
from ibsym.nn.distributions import Law, Mode
from ibsym.nn.graphs import drawable
from ibsym.nn.quantised import Quantised, as_classes
from ibsym.nn.samples import Rows, Value
from ibsym.nn.sizes import quantised
from ibsym.runtime import ranks
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density, MutualInformation, TotalCorrelation


class Draws:
    """One draw of every joint that is asked for, from one batch of every source; each variable is drawn once a joint.

    A factor's network is called once a joint, so that what is drawn and what is evaluated have the same parameters. ``still``
    draws carry no gradient. ``rows`` is how many are drawn where nothing is observed. What is known of them is replaced, never
    changed, which is what torch.compile follows.
    """

    def __init__(
        self,
        bank: Bank,
        batch: Mapping[str, Rows],
        mode: Mode = "relaxed",
        copies: int = 1,
        *,
        still: bool = False,
        rows: int | None = None,
    ):
        self.bank, self.spec, self.batch, self.mode, self.copies, self.still = bank, bank.spec, batch, mode, copies, still
        self.lengths = {name: len(next(iter(values.values())).code) for name, values in batch.items()}
        self.number = rows
        self.called: dict[tuple[str, str], dict[str, Tensor]] = {}
        self.drawn: dict[tuple[str, str], Value] = {}
        self.orders: dict[tuple[str, int], Tensor] = {}  # of a critic's rows, by their number

    def rows(self, joint: str) -> int:
        """The size of a joint's batch: its sources', or the first source's where it has none."""
        seen = [self.lengths[f.head] for f in self.spec.joints[joint].factors if f.empirical and f.head in self.lengths]
        if seen:
            return min(seen)
        return self.number if self.number is not None else next(iter(self.lengths.values()))

    def value(self, joint: str, variable: str) -> Value:
        """The variable under the joint; ancestors are drawn first."""
        if (joint, variable) not in self.drawn:
            factor = self.bank.graphs.factor(joint, variable)
            if self.still:
                with torch.no_grad():
                    found = self.fresh(joint, variable, factor)
            else:
                found = self.fresh(joint, variable, factor)
            self.drawn = {**self.drawn, **{(joint, v): x for v, x in found.items()}}
        return self.drawn[joint, variable]

    def fresh(self, joint: str, variable: str, factor: Factor) -> Rows:
        """A draw of a factor's variables under a joint; of classes that are summed over, each."""
        graph, rows = self.bank.graphs[joint], self.rows(joint)
        classes = summed_over(self.spec, graph) if self.mode == "relaxed" else ()
        if variable in classes:
            (number,) = self.bank.sizes.shape(variable)
            return {variable: every_class(classes.index(variable), len(classes), number, rows, self.bank.like)}
        if factor.components:
            return self.mixture(factor, rows)
        if factor.empirical:
            if factor.head not in self.batch:
                raise EmissionError(
                    f"{variable} is observed, and the batch of {factor} is missing\n  write: batch={{'{variable}': ...}}"
                )
            observed = self.batch[factor.head]
            return {v: without_classes(observed[v].take(slice(rows)), len(classes)) for v in factor.of if v in observed}
        given = [self.value(joint, v) for v in factor.given]
        once = all(len(v.lead) == 1 + len(classes) for v in given) and self.bank.observed_above[joint, variable]
        return self.bank.sample(factor, given, rows, self.mode, self.copies if once else 1, self.law(factor, joint))

    def law(self, factor: Factor, joint: str) -> Law | None:
        """The factor's distribution at the values of its conditioners under a joint; None where it has none."""
        assert factor.family is not None
        if factor.family.sampler or factor.family.outside:
            return None
        given = [self.value(joint, v) for v in factor.given]
        parameters = self.parameters(factor, joint) if factor.learned else {}
        return self.bank.law(factor, given, self.rows(joint), parameters)

    def mixture(self, factor: Factor, rows: int) -> Rows:
        """The components' draws below one another, in the proportion of their weights.

        Where several processes share the batch, the shares are of all rows together, and every process has its part of the mixture.
        """
        found: Rows = {}
        group, mine = self.bank.group(), slice(None)
        if group is not None:
            group = ranks.found(group)
            numbers, rank = ranks._numbers(rows, self.bank.like, group), torch.distributed.get_rank(group)
            rows, start = sum(numbers), sum(numbers[:rank])
            mine = slice(
                start, start + numbers[rank] if rank + 1 < len(numbers) else None
            )  # what is beyond them is the last one's
        ends = [round(rows * share) for share in accumulate([float(c.weight) for c in factor.components], initial=0.0)]
        counts = [max(1, end - start) for start, end in pairwise(ends)]  # as many rows together as there are
        for variable in factor.of:
            parts = [
                self.of_group(self.value(c.joint, variable)).pooled().take(slice(n))
                for c, n in zip(factor.components, counts, strict=True)
            ]
            index = None if any(p.index is None for p in parts) else torch.cat([p.index for p in parts if p.index is not None])
            found[variable] = Value(torch.cat([p.code for p in parts]), parts[0].event, index).take(mine)
        return found

    def of_group(self, value: Value) -> Value:
        """The rows of all processes that share the batch; its own where it is alone."""
        group = self.bank.group()
        return value if group is None else value.of_all(group)

    def parameters(self, factor: Factor, joint: str, *, detached: bool = False) -> dict[str, Tensor]:
        """The factor's parameters at the conditioners' values under the joint."""
        given = [self.value(joint, v) for v in factor.given]
        if detached:
            return self.bank.parameters_of(factor, [v.detach() for v in given])
        key = (joint, factor.text)
        if key not in self.called:
            self.called = {**self.called, key: self.bank.parameters_of(factor, given)}
        return self.called[key]

    def log_prob(self, factor: Factor, joint: str) -> Tensor:
        """log of the factor at the values drawn under the joint, one a row."""
        value, given = self.value(joint, factor.of[0]), [self.value(joint, v) for v in factor.given]
        found = self.law(factor, joint)
        if found is None:
            return self.bank.log_prob(factor, given, value, self.rows(joint))
        assert isinstance(found, torch.distributions.Distribution | Quantised)
        (variable,) = factor.of
        if self.bank.quantised[variable] is not None:
            return found.log_prob(as_classes(value, self.bank.sizes.shape(variable)[-1]))
        return found.log_prob(value.code)

    def first(self, name: str, joint: str) -> Rows:
        """The divergence's variables under its first argument's joint."""
        return pooled({v: self.value(joint, v) for v in self.bank.comparison(name).scope})

    def second(self, name: str, joint: str) -> Rows:
        """Its variables under the second argument: a product's parts are drawn apart, a conditional at the first's conditioners."""
        about = self.bank.comparison(name)
        term, densities = about.term, about.in_order
        found: Rows = {}
        if isinstance(term, MutualInformation) and term.given:
            found, densities = self.within(term), ()
        for place, density in densities:
            if density.given:
                found = {**found, **self.conditional(density, joint, found)}
            else:
                part = {v: self.value(density.head, v) for v in density.of}
                found = {**found, **(self.apart(part, name, place) if len(densities) > 1 else part)}
        if isinstance(term, TotalCorrelation) and term.coordinatewise:
            found = {v: x.across(self.bank.group()) for v, x in found.items()}
        found |= {v: self.value(joint, v) for v in self.bank.comparison(name).scope if v not in found}
        found = pooled(found)
        rows = min(len(v.code) for v in found.values())
        return {v: found[v].take(slice(rows)) for v in self.bank.comparison(name).scope}

    def apart(self, part: Rows, name: str, place: int) -> Rows:
        """The rows in one order for all parts, shifted by the part's place: no row of the product has two parts of one row.

        Where several processes share the batch, the rows are those of all.
        """
        rows = min(v.lead[-1] for v in part.values())
        several, mine = self.of_all({v: x.take(slice(rows)) for v, x in part.items()}, rows)
        number = min(v.lead[-1] for v in several.values())
        if (name, number) not in self.orders:
            self.orders = {**self.orders, (name, number): self.order(number)}
        order = self.orders[name, number].roll(place)[mine]
        return {v: x.take(order) for v, x in several.items()}

    def of_all(self, part: Rows, rows: int) -> tuple[Rows, Tensor | slice]:
        """The rows of all processes that share the batch, and which of them are this one's; its own where it is alone."""
        group = self.bank.group()
        if group is None:
            return part, slice(None)
        rank = torch.distributed.get_rank(ranks.found(group))
        owners = ranks.gathered(torch.full((rows,), rank, device=self.bank.like.device), group)
        return {v: x.of_all(group) for v, x in part.items()}, (owners == rank).nonzero().squeeze(-1)

    def order(self, number: int) -> Tensor:
        """A random order of rows, the same in all processes that share the batch."""
        order, group = torch.randperm(number, device=self.bank.like.device), self.bank.group()
        return order if group is None else ranks.shared(order, group)

    def within(self, term: MutualInformation) -> Rows:
        """Draws of q(a|c)q(b|c): the second argument of another row with the same c, where there is one."""
        rows = {v: self.value(term.joint, v) for g in (*term.groups, term.given) for v in g}
        if any(len(rows[v].lead) > 1 for v in term.given):
            rows = pooled(rows)
        size = min(v.lead[-1] for v in rows.values())
        several, mine = self.of_all({v: x.take(slice(size)) for v, x in rows.items()}, size)
        keys = torch.cat([several[v].flat for v in term.given], -1)
        order = of_equal(torch.unique(keys, dim=0, return_inverse=True)[1], self.order(len(keys)))
        return {v: several[v].take(order[mine]) if v in term.groups[-1] else rows[v].take(slice(size)) for v in rows}

    def conditional(self, density: Density, joint: str, drawn: Rows) -> Rows:
        """Draws of a factor at its conditioners' values: those drawn so far, or those under a joint."""
        factor = self.spec.factors.get(str(density))
        if factor is None:
            raise EmissionError(f"{density} is not a declared factor, so it cannot be sampled at given conditioners")
        given = [(drawn[v] if v in drawn else self.value(joint, v)).pooled() for v in factor.given]
        return pooled(self.bank.sample(factor, given, self.rows(joint), self.mode))


def of_equal(labels: Tensor, order: Tensor) -> Tensor:
    """For each row another one of the same label, in a random order; itself where it is the only one."""
    order = order[labels[order].argsort(stable=True)]
    found = labels[order]
    counts = torch.bincount(found)
    start = (counts.cumsum(0) - counts)[found]
    place = torch.arange(len(labels), device=labels.device) - start
    other = torch.empty_like(order)
    other[order] = order[start + (place + 1) % counts[found]]
    return other


def pooled(rows: Mapping[str, Value]) -> Rows:
    """Every value's draws as rows; what is drawn once is repeated beside what is drawn several times."""
    draws = max([0, *(x.lead[0] for x in rows.values() if len(x.lead) == 2)])
    return {v: (x.repeated(draws) if draws and len(x.lead) == 1 else x).pooled() for v, x in rows.items()}


def detached(values: Mapping[str, Value]) -> Rows:
    """Every value cut from the network that drew it."""
    return {v: x.detach() for v, x in values.items()}


def ancestors(spec: Spec, joint: str, variables: Iterable[str]) -> set[Factor]:
    """Every factor that a draw of the variables needs, those of a mixture's components and of codebooks included."""
    found: set[Factor] = set()
    for factor in drawable(spec)[joint].ancestral_factors(variables):
        found.add(factor)
        if not factor.empirical:
            found |= {own for v in factor.of if (own := quantised(spec, v)) is not None}
        for component in factor.components:
            found |= ancestors(spec, component.joint, component.of)
    return found
