"""Joints as directed graphs over variables: factors, ancestors, d-separation, what a conditional depends on.

A joint is a product of factors along a directed acyclic graph. Everything a derivation may assume about it is read off
the graph here: conditional independences (d-separation), and the factors that a marginal or a conditional depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

from ibsym.spec.families import FamilyUse

if TYPE_CHECKING:
    import networkx as nx

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a mixture: the marginal of another joint, with its weight."""

    weight: Fraction
    joint: str
    of: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Factor:
    """``head(of|given)`` with its family; a mixture has components and no family. Equal text within a spec is one network.

    ``origin`` is the factor as it was declared, where variables inside a mixture's component stand under other names.
    """

    head: str
    of: tuple[str, ...]
    given: tuple[str, ...] = ()
    family: FamilyUse | None = None
    components: tuple[Component, ...] = ()
    origin: Factor | None = None

    @cached_property
    def text(self) -> str:
        """The factor in the spec's own notation."""
        return f"{self.head}({','.join(self.of)}" + (f"|{','.join(self.given)}" if self.given else "") + ")"

    @property
    def declared(self) -> str:
        """The text that the spec declares it by."""
        return self.text if self.origin is None else self.origin.declared

    def renamed(self, names: Mapping[str, str]) -> Factor:
        """The same factor of variables under other names; itself where it has none of them."""
        if not {*self.of, *self.given} & {*names}:
            return self
        of, given = (tuple(names.get(v, v) for v in part) for part in (self.of, self.given))
        return Factor(self.head, of, given, self.family, self.components, self)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        parts = " + ".join(f"{c.weight}*{c.joint}({','.join(c.of)})" for c in self.components)
        return f"<Factor {self.text}: {self.family.name if self.family else parts}>"

    def __hash__(self) -> int:
        return hash((self.text, self.components))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Factor) and (self.text, self.components) == (other.text, other.components)

    @property
    def empirical(self) -> bool:
        """Whether it is known by samples only."""
        return self.family is not None and self.family.facts.source

    @property
    def enumerated(self) -> bool:
        """Whether its variable is summed over exactly, and not drawn."""
        return self.family is not None and self.family.enumerated

    @property
    def learned(self) -> bool:
        """Whether its parameters are trained."""
        return self.family is not None and self.family.facts.learned

    @property
    def evaluated(self) -> bool:
        """Whether its density can be evaluated."""
        return self.family is not None and self.family.facts.evaluated


