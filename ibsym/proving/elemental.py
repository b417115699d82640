"""The elemental inequalities: relative entropies, mutual informations, entropies and cross-entropies, one variable at a time.

Every inequality of Shannon type, for one joint or for several, is a non-negative combination of these rows; the chain rule
gives the rest. Entropy and cross-entropy rows exist for discrete variables only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import TypeAlias, assert_never

from ibsym.estimators import ONE_SIDED
from ibsym.spec.graphs import Joint
from ibsym.terms.measures import CrossEntropy, Density, Entropy, Estimate, MutualInformation, RelativeEntropy, Slack, Term
from ibsym.terms.reading import density
from ibsym.terms.vectors import Coordinates, Vector, combine


class InequalityKind(Enum):
    """Which of the sources of inequality a row comes from."""

    RELATIVE_ENTROPY = "relative entropy"
    INFORMATION = "mutual information"
    ENTROPY = "entropy"
    CROSS_ENTROPY = "cross-entropy"
    ESTIMATOR = "one-sided estimator"


Nonnegative: TypeAlias = Entropy | MutualInformation | RelativeEntropy | CrossEntropy | Slack


@dataclass(frozen=True)
class ElementalInequality:
    """A term that is never negative, with its coordinates. ``learned``: its second argument depends on a learned factor."""

    term: Nonnegative
    kind: InequalityKind
    vector: Vector
    learned: bool = False


def subsets(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Every subset, smaller ones first."""
    items = tuple(names)
    for size in range(len(items) + 1):
        yield from combinations(items, size)


def elemental_rows(coordinates: Coordinates, samplers: Iterable[str]) -> list[ElementalInequality]:
    """The rows whose expectation is under one of the samplers, smaller contexts and a factor's own joint first, equal vectors once."""
    spec = coordinates.spec
    rows: list[ElementalInequality] = []
    for name in samplers:
        joint = spec.joints[name]
        rows += _relative_entropies(coordinates, joint)
        for a, b in combinations(joint.variables, 2):
            for context in subsets(v for v in joint.variables if v not in (a, b)):
                term = MutualInformation(name, ((a,), (b,)), context)
                rows.append(ElementalInequality(term, InequalityKind.INFORMATION, coordinates.vector(term)))
        for a in filter(spec.discrete, joint.variables):
            for context in subsets(v for v in joint.variables if v != a):
                entropy = Entropy(name, (a,), context)
                rows.append(ElementalInequality(entropy, InequalityKind.ENTROPY, coordinates.vector(entropy)))
    rows.sort(key=lambda r: _precedence(coordinates, r.term))
    unique: dict[frozenset[object], ElementalInequality] = {}
    for row in rows:
        if row.vector:
            unique.setdefault(frozenset(row.vector.items()), row)
    return list(unique.values())


def _precedence(coordinates: Coordinates, term: Nonnegative) -> tuple[int, bool]:
    """The size of the context, and whether a declared density is borrowed under another joint's name."""
    match term:
        case Entropy(given=given) | MutualInformation(given=given):
            return len(given), False
        case RelativeEntropy(first, densities) | CrossEntropy(first, densities):
            (second,) = densities
            model = coordinates.spec.joints[second.head]
            borrowed = str(second) not in coordinates.spec.factors and model.factor_of(second.of, second.given) is not None
            return len(first.given), borrowed
        case Slack():
            return 0, False
    assert_never(term)


def _relative_entropies(coordinates: Coordinates, joint: Joint) -> Iterator[ElementalInequality]:
    """KL(J(a|B) || R(a|B)) for every other joint R, and -E_J log R(a|B) where a is discrete."""
    spec = coordinates.spec
    for model in spec.joints.values():
        if model is joint:
            continue
        for second in _conditionals(coordinates, joint, model):
            yield from relative_entropy_row(coordinates, joint.name, second, spec.discrete)


def relative_entropy_row(
    coordinates: Coordinates, sampler: str, second: Density, discrete: Callable[[str], bool]
) -> Iterator[ElementalInequality]:
    """KL(J(a|B) || R(a|B)), and -E_J log R(a|B) where a is discrete."""
    spec = coordinates.spec
    first = density(spec, sampler, second.of, second.given)
    learned = any(f.learned for f in spec.joints[second.head].requisite_factors(second.of, second.given))
    vector = coordinates.log_density(sampler, second)
    term = RelativeEntropy(first, (second,))
    yield ElementalInequality(
        term, InequalityKind.RELATIVE_ENTROPY, combine((1, coordinates.log_density(sampler, first)), (-1, vector)), learned
    )
    if all(map(discrete, second.of)):
        yield ElementalInequality(CrossEntropy(first, (second,)), InequalityKind.CROSS_ENTROPY, combine((-1, vector)), learned)


def _conditionals(coordinates: Coordinates, joint: Joint, model: Joint) -> Iterator[Density]:
    """Densities of one variable under the model; where it conditions on E, its declared factors and those given E."""
    if not model.rooted:
        for factor in model.factors:
            if {*factor.of, *factor.given} <= set(joint.variables):
                yield density(coordinates.spec, model.name, factor.of, factor.given)
        if not model.external <= set(joint.variables):
            return
    common = [v for v in joint.variables if v in model.variables]
    for a in common:
        for context in subsets(v for v in common if v != a):
            if model.external <= set(context):
                yield density(coordinates.spec, model.name, (a,), context)


def estimator_row(coordinates: Coordinates, estimate: Estimate) -> ElementalInequality:
    """The row of a one-sided estimator: it minus what it bounds from above, or the other way round."""
    slack = Slack(estimate, ONE_SIDED[estimate.estimator])
    return ElementalInequality(slack, InequalityKind.ESTIMATOR, coordinates.vector(slack))


def closable(coordinates: Coordinates, term: Term) -> bool:
    """Whether training can bring a gap to zero: a learned factor occurs in either side of a relative entropy."""
    if not isinstance(term, RelativeEntropy):
        return False
    return any(
        f.learned for d in (term.first, *term.second) for f in coordinates.spec.joints[d.head].requisite_factors(d.of, d.given)
    )
