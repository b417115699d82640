"""E_j as a mean over rows: which parts a joint has, which rows they come in, what is drawn, what carries a gradient."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import sympy

from ibsym.derivation.sampling import source
from ibsym.errors import EmissionError
from ibsym.families.base import Law, parameter_axes
from ibsym.lowering.naming import unused
from ibsym.lowering.program import Axes, InputKey, Load
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.model import Spec
from ibsym.terms.measures import Density
from ibsym.terms.vectors import Coordinates

DRAWS, ROWS = "S", "B"


def seen_by(factor: Factor, role: str) -> tuple[str, ...]:
    """The variables that a parameter depends on."""
    assert factor.family is not None
    declared = factor.family.role(role)
    return () if declared.shared else (*factor.given, *factor.of) if declared.at_value else factor.given


class Sampling:
    """The joints of a spec as an emitted module sees them: batches of rows, with or without a Monte-Carlo axis."""

    def __init__(self, spec: Spec, coordinates: Coordinates, through: Iterable[str] = ()):
        self.spec, self.coordinates, self.through = spec, coordinates, frozenset(through)
        self.first_source = next(iter(spec.sources), None)
        self.drawn_by: dict[tuple[str, str], Factor] = {}

    def parts(self, joint: str) -> tuple[tuple[sympy.Rational, Joint], ...]:
        """The joint as a mixture of products, each with its weight."""
        return tuple((sympy.Rational(w), part) for w, part in self.coordinates.samplers(joint))

    def part(self, joint: str) -> Joint:
        """The joint as one product; a mixture has no rows of its own."""
        parts = self.parts(joint)
        if len(parts) > 1:
            raise EmissionError(
                f"{joint} is a mixture: its samples come in {len(parts)} batches, and this term needs one\n"
                "  write: an estimator with a critic, which takes them as one"
            )
        return parts[0][1]

    def source(self, joint: Joint) -> str | None:
        """The source that a joint draws from, or from its marginal; None where it observes nothing."""
        return source(self.spec, joint)

    def rows(self, joint: Joint) -> str:
        """The batch axis: B for the first source, B_<source> for another, B_<joint> where nothing is observed."""
        source = self.source(joint)
        if source is None:
            return f"{ROWS}_{joint.name}"
        return ROWS if source == self.first_source else f"{ROWS}_{source}"

    def drawn(self, joint: Joint, names: Iterable[str]) -> bool:
        """Whether any of the variables is drawn, several times a row if one likes, beside what is observed."""
        return self.source(joint) is not None and any(
            not joint.by_variable[v].empirical and not joint.by_variable[v].enumerated for v in names
        )

    def classes(self, joint: Joint, names: Iterable[str]) -> tuple[str, ...]:
        """The variables with exact sums that values of the names depend on, each with a class axis, in the order of declaration."""
        return self.spec.ordered(joint.summed(names))

    def sample_axes(self, joint: Joint, names: Iterable[str]) -> Axes:
        """The axes in front of an event: S where anything among the names is drawn, class axes, then the batch."""
        seen = tuple(names)
        classes = (d for v in self.classes(joint, seen) for d in self.spec.variables[v].dims)
        return (*((DRAWS,) if self.drawn(joint, seen) else ()), *classes, self.rows(joint))

    def learned(self, joint: Joint, names: Iterable[str]) -> bool:
        """Whether any factor above the names is learned."""
        return any(f.learned for f in joint.ancestral_factors(names))

    def declared(self, density: Density) -> Factor:
        """The factor that a density is."""
        of, given = frozenset(density.of), frozenset(density.given)
        for factor in self.spec.joints[density.head].factors:
            if (frozenset(factor.of), frozenset(factor.given)) == (of, given) and factor.family is not None:
                return factor
        raise EmissionError(
            f"{density} is not a declared factor, so nothing evaluates it\n  write: joints.{density.head} with the factor {density}"
        )

    def own(self, joint: Joint, variable: str) -> Factor:
        """The factor that the variable is drawn from."""
        return joint.by_variable[variable]

    def law(self, factor: Factor, joint: Joint, mark: str = "") -> Law:
        """The factor's family at its parameters, for values that are drawn under the joint."""
        assert factor.family is not None
        if len(factor.of) != 1:
            raise EmissionError(
                f"{factor} is a density of several variables, which no family evaluates\n  write: one factor a variable"
            )
        (variable,) = factor.of
        space = self.spec.variables[variable]
        matrix = factor.family.matrix
        if matrix is not None and len(space.dims) != 1:
            raise EmissionError(
                f"{factor} is {factor.family.name}, whose {matrix} is a matrix, and {variable} is {space}\n"
                f'  write: variables.{variable} = "{space.kind}[D]", or "diagonal-normal"'
            )
        own = joint.by_variable.get(variable)
        every = own is not None and own.enumerated
        return Law(factor.family, space, mark, self.role(joint, variable) == "sample", every)

    def role(self, joint: Joint, variable: str) -> str:
        """``sample`` for a draw through which gradients flow, else ``value``."""
        own = joint.by_variable.get(variable)
        if own is None or own.family is None or own.empirical or not self.learned(joint, (variable,)):
            return "value"
        return "sample" if own.family.carries_gradient and not own.family.facts.quantised else "value"

    def value(self, joint: Joint, variable: str) -> Load:
        """A variable's value: observed or drawn."""
        role = self.role(joint, variable)
        return self._value(joint, variable, role)

    def reference(self, joint: Joint, variable: str) -> Load:
        """Draws from a divergence's second argument."""
        return self._value(joint, variable, "sample_reference")

    def one_law(self, joint: Joint, names: Iterable[str]) -> None:
        """Raises where one name would stand for two draws: a mixture draws a variable otherwise than its component, or another mixture."""
        for factor in joint.ancestral_factors(names):
            for v in factor.of:
                own = self.spec.joints[joint.name].by_variable.get(v)
                other = self.drawn_by.setdefault((joint.name, v), own or factor)
                if other != factor and factor.origin is None:
                    raise EmissionError(
                        f"{v} is drawn by {other} where {joint.name} stands alone or in one mixture, by {factor} in another\n"
                        f"  write: another name for {v} in one of them"
                    )

    def _value(self, joint: Joint, variable: str, role: str) -> Load:
        self.one_law(joint, (variable,))
        space = self.spec.variables[variable]
        index = space.kind == "categorical" and self.role(joint, variable) == "value"
        event = space.event if index else space.axes
        return Load(InputKey(variable, role, joint.name), (*self.sample_axes(joint, (variable,)), *event), index)

    def parameter(self, factor: Factor, role: str, joint: Joint) -> Load:
        """A parameter of the factor's family at its conditioners' values under the joint."""
        assert factor.family is not None
        (variable,) = factor.of
        axes = parameter_axes(factor.family, role, self.spec.variables[variable])
        seen = seen_by(factor, role)
        self.one_law(joint, seen)
        rows = self.sample_axes(joint, seen) if seen else ()
        return Load(InputKey(factor.declared, role, joint.name), (*rows, *axes))

    def critic(self, text: str, density: Density, role: str = "critic") -> Load:
        """A critic's logit on samples of one argument of a divergence; a critic that sees them through a code may draw it often."""
        parts = self.parts(density.head)
        if len(parts) == 1:
            axes = self.sample_axes(parts[0][1], density.scope)
        else:
            axes = (f"{ROWS}_{density.head}",)
        if text in self.through and DRAWS not in axes:
            axes = (DRAWS, *axes)
        return Load(InputKey(text, role, density.head), axes)

    def embedding(self, joint: str, variable: str) -> Load:
        """A variable's embedding at each row, of as many numbers as those that it is multiplied with."""
        rows = self.rows(self.part(joint))
        return Load(InputKey(variable, "embedding", joint), (rows, self.features[variable]))

    @cached_property
    def features(self) -> dict[str, str]:
        """The axis of each variable's embedding: E, or, where that says too little, E with the first variable that it is of."""
        import networkx as nx

        together: nx.Graph = nx.Graph()
        for use in self.spec.estimators:
            if dict(use.options).get("critic") == "inner-product":
                names = [self.spec.resolve(v, use.key, capital=True) for group in use.term.groups for v in group]
                nx.add_path(together, names)
        groups = [self.spec.ordered(group) for group in nx.connected_components(together)]
        taken = {d for space in self.spec.variables.values() for d in space.dims}
        alone = len(groups) == 1 and "E" not in taken
        return {v: "E" if alone else unused(f"E_{group[0]}", taken) for group in groups for v in group}

    def temperature(self, text: str, joint: str) -> Load:
        """What a term's inner products are divided by: a number above 0."""
        return Load(InputKey(text, "temperature", joint), ())

    def scores(self, text: str, joint: str) -> Load:
        """A critic on all pairs of a batch."""
        rows = self.rows(self.part(joint))
        return Load(InputKey(text, "scores", joint), (rows, rows))
