"""What the loss has for a critic's term: decided once, from the estimator, from which arguments learn, and from the weight's sign.

A loss that is minimised has w * (value or surrogate). At the best critic d D(P||Q) is E_P's gradient of a(f) minus E_Q's of b(f); where
Q is the product of P's own marginals, the second part of a relative entropy vanishes. Lowering takes what stands here and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ibsym.derivation.model import ModelSide
from ibsym.errors import Edit, Remedy, SpecError
from ibsym.estimators import ESTIMATORS
from ibsym.facts import Sign
from ibsym.spec.families import USUAL
from ibsym.spec.graphs import Factor
from ibsym.spec.model import EstimatorUse, Spec
from ibsym.terms.measures import (
    Density,
    FDivergence,
    JensenShannon,
    MutualInformation,
    RelativeEntropy,
    Term,
    TotalCorrelation,
)
from ibsym.terms.reading import density
from ibsym.terms.vectors import Coordinates

VERBS = {Sign.NONNEGATIVE: "minimises", Sign.NONPOSITIVE: "maximises"}


def learns(spec: Spec, densities: Iterable[Density]) -> bool:
    """Whether a learned factor occurs in what the densities are made of."""
    return any(f.learned for d in densities for f in factors(spec, d))


def factors(spec: Spec, d: Density) -> Iterator[Factor]:
    """What the variables of a density are drawn from, the components of mixtures included."""
    joint = spec.joints[d.head]
    for factor in joint.ancestral_factors(d.scope):
        for component in factor.components:
            yield from factors(spec, Density(component.joint, component.of))
        yield factor


def sides(spec: Spec, term: Term) -> tuple[Density, tuple[Density, ...]]:
    """The two arguments of a divergence; of an information, the joint density and the product of its marginals."""
    match term:
        case (
            RelativeEntropy(first=first, second=second)
            | JensenShannon(first=first, second=second)
            | FDivergence(first=first, second=second)
        ):
            return first, second
        case MutualInformation(joint, groups, given) | TotalCorrelation(joint, groups, given):
            everything = tuple(v for g in groups for v in g)
            return density(spec, joint, everything, given), tuple(density(spec, joint, g, given) for g in groups)
    raise TypeError(f"{term} compares no two distributions")


def _declared(spec: Spec, d: Density) -> Remedy:
    """The conditional as a factor of its joint, if that generates its one variable in no other way."""
    otherwise = "the relative entropy of the joint densities"
    if len(d.of) > 1 or d.of[0] in spec.joints[d.head].by_variable:
        return Remedy(otherwise)
    family = Edit(("families", str(d)), USUAL[spec.variables[d.of[0]].kind])
    return Remedy.of((Edit(("joints", d.head), str(d), more=True), family), otherwise=otherwise)


def refuse_undrawable(spec: Spec, term: Term, key: str) -> None:
    """Raises :class:`~ibsym.errors.SpecError` where the second argument's law cannot be drawn at the conditioners' values.

    A conditional that is declared is drawn at them; the product q(a|c)q(b|c) by rows of equal c, where c is discrete.
    """
    match term:
        case MutualInformation(joint, groups, given):
            real = [v for v in given if not spec.discrete(v)]
            if real:
                a, b = (",".join(g) for g in (groups[0], groups[-1]))
                c = ",".join(given)
                raise SpecError(
                    f"a critic of {term} needs draws of {joint}({b}|{c}) beside {joint}({a}|{c}), and no two rows share a value of "
                    f"{real[0]}, which is {spec.variables[real[0]]}",
                    key=key,
                    remedy=f"a discrete space for {real[0]}, or KL({joint}({b}|{a},{c})||r({b}|{c})) with a declared factor r({b}|{c})",
                )
        case RelativeEntropy(second=second):
            for d in second:
                if d.given and spec.joints[d.head].factor_of(d.of, d.given) is None:
                    raise SpecError(
                        f"a critic of {term} sees draws of {d} at given values, and {d} is not declared",
                        key=key,
                        remedy=_declared(spec, d),
                    )


def of_own_marginals(coordinates: Coordinates, term: Term) -> bool:
    """Whether a relative entropy's second argument is the product of the first's own marginals: an information, a total correlation."""
    match term:
        case MutualInformation() | TotalCorrelation():
            return True
        case RelativeEntropy(first, second) if len(second) > 1 and sorted(v for d in second for v in d.of) == sorted(first.of):
            own = TotalCorrelation(first.head, tuple(d.of for d in second), first.given)
            return coordinates.equal(coordinates.vector(term), coordinates.vector(own))
    return False


def model_side(coordinates: Coordinates, use: EstimatorUse, term: Term, weight: Sign, bounds: bool) -> ModelSide | None:
    """What the loss has for a term that a critic estimates, None where there is no critic.

    ``weight`` is the sign of the term's weight in what is minimised; ``bounds`` says whether the value, as an estimate of the term,
    bounds the objective with that weight. As the spec says, else the value, whose gradient is exact at the best critic, except that

    * minimised, with a second argument that learns: the non-saturating form, unless that argument is the product of the first's
      own marginals in a relative entropy;
    * maximised by ``density-ratio``, whose value sends no gradient there: the NWJ form.

    ``dv`` has its value always: its critic is log P/Q up to a constant, which every other form would see.
    """
    critic = ESTIMATORS[use.estimator].critic
    if critic is None:
        return None
    spec = coordinates.spec
    first, second = sides(spec, term)
    own = of_own_marginals(coordinates, term)
    a, b = learns(spec, (first,)), learns(spec, second)
    form = use.model or "value"
    if not critic.normalised:
        form = "value"
    elif use.model is None and b and not own:
        if weight is Sign.NONNEGATIVE:
            form = "non-saturating"
        elif critic.first_only:
            form = "nwj"
    one_sided = critic.first_only and b and not own
    exact = form == "nwj" or (form in ("value", "saturating") and critic.exact and not one_sided)
    return ModelSide(form, a, b, weight, exact, bounds and form in ("value", "saturating"))


def said(side: ModelSide, use: EstimatorUse) -> str:
    """In words, what the loss has for a critic's term, and whose gradient that is."""
    verb = VERBS.get(side.weight, "takes")
    critic = ESTIMATORS[use.estimator].critic
    assert critic is not None
    exact = ", exact at the best critic" if side.exact else ""
    if side.form in ("value", "saturating"):
        reach = "the first argument" if critic.first_only else "both arguments"
        text = f"the model {verb} the value, whose gradient reaches the samples of {reach}{exact}"
        if critic.first_only and not side.first:
            text += "; nothing that is learned draws these"
        if not critic.normalised and use.model not in (None, "value"):
            text += "; its critic is known up to a constant, which every other form would see"
        return text
    if side.form == "nwj":
        surrogate = f"-exp(f) on samples of the second argument, whose gradient is{exact.removeprefix(',')}"
    elif "F" not in ESTIMATORS[use.estimator].estimates:
        surrogate = "softplus(-f) on samples of the second argument, the surrogate whose gradient reaches what draws them"
    else:
        surrogate = "the dual's part on samples of the second argument, whose gradient reaches what draws them"
    both = "; the first argument learns too, from its own samples" if side.first else ""
    return f"the model {verb} {surrogate}{both}"