@dataclass(frozen=True, eq=False, repr=False)
class Joint:
    """A named product of factors: a distribution if it is ``rooted``, else one for each value of its external variables."""

    name: str
    factors: tuple[Factor, ...]
    variables: tuple[str, ...]
    rooted: bool
    _memory: dict[object, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Joint {self.name}: {' '.join(map(str, self.factors))}>"

    @cached_property
    def graph(self) -> nx.DiGraph:
        """Variables and, as extra roots ``("factor", text)``, the factors; variables of one factor are fully connected.

        External variables have a common root, since nothing says that they are independent.
        """
        import networkx as nx  # here and below: a tenth of a second that `import ibsym` need not pay

        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.variables)
        for factor in self.factors:
            for i, child in enumerate(factor.of):
                graph.add_edges_from((parent, child) for parent in (*factor.given, *factor.of[:i]))
                graph.add_edge(("factor", factor.text), child)
        graph.add_edges_from((("law",), v) for v in self.external)
        return graph

    @cached_property
    def external(self) -> frozenset[str]:
        """The variables that no factor generates: the joint conditions on them."""
        return frozenset(self.variables) - frozenset(self.by_variable)

    def conditioned(self, scope: Iterable[str]) -> frozenset[str]:
        """Where the density of some variables lives: those that are generated, and the external ones that they descend from.

        Of a rooted joint it is the scope itself.
        """
        generated = frozenset(scope) - self.external
        return generated | {v for f in self.ancestral_factors(generated) for v in f.given if v in self.external}

    def exists(self, of: Iterable[str], given: Iterable[str] = ()) -> bool:
        """Whether r(a|b) is a density: always for a distribution; else for declared factors, and where b separates a from E."""
        a, b = frozenset(of), frozenset(given)
        if self.rooted or self.factor_of(a, b) is not None:
            return True
        return not a & self.external and self.independent(a, self.external - b, b)

    @cached_property
    def by_variable(self) -> dict[str, Factor]:
        """The factor that gives each variable."""
        return {v: f for f in self.factors for v in f.of}

    def factor_of(self, of: Iterable[str], given: Iterable[str] | None = None) -> Factor | None:
        """The factor that the density of these variables is, under just these conditioners; under any, where none are named."""
        a, b = frozenset(of), None if given is None else frozenset(given)
        return next((f for f in self.factors if frozenset(f.of) == a and (b is None or frozenset(f.given) == b)), None)

    def ancestral_factors(self, variables: Iterable[str]) -> tuple[Factor, ...]:
        """The factors that the marginal of ``variables`` is made of, in the order of the joint."""
        key = ("ancestral", frozenset(variables))
        if key not in self._memory:
            found: set[Factor] = set()
            pending = list(key[1])
            while pending:
                factor = self.by_variable.get(pending.pop())
                if factor is not None and factor not in found:
                    found.add(factor)
                    pending += factor.given
            self._memory[key] = tuple(f for f in self.factors if f in found)
        return self._memory[key]  # type: ignore[return-value]

    def summed(self, names: Iterable[str]) -> frozenset[str]:
        """The variables with exact sums that values of the names depend on: themselves, or those nearest above their draws."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            factor = self.by_variable.get(variable := pending.pop())
            if factor is not None and factor.enumerated:
                found.add(variable)
            elif factor is not None:
                pending += factor.given
        return frozenset(found)

    def independent(self, a: Iterable[str], b: Iterable[str], given: Iterable[str] = ()) -> bool:
        """Whether a and b are d-separated by the given variables; what is given counts on neither side."""
        condition = frozenset(given)
        left, right = frozenset(a) - condition, frozenset(b) - condition
        if not left or not right:
            return True
        if left & right:
            return False
        key = ("independent", min(left, right, key=sorted), max(left, right, key=sorted), condition)
        if key not in self._memory:
            import networkx as nx

            self._memory[key] = nx.is_d_separator(self.graph, set(left), set(right), set(condition))
        return bool(self._memory[key])

    def requisite_factors(self, of: Iterable[str], given: Iterable[str] = ()) -> frozenset[Factor]:
        """The factors that the conditional of ``of`` given ``given`` depends on (Shachter's requisite nodes)."""
        a, b = frozenset(of), frozenset(given)
        key = ("requisite", a, b)
        if key not in self._memory:
            candidates = self.ancestral_factors(a | b)
            declared = self.factor_of(a, b)
            if declared is not None:
                self._memory[key] = frozenset((declared,))
            elif not b or not self.external <= b:
                self._memory[key] = candidates
            else:
                import networkx as nx

                graph = self.graph
                self._memory[key] = frozenset(
                    f for f in candidates if not nx.is_d_separator(graph, {("factor", f.text)}, set(a), set(b))
                )
        return self._memory[key]  # type: ignore[return-value]

    def independences(self) -> Iterable[tuple[str, str, tuple[str, ...]]]:
        """Elemental conditional independences a, b | C of the graph, external variables given; the chain rule gives all others."""
        generated = [v for v in self.variables if v not in self.external]
        for a, b in combinations(generated, 2):
            rest = [v for v in generated if v not in (a, b)]
            for size in range(len(rest) + 1):
                for some in combinations(rest, size):
                    given = tuple(v for v in self.variables if v in some or v in self.external)
                    if self.independent((a,), (b,), given):
                        yield a, b, given

    def order(self) -> tuple[str, ...]:
        """Variables, parents first; ties by declaration."""
        import networkx as nx

        place = {v: i for i, v in enumerate(self.variables)}
        graph = self.graph.subgraph([*self.variables])
        return tuple(nx.lexicographical_topological_sort(graph, key=lambda v: place[v]))
