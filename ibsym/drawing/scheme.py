"""What a figure shows, as a graph: variables where they are drawn, the factors that draw or score them, the terms that look at both.

A variable that two joints draw by the same factors from the same variables is one node; a network that is used twice, on other
variables, is two boxes that say so.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from functools import singledispatchmethod

from ibsym.derivation.model import BoundTerm, Derivation
from ibsym.estimators import ESTIMATORS
from ibsym.estimators.base import Estimator
from ibsym.rendering import notation
from ibsym.rendering.tex import tex
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import CriticUse
from ibsym.terms.measures import (
    CrossEntropy,
    Density,
    Entropy,
    Estimate,
    ExpectedLog,
    Expression,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Slack,
    Term,
    TotalCorrelation,
)


class Kind(Enum):
    """What a node is, which its shape shows."""

    SOURCE = "source"
    VARIABLE = "variable"
    NETWORK = "network"
    FIXED = "fixed"
    CRITIC = "critic"
    TERM = "term"
    PART = "part"
    STEP = "step"
    DROPPED = "dropped"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class Node:
    """A node; equal keys are one node. ``label`` is LaTeX in mathematics mode."""

    kind: Kind
    key: tuple[object, ...]
    label: str


@dataclass
class Scheme:
    """The nodes in the order in which they were met, edges of the flow, the looks that terms take, and how often a row has a node."""

    name: str
    nodes: dict[tuple[object, ...], Node] = field(default_factory=dict)
    flow: dict[tuple[Node, Node], None] = field(default_factory=dict)
    looks: dict[tuple[Node, Node], None] = field(default_factory=dict)
    plates: dict[Node, str] = field(default_factory=dict)
    legend: tuple[str, ...] = ()

    @property
    def shared(self) -> frozenset[Node]:
        """The boxes of networks that have more than one."""
        count = Counter(node.label for node in self.nodes.values() if node.kind is Kind.NETWORK)
        return frozenset(n for n in self.nodes.values() if n.kind is Kind.NETWORK and count[n.label] > 1)


def scheme(derivation: Derivation) -> Scheme:
    """The figure of what the loss computes."""
    drawn = _Builder(derivation)
    for part in derivation.bound:
        drawn.add(part)
    return drawn.scheme


def learns(estimator: Estimator) -> bool:
    """Whether the estimate has a network of its own: a critic, scores of pairs, a player that fits a density."""
    return estimator.critic is not None or estimator.player or any(option.name == "critic" for option in estimator.options)


class _Builder:
    def __init__(self, derivation: Derivation):
        self.spec = derivation.spec
        self.critics = {str(c.critic.key): c.critic for c in derivation.constraints}
        self.scheme = Scheme(derivation.spec.name)

    def node(self, kind: Kind, key: tuple[object, ...], label: str) -> Node:
        return self.scheme.nodes.setdefault(key, Node(kind, key, label))

    def flow(self, start: Node, end: Node) -> None:
        self.scheme.flow[start, end] = None

    def look(self, start: Node, end: Node) -> None:
        self.scheme.looks[start, end] = None

    # Variables and factors

    def variable(self, joint: Joint, name: str) -> Node:
        """A variable as a joint draws it; outside of what the joint generates, on its own."""
        factor = joint.by_variable.get(name)
        if factor is None:
            return self.node(Kind.VARIABLE, (name,), tex(notation.value(name)))
        box = self.box(factor, joint)
        node = self.node(Kind.VARIABLE, (name, box.key), tex(notation.value(name)))
        self.flow(box, node)
        return node

    def box(self, factor: Factor, joint: Joint) -> Node:
        """A factor on the variables that a joint draws."""
        parents = [self.variable(joint, v) for v in factor.given]
        for part in factor.components:
            parents += [self.variable(self.spec.joints[part.joint], v) for v in part.of]
        kind = Kind.SOURCE if factor.empirical else Kind.NETWORK if factor.learned or factor.components else Kind.FIXED
        box = self.node(kind, (factor.text, *(p.key for p in parents)), tex(notation.density(factor)))
        for parent in parents:
            self.flow(parent, box)
        return box

    def scored(self, density: Density, sampler: Joint) -> list[Node]:
        """What evaluates a density at a joint's samples: its factor's box, or the variables whose law it is."""
        joint = self.spec.joints.get(density.head)
        factor = joint.factor_of(density.of, density.given) if joint is not None else None
        if factor is None:
            factor = next((f for f in self.spec.factors.values() if f.text == str(density)), None)
        if factor is not None and not factor.empirical:
            return [self.box(factor, sampler)]
        if joint is None or not joint.rooted:
            return [self.variable(sampler, v) for v in density.of]
        made = [f for f in joint.factors if f in joint.ancestral_factors(density.of)]
        hidden = [v for f in made for v in f.of if v not in (*density.of, *density.given)]
        if joint is sampler or not {*hidden} <= sampler.by_variable.keys():
            return [self.variable(joint, v) for v in density.of]
        draws = dict.fromkeys(sampler.by_variable[v] for v in hidden)  # a sum over what is hidden, at the sampler's draws
        return [self.box(f, sampler) for f in (*made, *draws)]

    def samples(self, density: Density, through: CriticUse | None) -> list[Node]:
        """What a critic sees of a density: its variables, or what a factor makes of them."""
        joint = self.spec.joints.get(density.head) or self.joint_of(density)
        if through is None:
            return [self.variable(joint, v) for v in density.of]
        parents = [self.variable(joint, v) for v in through.through.given]
        box = self.node(
            Kind.NETWORK,
            (through.through.text, *(p.key for p in parents)),
            tex(notation.density(through.through)),
        )
        for parent in parents:
            self.flow(parent, box)
        found = []
        for name in through.through.of:
            found.append(self.node(Kind.VARIABLE, (name, box.key), tex(notation.value(name))))
            self.flow(box, found[-1])
        return found

    def joint_of(self, density: Density) -> Joint:
        """A joint that has a factor of this head."""
        return next(j for j in self.spec.joints.values() if any(f.head == density.head for f in j.factors))

    # Terms

    def add(self, part: BoundTerm) -> None:
        """A term of the bound, and all that it looks at."""
        weighted = tex(notation.expression(Expression.of((part.coefficient, part.term))))
        estimator = ESTIMATORS.get(part.estimator)
        kind = Kind.CRITIC if estimator is not None and learns(estimator) else Kind.TERM
        node = self.node(kind, (part.text, part.estimator), weighted)
        through = self.critics.get(part.text)
        for seen in dict.fromkeys(self.seen(part.quantity, part, through)):
            self.look(seen, node)
        if estimator is not None and estimator.copies > 1 and isinstance(part.quantity, ExpectedLog):
            joint = self.spec.joints[part.quantity.joint]  # a plate around every variable that a row has several draws of
            self.scheme.plates |= {self.variable(joint, v): "S" for v, f in joint.by_variable.items() if not f.empirical}

    @singledispatchmethod
    def seen(self, term: Term, part: BoundTerm, through: CriticUse | None) -> list[Node]:
        """What a term looks at."""
        raise TypeError(f"{term} is drawn nowhere")

    @seen.register(RelativeEntropy | CrossEntropy)
    def _(self, term: RelativeEntropy | CrossEntropy, part: BoundTerm, through: CriticUse | None) -> list[Node]:
        sampler = self.spec.joints.get(term.first.head) or self.joint_of(term.first)
        if part.estimator in ("closed-form", "sampled"):
            densities = [term.first, *term.second] if isinstance(term, RelativeEntropy) else list(term.second)
            return [node for d in densities for node in self.scored(d, sampler)]
        return [node for d in (term.first, *term.second) for node in self.samples(d, through)]

    @seen.register(JensenShannon | FDivergence)
    def _(self, term: JensenShannon | FDivergence, part: BoundTerm, through: CriticUse | None) -> list[Node]:
        return [node for d in (term.first, *term.second) for node in self.samples(d, through)]

    @seen.register
    def _(self, term: ExpectedLog, part: BoundTerm, through: CriticUse | None) -> list[Node]:
        sampler = self.spec.joints[term.joint]
        boxes = [node for d in term.second for node in self.scored(d, sampler)]
        return [*boxes, *(self.variable(sampler, v) for d in term.second for v in d.of)]

    @seen.register
    def _(self, term: Entropy, part: BoundTerm, through: CriticUse | None) -> list[Node]:
        return self.scored(Density(term.joint, term.of, term.given), self.spec.joints[term.joint])

    @seen.register(MutualInformation | TotalCorrelation)
    def _(self, term: MutualInformation | TotalCorrelation, part: BoundTerm, through: CriticUse | None) -> list[Node]:
        joint = self.spec.joints[term.joint]
        return [self.variable(joint, v) for group in (*term.groups, term.given) for v in group]

    @seen.register(Estimate | Slack)
    def _(self, term: Estimate | Slack, part: BoundTerm, through: CriticUse | None) -> list[Node]:
        quantity = term.term if isinstance(term, Estimate) else term.estimate.term
        return self.seen(quantity, part, through)
