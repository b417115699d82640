"""The declared density of an estimator, which a player of its own fits: an adversary's decoder, CLUB's learned conditional.

None of the model's terms may use it: the model would fit it too, and the player's best answer would be no answer to the model.
"""

from __future__ import annotations

from collections.abc import Iterable

from ibsym.errors import Edit, Remedy, SpecError
from ibsym.estimators import ESTIMATORS
from ibsym.spec.families import USUAL, dense
from ibsym.spec.model import EstimatorUse, Spec
from ibsym.terms.measures import CrossEntropy, Density, Entropy, ExpectedLog, MutualInformation, RelativeEntropy, Term


def _guess(spec: Spec, use: EstimatorUse, term: MutualInformation) -> Remedy:
    """The estimator with a density of its own: of one argument, a single variable, given the other."""
    sides = {frozenset(a): frozenset(b) for a, b in (term.groups, term.groups[::-1])}
    drawn = spec.joints[term.joint].factors
    fitting = (f for f in spec.factors.values() if sides.get(frozenset(f.of)) == frozenset(f.given))
    declared = next((f.text for f in fitting if f.evaluated and f not in drawn), None)
    if declared is not None:
        return Remedy.of((Edit(("estimators", use.key), {"estimator": use.estimator, "density": declared}),))
    joint = spec.joints[term.joint]
    given, of = min(
        (term.groups, term.groups[::-1]), key=lambda g: (len(g[1]) > 1, any(f.learned for f in joint.ancestral_factors(g[1])))
    )
    head = next(n for n in ("a", "b", "guess", "adversary") if n not in spec.joints)
    density = f"{head}({','.join(of)}|{','.join(given)})"
    entry = Edit(("estimators", use.key), {"estimator": use.estimator, "density": density})
    if len(of) > 1:
        return Remedy(f"{entry}, a factor of one variable")
    family = Edit(("families", density), USUAL[spec.variables[of[0]].kind])
    return Remedy.of((entry, Edit(("joints", head), density), family))


def fitted(spec: Spec, use: EstimatorUse, term: Term) -> Density | None:
    """The density of one argument given the other that the estimator's player fits; None where it has none, or the true conditional.

    Raises :class:`~ibsym.errors.SpecError` where the density cannot serve, with what to write.
    """
    name, rule, key = dict(use.options).get("density"), ESTIMATORS[use.estimator], f'estimators."{use.key}"'
    if name is None and not rule.player:
        return None
    assert isinstance(term, MutualInformation)
    remedy = _guess(spec, use, term)
    if name is None:
        raise SpecError(
            f"{use.estimator} of {term} needs the density that guesses one argument from the other", key=key, remedy=remedy
        )
    factor, joint = spec.factors[str(name)], spec.joints[term.joint]
    sides = {frozenset(a): frozenset(b) for a, b in (term.groups, term.groups[::-1])}
    if sides.get(frozenset(factor.of)) != frozenset(factor.given):
        raise SpecError(f"{factor} is not a density of one argument of {term} given the other", key=key, remedy=remedy)
    if not factor.evaluated and factor.family is not None:
        raise SpecError(
            f"{factor} is {factor.family.name} and has no density that can be evaluated",
            key=key,
            remedy=dense(factor.text, spec.variables[factor.of[0]].kind),
        )
    if factor in joint.factors:
        if rule.player:
            raise SpecError(
                f"{factor} draws the samples of {term}, and the {use.estimator} is to guess them",
                key=key,
                remedy=f"{remedy}, a factor of a joint of its own",
            )
        return None
    if factor.family is not None and factor.family.outside:
        raise SpecError(
            f"the density of {factor} ({factor.family.name}) is known at the model's draws alone, and who fits it asks for it at others",
            key=key,
            remedy=dense(factor.text, spec.variables[factor.of[0]].kind),
        )
    learned = next((f for f in joint.ancestral_factors(factor.of) if f.learned), None)
    if rule.player and learned is not None:
        of = ",".join(factor.of)
        raise SpecError(
            f"{learned} is learned, so the entropy of {of} that {factor} guesses is not a constant",
            key=key,
            remedy="a density of what no learned factor draws, given the rest",
        )
    return Density(factor.head, factor.of, factor.given)


def refuse_shared(objective: Iterable[Term], players: dict[Term, Density]) -> None:
    """Raises :class:`~ibsym.errors.SpecError` where a term of the objective evaluates what another player fits."""
    owners = {d: term for term, d in players.items()}
    for term in objective:
        match term:
            case ExpectedLog(second=second) | CrossEntropy(second=second):
                seen = second
            case RelativeEntropy(first, second):
                seen = (first, *second)
            case _:
                seen = ()
        for d in seen:
            if d in owners:
                raise SpecError(
                    f"{term} would have the model fit {d}, which is the player's of {owners[d]}",
                    key="objective",
                    remedy="a factor of another name for it",
                )


def constant(term: Term, density: Density) -> Entropy:
    """H(B) of what an adversary guesses."""
    assert isinstance(term, MutualInformation)
    return Entropy(term.joint, next(g for g in term.groups if {*g} == {*density.of}))
