"""Which known system a spec is, up to names: by the vectors of what is minimised and by treatment; else the nearest ones."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import sympy

from ibsym.derivation.engine import derive
from ibsym.diagnosis.coefficients import ascii_text
from ibsym.diagnosis.naming import Naming, Shape, correspondences
from ibsym.diagnosis.systems import Match, matched
from ibsym.errors import IbsymError
from ibsym.shown import Told
from ibsym.spec.loading import load, zoo_names

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation
    from ibsym.spec.model import Spec

LOOKED_AT = 12
NEAREST = 3


@dataclass(frozen=True, repr=False)
class Identification(Told):
    """``matches`` are the systems that a spec is, the plainest first; where there are none, ``nearest`` and what separates them."""

    name: str
    matches: tuple[Match, ...]
    nearest: tuple[Match, ...]

    @property
    def known(self) -> bool:
        """Whether the spec is a known system."""
        return bool(self.matches)

    def __repr__(self) -> str:
        return f"<Identification of {self.name}: {', '.join(m.name for m in self.matches) or 'not known'}>"

    def __str__(self) -> str:
        if self.matches:
            first, *rest = self.matches
            lines = [f"{self.name} is {told(first)}"]
            lines += [f"  with {text}" for text in first.families]
            lines += [f"  names: {names}" for names in (named(first.naming),) if names]
            lines += [f"  also {told(m)}" for m in rest]
            return "\n".join(lines)
        lines = [f"{self.name} is not a known system; nearest:"]
        for match in self.nearest:
            names = named(match.naming)
            lines.append(f"  {match.name}{f' ({names})' if names else ''}")
            lines += [f"    {_sentence(d.what, d.term, d.ours, d.theirs)}" for d in match.differences if d.what != "kept"]
            lines += [f"    {text}" for text in match.families]
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "known": self.known,
            "matches": [_record(m) for m in self.matches],
            "nearest": [_record(m) for m in self.nearest],
        }

    def to_json(self) -> str:
        """The same for machines."""
        return json.dumps(self.record(), indent=2, ensure_ascii=True)


def _record(match: Match) -> dict[str, Any]:
    return {
        "system": match.name,
        "parameters": {n: ascii_text(v) for n, v in match.parameters.items()},
        "scale": ascii_text(match.scale),
        "variables": dict(match.naming.variables),
        "families": list(match.families),
        "differences": [{"what": d.what, "term": d.term, "ours": d.ours, "theirs": d.theirs} for d in match.differences],
    }


def told(match: Match) -> str:
    """``beta-x at beta = 1``, with the scale where there is one."""
    values = ", ".join(f"{n} = {ascii_text(v)}" for n, v in match.parameters.items() if v != sympy.Symbol(n))
    scale = "" if match.scale == 1 else f", {ascii_text(match.scale)} times"
    return match.name + (f" at {values}" if values else "") + scale


def named(naming: Naming) -> str:
    """The names that differ: theirs = ours."""
    pairs = [*naming.variables.items(), *naming.heads.items()]
    return ", ".join(f"{theirs} there is {ours} here" for theirs, ours in pairs if theirs != ours)


def _sentence(what: str, term: str, ours: str, theirs: str) -> str:
    match what:
        case "extra":
            return f"{term} is kept here, {ours}, and not there"
        case "missing":
            return f"{term} is kept there, {theirs}, and not here"
        case "weight":
            return f"{term} is weighed {ours} here, {theirs} there"
    return f"{term} is treated otherwise: {ours} here, {theirs} there"


@cache
def known(name: str) -> Derivation | None:
    """A zoo entry's derivation."""
    try:
        return derive(load(name))
    except IbsymError:  # an entry that cannot be derived is not what a spec is
        return None


def candidates(spec: Spec, names: Iterable[str] | None = None) -> list[tuple[float, str, list[Naming]]]:
    """The systems of the zoo by how alike their graphs are, each with its best namings."""
    ours = Shape.of(spec)
    found = []
    for name in zoo_names() if names is None else names:
        namings = correspondences(ours, shape(name))
        if namings:
            found.append((namings[0][0], name, [naming for _, naming in namings]))
    return sorted(found, key=lambda c: (-c[0], c[1]))


@cache
def shape(name: str) -> Shape:
    """The graph of a zoo entry."""
    return Shape.of(load(name))


def identify(derivation: Derivation, names: Iterable[str] | None = None) -> Identification:
    """The systems of the zoo that a derivation's loss is, or the nearest."""
    matches = []
    for _, name, namings in candidates(derivation.spec, names)[:LOOKED_AT]:
        other = known(name)
        if other is not None:
            matches.append(best(derivation, other, namings))
    exact = sorted((m for m in matches if m.exact), key=lambda m: (m.cost, m.name))
    near = sorted((m for m in matches if not m.exact), key=lambda m: (m.cost, m.name))
    return Identification(derivation.spec.name, tuple(exact), () if exact else tuple(near[:NEAREST]))


def best(ours: Derivation, theirs: Derivation, namings: Iterable[Naming]) -> Match:
    """The match under the naming that fits best."""
    found = []
    for naming in namings:
        found.append(matched(ours, theirs, naming))
        if found[-1].exact:
            break
    return min(found, key=lambda m: m.cost)
