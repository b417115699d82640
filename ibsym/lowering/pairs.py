"""q(z_i) ~ mean_j q(z_i|x_j): estimators that compare every row of a batch with every other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import sympy

from ibsym.derivation.model import BoundTerm
from ibsym.errors import EmissionError
from ibsym.estimators import ESTIMATORS
from ibsym.families.base import Formula, log_density, per_element, relative_entropy
from ibsym.families.functions import with_capped_exponents
from ibsym.lowering.players import density_of
from ibsym.lowering.program import (
    Insert,
    Load,
    Node,
)
from ibsym.lowering.section import Evaluation, Section, laws
from ibsym.lowering.terms import let_at_sample, plain, refuse
from ibsym.lowering.translation import elementwise
from ibsym.spec.graphs import Factor, Joint
from ibsym.terms.measures import Density, MutualInformation

WHY = "compares the rows of a batch"
A, B, N, TOTAL = sympy.symbols("a b n total", real=True)


def refuse_quantised(factor: Factor) -> None:
    """A density that is 0 elsewhere than at its own draw."""
    if factor.family is not None and factor.family.facts.quantised:
        raise EmissionError(
            f"all the mass of {factor} ({factor.family.name}) is on one class, so that its density at other draws is 0\n"
            '  write: a family with a smooth density, such as "categorical", or an estimator with a critic'
        )


class Batch:
    """log q(z_i|x_j) of a batch: entry i, j has the value of row i and the parameters of row j."""

    def __init__(self, section: Section, joint: str):
        self.section, self.sampling = section, section.sampling
        self.joint = section.sampling.part(joint)
        self.rows = section.sampling.rows(self.joint)

    def declared(self, density: Density) -> Node:
        """log r(b_i|a_j) of a declared conditional, as a matrix."""
        factor = self.sampling.declared(density)
        refuse_quantised(factor)
        evaluation = Evaluation(self.sampling, self.joint, factor, change=self._pair)
        name = f"log_{'_'.join(factor.of)}_pairs"
        comment = f"log {factor} of every row i at the parameters of every row j"
        return self.section.let(name, evaluation.node(log_density(evaluation.first)), comment)

    def evaluation(self, variable: str) -> Evaluation:
        """The conditional's density of each row's variable at every row's conditioners."""
        factor = self.joint.by_variable[variable]
        seen = [v for v in factor.given if not self.joint.by_variable[v].empirical]
        if factor.family is None or seen or not factor.given:
            given = f"{', '.join(seen)}, which is drawn itself" if seen else "nothing that is observed"
            raise EmissionError(
                f"{factor} is conditioned on {given}: a batch gives no mixture of it\n"
                "  write: a factor of what is observed, or an estimator with a critic"
            )
        if factor.family.outside:
            raise EmissionError(
                f"the density of {factor} ({factor.family.name}) is known at its draws alone, and a batch's mixture needs that of every "
                "pair of rows\n  write: a family with a density, or an estimator with a critic"
            )
        refuse_quantised(factor)
        if factor.family.facts.cell is not None:
            raise EmissionError(
                f"the density of {factor} ({factor.family.name}) is constant in a cell and 0 outside, so that a batch's mixture of it "
                "has no gradient\n  write: a family with a smooth density, or an estimator with a critic"
            )
        return Evaluation(self.sampling, self.joint, factor, change=self._pair)

    def _pair(self, value: bool, load: Load) -> Node:
        """Rows i of a value stand before the columns j of a parameter."""
        after = len(load.axes) - 1 - load.axes.index(self.rows)
        return Insert(load, -1 - after) if value else Insert(load, -2 - after)

    def pairs(self, variable: str) -> Node:
        """log q(z_i|x_j), as a matrix."""
        evaluation = self.evaluation(variable)
        return self.section.let(
            f"log_{variable}_pairs", evaluation.node(log_density(evaluation.first)), self._comment(variable)
        )

    def divergences(self, variable: str) -> Node:
        """KL(q(z|x_i)||q(z|x_j)), as a matrix."""
        factor = self.joint.by_variable[variable]
        if factor.family is None or any(not self.joint.by_variable[v].empirical for v in factor.given):
            raise EmissionError(
                f"{factor} is conditioned on what is drawn itself: rows have no relative entropies to one another\n"
                "  write: a factor of what is observed, or an estimator with a critic"
            )
        both = Evaluation(self.sampling, self.joint, factor, factor)
        for first, law in zip((True, False), laws(both), strict=True):
            for role, symbol in law.symbols.items():
                load = self.sampling.parameter(factor, role, self.joint)
                both.operands[symbol] = partial(self._pair, first, load)
        formula = relative_entropy(*laws(both))
        formula = Formula(with_capped_exponents(formula.expression), formula.text)
        comment = f"KL of {factor} at row i to it at row j: {formula.text}"
        return self.section.let(f"kl_{variable}_pairs", both.node(formula), comment)

    def coordinates(self, variable: str) -> tuple[Node, int]:
        """log q(z_il|x_j) before the sum over coordinates l, and how many axes those have."""
        evaluation = self.evaluation(variable)
        parted = per_element(log_density(evaluation.first)) if evaluation.event else None
        if parted is None:
            raise EmissionError(
                f"the coordinates of {self.joint.by_variable[variable]} do not part, so their total correlation has no estimate\n"
                "  write: a family of independent coordinates"
            )
        number, body = parted
        node = elementwise(number * A, a=evaluation.node(body))
        return self.section.let(
            f"log_{variable}_elements", node, f"{self._comment(variable)}, coordinate by coordinate"
        ), evaluation.event

    def _comment(self, variable: str) -> str:
        return f"log {self.joint.by_variable[variable]} of every draw i at the parameters of every row j"

    def joint_pairs(self, variables: Iterable[str]) -> Node:
        """log of the product of several factors, each given what was observed."""
        names = list(variables)
        parts = {f"part{k}": self._part(v, names) for k, v in enumerate(names)}
        if len(names) == 1:
            return parts["part0"]
        total = sum(sympy.Symbol(p, real=True) for p in parts)
        return self.section.let(
            f"log_{'_'.join(names)}_pairs",
            elementwise(total, **parts),
            "their sum: factors of one another and of what is observed",
        )

    def _part(self, variable: str, names: list[str]) -> Node:
        """A factor of every pair; one that is conditioned on drawn values of the same row alone is the same for all j."""
        factor = self.joint.by_variable[variable]
        if factor.family is None or not factor.given or not set(factor.given) <= set(names):
            return self.pairs(variable)
        own = let_at_sample(self.section, self.joint, Density(factor.head, factor.of, factor.given))
        return Insert(own, -1)


