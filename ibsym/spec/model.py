"""A spec: variables, joints as graphs, families, parameters and an objective, every name resolved and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from ibsym.errors import ArgumentError, Edit, PlacedError, Remedy, SpecError, unknown
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Fact
from ibsym.spec.families import USUAL
from ibsym.spec.grammar import DensitySyntax, ObjectiveSyntax, QuantitySyntax, RelationSyntax, parse, quantities
from ibsym.spec.graphs import Factor, Joint
from ibsym.spec.joints import JointReader
from ibsym.spec.locations import located
from ibsym.spec.names import check_spec_name
from ibsym.spec.reserved import check_parameters
from ibsym.spec.schema import (
    EstimatorEntry,
    EstimatorTable,
    ParameterEntry,
    check_name,
    validate,
)
from ibsym.spec.spaces import Space
from ibsym.spec.variables import ordered, read_variables, resolve
from ibsym.spec.writing import toml


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
    """What a researcher wants: an objective over the joints of a few variables; a value, which nothing changes.

    Takes the keys of the TOML file (``name``, ``objective``, ``variables``, ``joints``, ``families``, ``parameters``,
    ``estimators``, ``derivation``, ``critics``, ``title``, ``cite``, ``notes``). Every mistake is a :class:`SpecError`.

    >>> spec = Spec(name="compress", objective="minimize I_q(X;Z)", variables={"x": "real[D]", "z": "real[L]"},
    ...             joints={"q": "data(x) q(z|x)", "p": "p(z)"},
    ...             families={"q(z|x)": "diagonal-normal", "p(z)": "standard-normal"})
    >>> [str(f) for f in spec.joints["q"].factors], list(spec.sources)
    (['data(x)', 'q(z|x)'], ['data'])
    """

    def __init__(self, *positional: object, **keys: Any):
        if positional:
            raise ArgumentError(
                f"Spec: {type(positional[0]).__name__} by position, and a spec is made of its keys\n"
                '  write: ibsym.load("mine.toml"), or ibsym.Spec(name="mine", objective="minimize ...", variables={...}, ...)'
            )
        file = validate(keys)
        self.keys: Mapping[str, Any] = MappingProxyType(dict(keys))
        self.origin: tuple[str, str] | None = None
        check_spec_name(file.name)
        self.name, self.title, self.cite, self.notes = file.name, file.title or file.name, file.cite, file.notes
        self.objective_text = file.objective
        self.variables: Mapping[str, Space] = MappingProxyType(read_variables(file.variables))
        self.parameters: Mapping[str, ParameterEntry] = MappingProxyType(
            _read_parameters(file.parameters, file.critics.values())
        )
        self.objective: ObjectiveSyntax = parse(file.objective, "objective", "objective")  # type: ignore[assignment]
        self.sense = self.objective.sense
        terms = quantities(self.objective.expression)
        mentioned = [d for q in terms for d in (q.first, *q.second) if d is not None]
        joints, sources = JointReader(self.variables, file.joints, file.families, mentioned).read()
        self.joints: Mapping[str, Joint] = MappingProxyType(joints)
        self.sources: Mapping[str, Factor] = MappingProxyType(sources)
        check_parameters(self.parameters, self.variables, self.factors.values())
        self.estimators = tuple(self._estimator(k, e) for k, e in file.estimators.items())
        self.expansions: tuple[tuple[QuantitySyntax, DensitySyntax], ...] = tuple(
            parse(t, "expansion", "derivation.expand")  # type: ignore[misc]
            for t in file.derivation.expand
        )
        self.critics = tuple(self._critic(k, e) for k, e in file.critics.items())
        self._whole = True

    def __setattr__(self, name: str, value: object) -> None:
        if getattr(self, "_whole", False):
            raise AttributeError(f"a spec is a value: {name!r} cannot be changed; make another Spec")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a spec is a value: {name!r} cannot be deleted")

    def __str__(self) -> str:
        return toml(self.keys)

    def __repr__(self) -> str:
        return f"<Spec {self.name}: {self.objective_text}>"

    def _repr_markdown_(self) -> str:
        """A notebook's picture: the file."""
        return f"```toml\n{self}\n```"

    def __reduce__(self) -> tuple[Callable[..., Spec], tuple[Any, ...]]:
        return _restored, (dict(self.keys), self.origin)

    def _with(self, **attributes: object) -> Spec:
        other = object.__new__(Spec)
        other.__dict__.update({**self.__dict__, **attributes})
        return other

    def read_from(self, text: str, file: str) -> Spec:
        """The same spec, with the text and the file that it was read from, where errors find their place."""
        return self._with(origin=(text, file))

    def all_discrete(self) -> Spec:
        """The same graphs with every variable discrete: what would be true then."""
        return self._with(variables=MappingProxyType({v: Space("binary", ("D",)) for v in self.variables}))

    @property
    def module_name(self) -> str:
        """The emitted file's stem."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """The emitted class: the words of the name, capitalised, and ``Loss``."""
        return "".join(w[:1].upper() + w[1:] for w in re.split(r"[-_]", self.name)) + "Loss"

    @cached_property
    def factors(self) -> Mapping[str, Factor]:
        """Every factor of every joint, by its text."""
        return MappingProxyType({f.text: f for j in self.joints.values() for f in j.factors})

    @cached_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """The parameters' intervals."""
        return MappingProxyType({n: p.interval for n, p in self.parameters.items()})

    def ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        """Variables in the order of their declaration."""
        return ordered(self.variables, names)

    def discrete(self, variable: str) -> bool:
        """Whether a variable's entropy is one of a discrete variable, and so not negative."""
        return self.variables[variable].discrete is Fact.TRUE

    def resolve(self, name: str, key: str, column: int | None = None, *, capital: bool) -> str:
        """The variable that ``name`` means: ``Z`` means z in a term, ``z`` means z in a density."""
        return resolve(self.variables, name, key, column, capital=capital)

    def located(self, error: PlacedError) -> PlacedError:
        """The error with its place in the file that the spec was read from, if it was read from one."""
        return error if self.origin is None else located(error, *self.origin)

    def _estimator(self, text: str, entry: str | EstimatorEntry) -> EstimatorUse:
        key = f'estimators."{text}"'
        term: QuantitySyntax = parse(text, "quantity", key)  # type: ignore[assignment]
        if isinstance(entry, str):
            entry = EstimatorTable(estimator=entry)
        if entry.estimator not in ESTIMATORS:
            plain = entry.estimator.casefold().replace("_", "-").replace(" ", "-")
            meant = next((e.name for e in ESTIMATORS.values() if plain in e.called), "")
            raise unknown("estimator", entry.estimator, ESTIMATORS, key=key, path=("estimators", text), meant=meant)
        options = {k: v for k, v in entry.model_dump(exclude_none=True).items() if k not in ("estimator", "model")}
        known = [o.name for o in ESTIMATORS[entry.estimator].options]
        for option in options:
            if option not in known:
                raise unknown(f"option of {entry.estimator}", option, known, key=key)
        for size in (o.name for o in ESTIMATORS[entry.estimator].options if o.kind == "size"):
            if isinstance(options.get(size), str):
                self._size(options[size], f"{key}.{size}")
        if "density" in options:
            density: DensitySyntax = parse(options["density"], "density", f"{key}.density")  # type: ignore[assignment]
            options["density"] = str(density)
            if options["density"] not in self.factors:
                raise self._undeclared(density, f"{key}.density")
        if entry.model is not None and ESTIMATORS[entry.estimator].critic is None:
            raise SpecError(f"{entry.estimator} has no critic, so no model side", key=key, remedy="leave out `model`")
        return EstimatorUse(text, term, entry.estimator, entry.model, tuple(sorted(options.items())))

    def _undeclared(self, density: DensitySyntax, key: str) -> SpecError:
        """The error about a density that no joint has: a joint of it, or a factor that there is."""
        new = density.head not in self.joints and len(density.of) == 1
        if not new or any(v not in self.variables for v in (*density.of, *density.given)):
            return unknown("factor", str(density), self.factors, key=key)
        family = Edit(("families", str(density)), USUAL[self.variables[density.of[0]].kind])
        remedy = Remedy.of((Edit(("joints", density.head), str(density)), family))
        return SpecError(f"unknown factor '{density}'", key=key, remedy=remedy)

    def _size(self, name: str, key: str) -> None:
        """Raises unless a parameter may stand for a number of rows."""
        write = Remedy.of((Edit(("parameters", name), {"default": 60000, "min": 2}),))
        if name not in self.parameters:
            raise SpecError(
                f"{name!r} is neither a number of rows nor a parameter",
                key=key,
                remedy=Remedy(f"60000, or {write}", *write.ways),
            )
        if self.parameters[name].interval[0] < 1:
            raise SpecError(f"the parameter {name} may be less than one row", key=key, remedy=write)

    def _critic(self, text: str, entry: Any) -> CriticUse:
        key = f'critics."{text}"'
        term: QuantitySyntax = parse(text, "quantity", key)  # type: ignore[assignment]
        through = str(parse(entry.through, "density", f"{key}.through"))
        if through not in self.factors:
            raise unknown("factor", through, self.factors, key=f"{key}.through")
        constraint = parse(entry.subject_to, "constraint", f"{key}.subject_to") if entry.subject_to else None
        if constraint is not None and entry.multiplier is None:
            raise SpecError("a constraint needs a multiplier", key=key, remedy='multiplier = "mu"')
        if constraint is None and entry.multiplier is not None:
            raise SpecError("a multiplier needs a constraint", key=key, remedy='subject_to = "I_m(X;T) <= Ic"')
        return CriticUse(text, term, self.factors[through], constraint, entry.multiplier)  # type: ignore[arg-type]


def _read_parameters(entries: dict[str, ParameterEntry], critics: Iterable[Any]) -> dict[str, ParameterEntry]:
    parameters = dict(entries)
    for critic in critics:
        if critic.multiplier is not None:
            parameters.setdefault(critic.multiplier, ParameterEntry(default=0.0, min=0.0))
    for name, entry in parameters.items():
        key = f"parameters.{name}"
        check_name(name, key, "parameter")
        low, high = entry.interval
        if low > high:
            raise SpecError(f"min {low:g} exceeds max {high:g}", key=key, remedy="min <= max")
        if not low <= entry.default <= high:
            raise SpecError(
                f"the default {entry.default:g} is outside of [{low:g}, {high:g}]",
                key=key,
                remedy="a default inside the interval",
            )
    return parameters


def _restored(keys: dict[str, Any], origin: tuple[str, str] | None) -> Spec:
    """A spec made anew, from another process's."""
    spec = Spec(**keys)
    return spec if origin is None else spec.read_from(*origin)
