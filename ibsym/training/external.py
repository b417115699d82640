"""r(v|w) of the caller's: here nobody is the caller, and a small network with a textbook density stands in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from ibsym.errors import SpecError
from ibsym.spec.graphs import Factor
from ibsym.spec.model import Spec

STAND_INS: Mapping[str, str] = MappingProxyType(
    {"real": "diagonal-normal", "unit": "continuous-bernoulli", "binary": "bernoulli", "categorical": "categorical"}
)
"""The family that is trained in the place of an external density, by the kind of space."""


def standing(spec: Spec, own: Collection[str] = ()) -> tuple[Spec, tuple[str, ...]]:
    """The spec with a family that has networks for every external one, and what is to be said of it."""
    outside = [f for f in spec.factors.values() if f.family is not None and f.family.outside and f.text not in own]
    if not outside:
        return spec, ()
    found = {f.text: _stand_in(spec, f) for f in outside}
    families = {k: found.get(k.replace(" ", ""), entry) for k, entry in spec.keys["families"].items()}
    other = Spec(**{**spec.keys, "families": families})
    if spec.origin is not None:
        other = other.read_from(*spec.origin)
    return other, tuple(f"{text} is external: {entry['family']} stands in" for text, entry in found.items())


def _stand_in(spec: Spec, factor: Factor) -> dict[str, str]:
    kind = spec.variables[factor.of[0]].kind
    assert factor.family is not None
    if kind not in STAND_INS:
        raise SpecError(
            f"{factor} is external, and no density on a {kind} space stands in for the caller's",
            key=f'families."{factor}"',
            remedy="a family of its own, or a training loop of your own",
        )
    entry = {"family": STAND_INS[kind]}
    relaxed = kind in ("binary", "categorical") and factor.family.sampled and factor.family.reparameterised
    return entry | ({"relax": "concrete"} if relaxed else {})
