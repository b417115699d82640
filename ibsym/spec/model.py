"""A spec: variables, joints as graphs, families, parameters and an objective, every name resolved and checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NoReturn

from ibsym.errors import SpecError
from ibsym.facts import Fact
from ibsym.spec.families import FAMILIES, FamilyUse, read_family
from ibsym.spec.grammar import (
    Arithmetic,
    DensitySyntax,
    ExpressionSyntax,
    MixtureSyntax,
    ObjectiveSyntax,
    QuantitySyntax,
    RelationSyntax,
    decimal,
    parse,
)
from ibsym.spec.graphs import Component, Factor, Joint
from ibsym.spec.locations import located
from ibsym.spec.names import check_spec_name
from ibsym.spec.reserved import check_parameters
from ibsym.spec.schema import (
    CRITIC_ESTIMATORS,
    ESTIMATORS,
    EstimatorEntry,
    ParameterEntry,
    check_name,
    validate,
)
from ibsym.spec.spaces import Space

EMPIRICAL = FamilyUse(FAMILIES["empirical"])


@dataclass(frozen=True, slots=True)
class EstimatorUse:
    """What the spec asks for one term: the term as written, the estimator, what the model minimises, options."""

    key: str
    term: QuantitySyntax
    estimator: str
    model: str | None
    options: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class CriticUse:
    """A critic that sees its samples through ``through``, subject to ``information <= budget`` with a multiplier."""

    key: str
    term: QuantitySyntax
    through: Factor
    constraint: RelationSyntax | None
    multiplier: str | None


class Spec:
    """What a researcher wants: an objective over the joints of a few variables.

    Takes the keys of the TOML file (``name``, ``objective``, ``variables``, ``joints``, ``families``, ``parameters``,
    ``estimators``, ``derivation``, ``critics``, ``title``, ``cite``, ``notes``). Every mistake is a :class:`SpecError`.

    >>> spec = Spec(name="compress", objective="minimize I_q(X;Z)", variables={"x": "real[D]", "z": "real[L]"},
    ...             joints={"q": "data(x) q(z|x)", "p": "p(z)"},
    ...             families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal"})
    >>> [str(f) for f in spec.joints["q"].factors], list(spec.sources)
    (['data(x)', 'q(z|x)'], ['data'])
    """

    def __init__(self, **keys: Any):
        file = validate(keys)
        self.keys = dict(keys)
        self.origin: tuple[str, str] | None = None
        check_spec_name(file.name)
        self.name, self.title, self.cite, self.notes = file.name, file.title or file.name, file.cite, file.notes
        self.objective_text = file.objective
        self.variables = _read_variables(file.variables)
        self.parameters = _read_parameters(file.parameters, file.critics.values())
        self.objective: ObjectiveSyntax = parse(file.objective, "objective", "objective")  # type: ignore[assignment]
        self.sense = self.objective.sense
        self.families: dict[str, FamilyUse] = {}
        self.joints: dict[str, Joint] = {}
        self.sources: dict[str, Factor] = {}
        _Builder(self, file.joints, file.families, list(file.critics.items())).build()
        check_parameters(self.parameters, self.variables, self.factors.values())
        self.estimators = tuple(self._estimator(k, e) for k, e in file.estimators.items())
        self.expansions: tuple[tuple[QuantitySyntax, DensitySyntax], ...] = tuple(
            parse(t, "expansion", "derivation.expand")  # type: ignore[misc]
            for t in file.derivation.expand
        )
        self.critics = tuple(self._critic(k, e) for k, e in file.critics.items())

    @property
    def module_name(self) -> str:
        """The emitted file's stem."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The emitted class: the words of the name, capitalised, and ``Loss``."""
        return "".join(w[:1].upper() + w[1:] for w in re.split(r"[-_]", self.name)) + "Loss"

    @cached_property
    def factors(self) -> dict[str, Factor]:
        return {f.text: f for j in self.joints.values() for f in j.factors}

    def ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        """Variables in the order of their declaration."""
        place = {v: i for i, v in enumerate(self.variables)}
        return tuple(sorted(names, key=lambda v: place[v]))

    def discrete(self, variable: str) -> bool:
        return self.variables[variable].discrete is Fact.TRUE

    def resolve(self, name: str, key: str, column: int | None = None, *, capital: bool) -> str:
        """The variable that ``name`` means: ``Z`` means z in a term, ``z`` means z in a density."""
        folded = {v.casefold(): v for v in self.variables}
        found = folded.get(name.casefold())
        if found is None:
            close = difflib.get_close_matches(name.casefold(), folded, n=1)
            remedy = f"{close[0]!r}, or declare it" if close else "declare it"
            raise SpecError(
                f"{name!r} is no declared variable",
                key=key,
                remedy=f'{remedy}: variables.{name.lower()} = "real[D]"',
                column=column,
            )
        if capital and name[0].islower():
            raise SpecError(
                f"information terms take random variables, not {name!r}", key=key, remedy=capitalised(found), column=column
            )
        if not capital and name != found:
            raise SpecError(f"densities take values, not {name!r}", key=key, remedy=found, column=column)
        return found

    def fail(self, message: str, *, key: str, remedy: str = "", column: int | None = None) -> NoReturn:
        raise SpecError(message, key=key, remedy=remedy, column=column)

    def located(self, error: SpecError) -> SpecError:
        """The error with its place in the file that the spec was read from, if it was read from one."""
        return error if self.origin is None else located(error, *self.origin)

    def _estimator(self, text: str, entry: str | EstimatorEntry) -> EstimatorUse:
        key = f'estimators."{text}"'
        term: QuantitySyntax = parse(text, "quantity", key)  # type: ignore[assignment]
        if isinstance(entry, str):
            entry = EstimatorEntry(estimator=entry)
        if entry.estimator not in ESTIMATORS:
            close = difflib.get_close_matches(entry.estimator, ESTIMATORS, n=1)
            self.fail(
                f"{entry.estimator!r} is no estimator", key=key, remedy=close[0] if close else "one of " + ", ".join(ESTIMATORS)
            )
        options = {k: v for k, v in entry.model_dump(exclude_none=True).items() if k not in ("estimator", "model")}
        for option in options:
            if option not in ESTIMATORS[entry.estimator]:
                known = ", ".join(ESTIMATORS[entry.estimator]) or "none"
                self.fail(f"{entry.estimator} has no option {option!r}", key=key, remedy=f"its options are: {known}")
        if entry.model is not None and entry.estimator not in CRITIC_ESTIMATORS:
            self.fail(f"{entry.estimator} has no critic, so no model side", key=key, remedy="leave out `model`")
        return EstimatorUse(text, term, entry.estimator, entry.model, tuple(sorted(options.items())))

    def _critic(self, text: str, entry: Any) -> CriticUse:
        key = f'critics."{text}"'
        term: QuantitySyntax = parse(text, "quantity", key)  # type: ignore[assignment]
        through = str(parse(entry.through, "density", f"{key}.through"))
        if through not in self.factors:
            self.fail(f"{through} is no declared factor", key=f"{key}.through", remedy="one of " + ", ".join(self.factors))
        constraint = parse(entry.subject_to, "constraint", f"{key}.subject_to") if entry.subject_to else None
        if constraint is not None and entry.multiplier is None:
            self.fail("a constraint needs a multiplier", key=key, remedy='multiplier = "mu"')
        if constraint is None and entry.multiplier is not None:
            self.fail("a multiplier needs a constraint", key=key, remedy='subject_to = "I_m(X;T) <= Ic"')
        return CriticUse(text, term, self.factors[through], constraint, entry.multiplier)  # type: ignore[arg-type]


def capitalised(variable: str) -> str:
    """The random variable's name: ``z1`` to ``Z1``."""
    return variable[:1].upper() + variable[1:]


def _read_variables(entries: dict[str, str]) -> dict[str, Space]:
    variables: dict[str, Space] = {}
    folded: dict[str, str] = {}
    for name, text in entries.items():
        key = f"variables.{name}"
        check_name(name, key, "variable")
        if name[0].isupper():
            raise SpecError(
                f"variables are declared by their values' name, not {name!r}", key=key, remedy=name[0].lower() + name[1:]
            )
        if name.casefold() in folded:
            raise SpecError(f"{name!r} and {folded[name.casefold()]!r} differ only by case", key=key, remedy="another name")
        folded[name.casefold()] = name
        variables[name] = Space.parse(text, key)
    return variables


def _read_parameters(entries: dict[str, ParameterEntry], critics: Iterable[Any]) -> dict[str, ParameterEntry]:
    parameters = dict(entries)
    for critic in critics:
        if critic.multiplier is not None:
            parameters.setdefault(critic.multiplier, ParameterEntry(default=0.0, min=0.0))
    for name, entry in parameters.items():
        key = f"parameters.{name}"
        check_name(name, key, "parameter")
        low, high = entry.min if entry.min is not None else -float("inf"), entry.max if entry.max is not None else float("inf")
        if low > high:
            raise SpecError(f"min {low:g} exceeds max {high:g}", key=key, remedy="min <= max")
        if not low <= entry.default <= high:
            raise SpecError(
                f"the default {entry.default:g} is outside of [{low:g}, {high:g}]",
                key=key,
                remedy="a default inside the interval",
            )
    return parameters


def quantities(expression: ExpressionSyntax) -> Iterator[QuantitySyntax]:
    """The terms in an expression, left to right."""
    if isinstance(expression, Arithmetic):
        for argument in expression.arguments:
            yield from quantities(argument)
    else:
        yield expression


class _Builder:
    """Reads the joints of a spec: own factors, factors of other joints, sources, mixtures, families."""

    def __init__(self, spec: Spec, joints: dict[str, str], families: dict[str, Any], critics: list[tuple[str, Any]]):
        self.spec = spec
        self.families: dict[str, Any] = {}
        for text, entry in families.items():
            key = str(parse(text, "density", f'families."{text}"'))
            if key in self.families:
                spec.fail(f"{key} has two families", key=f'families."{text}"', remedy="one family a factor")
            self.families[key] = entry
        self.syntax: dict[str, tuple[DensitySyntax | MixtureSyntax, ...]] = {}
        for name, text in joints.items():
            check_name(name, f"joints.{name}", "joint")
            self.syntax[name] = parse(text, "joint", f"joints.{name}")  # type: ignore[assignment]
        self.critics = critics

    def build(self) -> None:
        spec = self.spec
        self.collect_sources()
        for name in spec.sources:
            if name in self.syntax:
                spec.fail(
                    f"{name!r} is a source, and a joint of that name exists already",
                    key=f"joints.{name}",
                    remedy="another name for the joint",
                )
        for name in list(self.syntax):
            for part in self.syntax[name]:
                if isinstance(part, DensitySyntax) and part.head not in self.syntax and part.head not in spec.sources:
                    check_name(part.head, f"joints.{name}", "joint")
                    self.syntax[part.head] = (part,)
        for name in self.syntax:
            spec.joints[name] = self.joint(name)
        for name, source in spec.sources.items():
            spec.joints[name] = Joint(name, (source,), spec.ordered(source.of), True)
        for text in self.families:
            if text not in spec.factors and str(parse(text, "density")).split("(")[0] not in spec.sources:
                close = difflib.get_close_matches(text, spec.factors, n=1)
                spec.fail(
                    f"{text} is a factor of no joint",
                    key=f'families."{text}"',
                    remedy=close[0] if close else "leave it out, or use it in a joint",
                )

    def mentions(self) -> Iterator[tuple[DensitySyntax, str]]:
        """Every density that may name a source, in the order of the file."""
        for name, parts in self.syntax.items():
            for part in parts:
                for density in (part,) if isinstance(part, DensitySyntax) else (d for _, d in part.parts):
                    yield density, f"joints.{name}"
        for text in self.families:
            factor = parse(text, "density")
            if isinstance(factor, DensitySyntax) and self.is_source(factor.head):
                yield factor, f'families."{text}"'
        for quantity in quantities(self.spec.objective.expression):
            for argument in (quantity.first, *quantity.second):
                if argument is not None:
                    yield argument, "objective"

    def is_source(self, head: str) -> bool:
        if head == "data":
            return True
        named = (v.get("family") if isinstance(v, dict) else v for k, v in self.families.items() if k.split("(")[0] == head)
        return "empirical" in named

    def collect_sources(self) -> None:
        found: dict[str, list[str]] = {}
        for density, key in self.mentions():
            if self.is_source(density.head):
                check_name(density.head, key, "source")
                if density.given and key != "objective":
                    self.spec.fail(
                        f"{density} is known by samples only",
                        key=key,
                        remedy=f"{density.head}({','.join((*density.of, *density.given))})",
                    )
                seen = found.setdefault(density.head, [])
                seen += [
                    v for v in (self.spec.resolve(v, key, density.column, capital=False) for v in density.of) if v not in seen
                ]
        for head, variables in found.items():
            self.spec.sources[head] = Factor(head, tuple(self.spec.ordered(variables)), (), EMPIRICAL)

    def factor(self, part: DensitySyntax, key: str) -> Factor:
        spec = self.spec
        of = tuple(spec.resolve(v, key, part.column, capital=False) for v in part.of)
        given = tuple(spec.resolve(v, key, part.column, capital=False) for v in part.given)
        text = str(part)
        if len({*of, *given}) < len(of) + len(given):
            spec.fail(f"a variable occurs twice in {text}", key=key, remedy="each variable once", column=part.column)
        if text not in self.families:
            spec.fail(
                f"{text} has no family",
                key=key,
                remedy=f'families."{text}" = "diagonal-normal", or another',
                column=part.column,
            )
        entry = self.families[text]
        name = entry.get("family") if isinstance(entry, dict) else entry
        if len(of) > 1 and isinstance(name, str) and name in FAMILIES and name != "implicit":
            spec.fail(
                f"{text} has several variables, and {name} is a density of one",
                key=key,
                remedy='one factor a variable, or "implicit"',
                column=part.column,
            )
        family = next((read_family(text, entry, spec.variables[v].kind) for v in of), None)
        return Factor(part.head, of, given, family)

    def joint(self, name: str) -> Joint:
        spec, key = self.spec, f"joints.{name}"
        factors: list[Factor] = []
        for part in self.syntax[name]:
            if isinstance(part, MixtureSyntax):
                factors.append(self.mixture(name, part, key))
            elif part.head in spec.sources:
                factors.append(spec.sources[part.head])
            else:
                if part.head != name and str(part) not in {str(p) for p in self.syntax[part.head]}:
                    spec.fail(
                        f"{part} is no factor of the joint {part.head}",
                        key=key,
                        remedy=f"add it to joints.{part.head}, or write {name}({str(part).split('(', 1)[1]}",
                        column=part.column,
                    )
                factors.append(self.factor(part, key))
        owner: dict[str, Factor] = {}
        for factor in factors:
            for variable in factor.of:
                if variable in owner:
                    what = (
                        f"{factor} is declared twice"
                        if owner[variable] == factor
                        else f"{owner[variable]} and {factor} both give {variable}"
                    )
                    spec.fail(what, key=key, remedy="one factor a variable")
                owner[variable] = factor
        import networkx as nx

        graph: nx.DiGraph = nx.DiGraph((parent, child) for f in factors for parent in f.given for child in f.of)
        if not nx.is_directed_acyclic_graph(graph):
            cycle = [edge[0] for edge in nx.find_cycle(graph)]
            spec.fail(
                "the factors form a cycle: " + " -> ".join([*cycle, cycle[0]]),
                key=key,
                remedy="a joint whose arrows do not close",
            )
        rooted = all(v in owner for f in factors for v in f.given)
        names = {v for f in factors for v in (*f.of, *f.given)}
        return Joint(name, tuple(factors), spec.ordered(names), rooted)

    def inside(self, name: str) -> set[str]:
        """The joints that a joint's mixtures are made of, directly or through others."""
        found: set[str] = set()
        pending = [name]
        while pending:
            parts = self.syntax.get(pending.pop(), ())
            heads = {d.head for part in parts if isinstance(part, MixtureSyntax) for _, d in part.parts}
            pending += heads - found
            found |= heads
        return found

    def mixture(self, name: str, part: MixtureSyntax, key: str) -> Factor:
        spec = self.spec
        components: list[Component] = []
        total = sum((w for w, _ in part.parts), Fraction(0))
        if total != 1 or not all(w > 0 for w, _ in part.parts):
            spec.fail(
                f"the weights of {part} sum to {decimal(total)}",
                key=key,
                remedy='positive weights that sum to 1 exactly: "(1/3*data(x) + 2/3*p(x))"',
                column=part.column,
            )
        for weight, density in part.parts:
            of = tuple(spec.resolve(v, key, density.column, capital=False) for v in density.of)
            if density.given or (density.head not in self.syntax and density.head not in spec.sources) or density.head == name:
                spec.fail(
                    f"{density} is no marginal of another joint",
                    key=key,
                    remedy="a marginal such as data(x) or p(x)",
                    column=density.column,
                )
            if name in self.inside(density.head):
                what = f"the mixture of {name} contains itself, through {density}"
                spec.fail(what, key=key, remedy="components that do not lead back", column=density.column)
            if set(of) != {spec.resolve(v, key, capital=False) for v in part.parts[0][1].of}:
                spec.fail(
                    f"the components of {part} differ in their variables",
                    key=key,
                    remedy="the same variables in each",
                    column=density.column,
                )
            components.append(Component(weight, density.head, spec.ordered(of)))
        return Factor(name, components[0].of, (), None, tuple(components))
