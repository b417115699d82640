"""The family that a spec's entry names, with its options checked by what the family declares."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ibsym.errors import Edit, Remedy, SpecError, unknown
from ibsym.families.base import closed_entropy, closed_relative_entropy
from ibsym.families.facts import FAMILIES, FamilyFacts, FamilyUse, Option
from ibsym.spec.spaces import Space

__all__ = ["FAMILIES", "USUAL", "FamilyFacts", "FamilyUse", "closed_entropy", "closed_relative_entropy", "dense", "read_family"]


USUAL = {
    "real": "diagonal-normal",
    "positive": "log-normal",
    "unit": "continuous-bernoulli",
    "simplex": "dirichlet",
    "sphere": "von-mises-fisher",
    "binary": "bernoulli",
    "count": "poisson",
    "categorical": "categorical",
}
"""The family with a density that a remedy names, by the kind of space."""


def dense(factor: str, kind: str) -> Remedy:
    """A density that can be evaluated, for a factor that has none."""
    return Remedy.of((Edit(("families", factor), USUAL[kind]),), otherwise="another family with a density")


def read_family(factor: str, entry: object, space: Space) -> FamilyUse:
    """The family that a spec's entry names, checked against the space of the factor's variable."""
    kind = space.kind
    key = f'families."{factor}"'
    options: dict[str, object] = {}
    if isinstance(entry, Mapping):
        options = dict(entry)
        if "family" not in options:
            raise _without_family(factor, options, space)
        entry = options.pop("family")
    if not isinstance(entry, str) or entry not in FAMILIES:
        said = entry if isinstance(entry, str) else repr(entry)
        plain = re.sub("[_ ]", "-", re.sub(r"\s*,\s*", ",", said.casefold()))
        meant = next((f.name for f in FAMILIES.values() if plain in f.called and kind in f.spaces), "")
        raise unknown("family", said, FAMILIES, key=key, path=("families", factor), meant=meant)
    facts = FAMILIES[entry]
    if kind not in facts.spaces:
        fitting = [f.name for f in FAMILIES.values() if kind in f.spaces and not f.source]
        fitting.sort(key=lambda name: name != USUAL[kind])
        ways = ((Edit(("families", factor), f),) for f in fitting)
        remedy = Remedy("one of " + ", ".join(fitting), *ways)
        raise SpecError(f"{entry} does not live on a {kind} space", key=key, remedy=remedy)
    for name, value in options.items():
        rest = {n: v for n, v in options.items() if n != name}
        leaving = (Edit(("families", factor), {"family": entry, **rest} if rest else entry),)
        owners = [f.name for f in FAMILIES.values() if name in f.options]
        if name not in facts.options and owners:
            what = f"unknown option of {entry}: {name!r}, which is one of {', '.join(owners)}"
            raise SpecError(what, key=key, remedy=Remedy(_without(name, kind, owners), leaving))
        if name not in facts.options and not facts.options:
            raise SpecError(
                f"unknown option of {entry}: {name!r}; it has none", key=key, remedy=Remedy("leave it out", leaving)
            )
        if name not in facts.options:
            raise unknown(f"option of {entry}", name, facts.options, key=key)
        option = facts.options[name]
        if option.spaces and kind not in option.spaces:
            where = " or ".join(option.spaces)
            raise SpecError(
                f"{name} is an option of {entry} on a {where} space, not on a {kind} space",
                key=key,
                remedy=Remedy("leave it out", leaving),
            )
        if not option.accepts(value) and not (option.learnable and value == "learned"):
            raise SpecError(f"{name} = {value!r} {option.wanted}", key=key, remedy=_remedy(name, option))
    use = FamilyUse(facts, tuple(sorted(options.items())))
    if use.enumerated and options.get("relax", "none") != "none":
        what = f"{factor} is summed over exactly, so that nothing is drawn and nothing relaxed"
        raise SpecError(what, key=key, remedy='marginal = "enumerate" or relax = "...", one of the two')
    if use.enumerated and space.event:
        what = f"{factor} has {space}, of which every array of symbols would be a value to sum over"
        raise SpecError(what, key=key, remedy='relax = "concrete", or a variable for each symbol')
    if use.headed and use.enumerated:
        what = f"{factor} is summed over exactly, which takes the logits of every class, and a linear head keeps none of them"
        raise SpecError(what, key=key, remedy='marginal = "enumerate" or head = "linear", one of the two')
    if use.headed and options.get("relax", "none") != "none":
        what = f"{factor} is relaxed, which takes the logits of every class, and a linear head keeps none of them"
        raise SpecError(what, key=key, remedy='relax = "..." or head = "linear", one of the two')
    if "features" in options and not use.headed:
        raise SpecError("features are those of a linear head", key=key, remedy='head = "linear", or leave features out')
    return use


def _without_family(factor: str, options: Mapping[str, object], space: Space) -> SpecError:
    """A table that names no family: what stands under another key is meant, or else the usual one of the space."""
    named = next((k for k, v in options.items() if isinstance(v, str) and v in FAMILIES), None)
    told = {"family": USUAL[space.kind] if named is None else options[named]}
    way = (Edit(("families", factor), told | {k: v for k, v in options.items() if k != named}),)
    return SpecError("the key 'family' is missing", key=f'families."{factor}"', remedy=Remedy.of(way))


def _without(name: str, kind: str, owners: list[str]) -> str:
    fitting = [o for o in owners if kind in FAMILIES[o].spaces]
    families = " or ".join(fitting)
    return f"leave {name} out" + (f", or the family {families}" if families else "")


def _remedy(name: str, option: Option) -> str:
    return option.remedy if option.remedy.startswith("one of") else f"{name} = {option.remedy}"