def factorised(section: Section, density: Density) -> tuple[Density, ...]:
    """A marginal as the product of its joint's factors, where nothing else lies above it; a factor as it is."""
    joint = section.sampling.spec.joints[density.head]
    above = joint.ancestral_factors(density.of)
    if density.given or {v for f in above for v in f.of} != {*density.of}:
        return (density,)
    return tuple(Density(density.head, f.of, f.given) for f in above)


def conditional(
    section: Section, item: BoundTerm, joint: str, groups: tuple[tuple[str, ...], ...]
) -> tuple[Batch, tuple[str, ...]]:
    """The group whose factors are its conditional given the other group."""
    batch = Batch(section, joint)
    for other, mine in (groups, groups[::-1]):
        if all(f.family is not None and f.evaluated for f in own_factors(batch.joint, mine)) and _given(
            batch.joint, mine, other
        ):
            return batch, mine
    a, b = groups
    names = ",".join(b), ",".join(a)
    fitted = f'density = "r({names[0]}|{names[1]})" with a joint r for it, '
    fitted = fitted if any(option.kind == "density" for option in ESTIMATORS[item.estimator].options) else ""
    raise EmissionError(
        f"{item.estimator} of {item.text} needs the density of one argument given the other, and {joint} has no factor of it that can be "
        f"evaluated\n  write: {joint}({names[0]}|{names[1]}) with a density, {fitted}or an estimator with a critic"
    )


def own_factors(joint: Joint, group: tuple[str, ...]) -> list[Factor]:
    """The factors of a group's variables."""
    return [joint.by_variable[v] for v in group]


def _given(joint: Joint, mine: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether q(mine|other) is the product of mine's factors: their conditioners lie in both, nothing of the other comes from mine."""
    own = own_factors(joint, mine)
    used = {v for f in own for v in f.given} - {*mine}
    extra = [v for v in other if v not in used]
    roots = {*own}.isdisjoint(joint.ancestral_factors(used))
    return bool(used) and used <= {*other} and roots and joint.independent(mine, extra, used)


def divergences(section: Section, item: BoundTerm) -> Node:
    """KL(q(z|x_i)||q(z|x_j)) for every pair of rows, the sum of the factors' own."""
    term = plain(item)
    if not isinstance(term, MutualInformation) or term.given:
        raise refuse(item)
    batch, mine = conditional(section, item, term.joint, term.groups)
    parts = {f"part{k}": batch.divergences(v) for k, v in enumerate(mine)}
    return parts["part0"] if len(parts) == 1 else elementwise(added(parts), **parts)


def added(values: Iterable[str]) -> sympy.Expr:
    """The sum of symbols."""
    return sum((sympy.Symbol(n, real=True) for n in values), sympy.Integer(0))


def conditional_pairs(section: Section, item: BoundTerm) -> Node:
    """log q(b_i|a_j), by the density that the estimator names, or by the joint's own."""
    term = plain(item)
    if not isinstance(term, MutualInformation) or term.given:
        raise refuse(item)
    if (density := density_of(item)) is not None:
        return Batch(section, term.joint).declared(density)
    batch, mine = conditional(section, item, term.joint, term.groups)
    return batch.joint_pairs(mine)
