"""What a family can do: be evaluated, be sampled, be reparameterised; its parameters, spaces and options. No formulas here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ibsym.errors import SpecError

Options = tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class FamilyFacts:
    """The declared facts of one family.

    ``parameters`` are the roles of its learned parameters; a family without any is fixed, unless ``learned`` says otherwise.
    ``options`` maps each option to its default and its check.
    """

    name: str
    spaces: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    evaluated: bool = True
    sampled: bool = True
    reparameterised: bool = True
    learned: bool = True
    options: Mapping[str, object] = field(default_factory=dict)


ANY = ("real", "unit", "sphere", "binary", "categorical")
RELAXATIONS = ("none", "mean", "concrete", "straight-through")

FAMILIES: dict[str, FamilyFacts] = {
    f.name: f
    for f in (
        FamilyFacts("diagonal-normal", ("real",), ("mean", "logvar")),
        FamilyFacts("isotropic-normal", ("real",), ("mean",), options={"scale": 1.0}),
        FamilyFacts("standard-normal", ("real",), learned=False),
        FamilyFacts("full-normal", ("real",), ("mean", "cholesky")),
        FamilyFacts("laplace", ("real",), ("mean",), options={"scale": 1.0}),
        FamilyFacts(
            "bernoulli", ("binary",), ("logits",), reparameterised=False, options={"relax": "none", "temperature": 0.5}
        ),
        FamilyFacts("continuous-bernoulli", ("unit",), ("logits",)),
        FamilyFacts(
            "categorical", ("categorical",), ("logits",), reparameterised=False, options={"relax": "none", "temperature": 0.5}
        ),
        FamilyFacts("uniform", ("unit", "binary", "categorical"), learned=False),
        FamilyFacts("relaxed-categorical", ("unit",), ("logits",), options={"temperature": 0.5}),
        FamilyFacts(
            "normal-mixture", ("real",), ("mean", "logvar", "logits"), reparameterised=False, options={"components": "M"}
        ),
        FamilyFacts("von-mises-fisher", ("sphere",), ("mean", "concentration")),
        FamilyFacts("uniform-sphere", ("sphere",), learned=False),
        FamilyFacts("deterministic", ANY, ("value",), evaluated=False),
        FamilyFacts("implicit", ANY, (), evaluated=False),
        FamilyFacts("empirical", ANY, evaluated=False, reparameterised=False, learned=False),
    )
}


@dataclass(frozen=True, slots=True)
class FamilyUse:
    """A family with its options, as a factor uses it."""

    facts: FamilyFacts
    options: Options = ()

    @property
    def name(self) -> str:
        """The family's name in specs."""
        return self.facts.name

    def option(self, name: str) -> object:
        """An option's value, or its default."""
        return dict(self.options).get(name, self.facts.options.get(name))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Roles of the parameters; a Laplace scale counts when it is learned."""
        learned_scale = self.option("scale") == "learned"
        return (*self.facts.parameters, "scale") if learned_scale else self.facts.parameters

    @property
    def carries_gradient(self) -> bool:
        """Whether a draw passes gradients to the parameters, by reparameterisation or by a relaxation."""
        return self.facts.reparameterised or self.option("relax") not in (None, "none")


def read_family(factor: str, entry: object, kind: str) -> FamilyUse:
    """The family that a spec's entry names, checked against the space of the factor's variable."""
    key = f'families."{factor}"'
    options: dict[str, object] = {}
    if isinstance(entry, Mapping):
        options = dict(entry)
        entry = options.pop("family", None)
    if not isinstance(entry, str) or entry not in FAMILIES:
        raise SpecError(f"{entry!r} is no family", key=key, remedy="one of " + ", ".join(FAMILIES))
    facts = FAMILIES[entry]
    if kind not in facts.spaces:
        fitting = [f.name for f in FAMILIES.values() if kind in f.spaces and f.name != "empirical"]
        raise SpecError(f"{entry} does not live on a {kind} space", key=key, remedy="one of " + ", ".join(fitting))
    for name, value in options.items():
        if name not in facts.options:
            known = ", ".join(facts.options) or "none"
            raise SpecError(f"{entry} has no option {name!r}", key=key, remedy=f"its options are: {known}")
        _check_option(entry, name, value, key)
    return FamilyUse(facts, tuple(sorted(options.items())))


def _check_option(family: str, name: str, value: object, key: str) -> None:
    if name in ("scale", "temperature"):
        positive = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
        if not positive and not (family == "laplace" and name == "scale" and value == "learned"):
            extra = ' or "learned"' if family == "laplace" else ""
            raise SpecError(f"{name} = {value!r} is no positive number", key=key, remedy=f"{name} = 1.0{extra}")
    if name == "relax" and value not in RELAXATIONS:
        raise SpecError(
            f"relax = {value!r} is unknown", key=key, remedy="one of " + ", ".join(f'"{r}"' for r in RELAXATIONS[1:])
        )
    if name == "components":
        number = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 10**6
        if not number and not (isinstance(value, str) and value.isidentifier() and value.isascii()):
            raise SpecError(
                f"components = {value!r} is neither a name nor a positive number", key=key, remedy='components = "M"'
            )


_NORMALS = frozenset({"diagonal-normal", "isotropic-normal", "standard-normal", "full-normal"})
_CLOSED_KL: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (_NORMALS, _NORMALS),
    (frozenset({"bernoulli", "uniform"}), frozenset({"bernoulli", "uniform"})),
    (frozenset({"categorical", "uniform"}), frozenset({"categorical", "uniform"})),
    (frozenset({"continuous-bernoulli", "uniform"}), frozenset({"continuous-bernoulli", "uniform"})),
    (frozenset({"laplace"}), frozenset({"laplace"})),
    (frozenset({"von-mises-fisher", "uniform-sphere"}), frozenset({"uniform-sphere"})),
)


def closed_relative_entropy(first: FamilyUse, second: FamilyUse) -> bool:
    """Whether KL(first || second) has a closed form, for two families on one space."""
    return any(first.name in a and second.name in b for a, b in _CLOSED_KL)


def closed_entropy(family: FamilyUse) -> bool:
    """Whether the family's entropy has a closed form."""
    return family.name in _NORMALS | {
        "bernoulli",
        "categorical",
        "uniform",
        "laplace",
        "continuous-bernoulli",
        "uniform-sphere",
        "von-mises-fisher",
    }
