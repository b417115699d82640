"""rho: B -> A, names of variables and joints: systems are compared by vectors, under the correspondence that fits best."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibsym.spec.model import Spec

MOST = 5040
_FACTOR = re.compile(r"(\w+)\(([^()]*)\)")
_TOKEN = re.compile(r"(?P<law>(?:I|H|E|TC|DTC)_)(?P<joint>\w+)(?=[\[(])|(?P<head>\w+)(?=\()|(?P<name>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class Naming:
    """What another system's variables and joints are called here; what is not in it keeps its name."""

    variables: Mapping[str, str] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)

    def variable(self, name: str) -> str:
        """A variable's value or the random variable, ``z`` or ``Z``."""
        if name in self.variables:
            return self.variables[name]
        small = name[:1].lower() + name[1:]
        if name[:1].isupper() and small in self.variables:
            new = self.variables[small]
            return new[:1].upper() + new[1:]
        return name

    def head(self, name: str) -> str:
        """A joint, or the owner of a factor."""
        return self.heads.get(name, name)

    def factor(self, text: str) -> str:
        """A factor's text, its variables in alphabetic order."""

        def one(found: re.Match[str]) -> str:
            of, _, given = found[2].partition("|")
            parts = [",".join(sorted(self.variable(v.strip()) for v in side.split(",") if v.strip())) for side in (of, given)]
            return f"{self.head(found[1])}({parts[0]}" + (f"|{parts[1]}" if parts[1] else "") + ")"

        return _FACTOR.sub(one, text)

    def text(self, text: str) -> str:
        """A term's text."""

        def one(found: re.Match[str]) -> str:
            if found["law"]:
                return found["law"] + self.head(found["joint"])
            if found["head"]:
                return self.head(found["head"])
            return self.variable(found["name"])

        return _TOKEN.sub(one, text)

    def node(self, value: Any, name: str = "") -> Any:
        """A term, its names replaced field by field."""
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: self.node(getattr(value, f.name), f.name) for f in dataclasses.fields(value) if f.init}
            return dataclasses.replace(value, **fields)
        if isinstance(value, tuple):
            return tuple(self.node(v, name) for v in value)
        if isinstance(value, str):
            return (
                self.head(value)
                if name in ("head", "joint")
                else self.variable(value)
                if name in ("of", "given", "groups")
                else value
            )
        return value

    def coordinate(self, value: Any, name: str = "") -> Any:
        """A coordinate, its names replaced and what has no order put in order."""
        if hasattr(value, "_fields"):
            return (type(value).__name__, *(self.coordinate(getattr(value, f), f) for f in value._fields))
        if isinstance(value, tuple):
            inner = [self.coordinate(v, name) for v in value]
            return tuple(sorted(inner)) if all(isinstance(v, str) for v in inner) else tuple(inner)
        if isinstance(value, str):
            if name in ("of", "given", "scope", "variable"):
                return self.variable(value)
            return self.text(value) if name == "term" else self.factor(value)
        return value


@dataclass(frozen=True)
class Shape:
    """A spec's graph without its names: which variables its factors join, which of them are known by samples."""

    variables: tuple[str, ...]
    factors: tuple[tuple[str, frozenset[str], frozenset[str]], ...]
    observed: frozenset[str]
    kinds: Mapping[str, str]

    @staticmethod
    def of(spec: Spec) -> Shape:
        """The graph of a spec."""
        sources = {v for s in spec.sources.values() for v in s.of}
        factors = [(f.head, frozenset(f.of), frozenset(f.given)) for f in spec.factors.values()]
        factors += [(s.head, frozenset(s.of), frozenset()) for s in spec.sources.values()]
        kinds = {v: space.kind for v, space in spec.variables.items()}
        return Shape(tuple(spec.variables), tuple(dict.fromkeys(factors)), frozenset(sources), kinds)


def correspondences(ours: Shape, theirs: Shape, most: int = 4) -> list[tuple[float, Naming]]:
    """The namings of their variables that make the graphs most alike, the best first, with how alike they are."""
    scored: list[tuple[float, int, Naming]] = []
    for place, variables in enumerate(itertools.islice(_assignments(ours, theirs), MOST)):
        heads, matched = _heads(ours, theirs, variables)
        same = sum((v in theirs.observed) == (w in ours.observed) for v, w in variables.items())
        kinds = sum(theirs.kinds[v] == ours.kinds.get(w) for v, w in variables.items())
        names = sum(v == w for v, w in variables.items())
        left = len(ours.factors) + len(theirs.factors) - 2 * matched
        scored.append((3.0 * matched - left + same + 0.5 * kinds + 0.01 * names, -place, Naming(variables, heads)))
    scored.sort(key=lambda t: t[:2], reverse=True)
    return [(score, naming) for score, _, naming in scored[:most]]


def _assignments(ours: Shape, theirs: Shape) -> Iterator[dict[str, str]]:
    """One-to-one maps of their variables to ours; where they have more, the rest keeps names that are free."""
    mine, other = list(ours.variables), list(theirs.variables)
    if len(other) <= len(mine):
        for chosen in itertools.permutations(mine, len(other)):
            yield dict(zip(other, chosen, strict=True))
        return
    for kept in itertools.permutations(other, len(mine)):
        names = dict(zip(kept, mine, strict=True))
        yield {v: names.get(v, v if v not in mine else f"{v}_") for v in other}


def _heads(ours: Shape, theirs: Shape, variables: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Their joints' names here, by the factors that fall on ours; and how many do."""
    votes: Counter[tuple[str, str]] = Counter()
    for head, of, given in theirs.factors:
        placed = frozenset(variables[v] for v in of), frozenset(variables[v] for v in given)
        for other, *where in ours.factors:
            if tuple(where) == placed:
                votes[head, other] += 1
    heads: dict[str, str] = {}
    order = sorted(votes, key=lambda pair: (-votes[pair], pair[0] != pair[1], pair))
    for head, other in order:
        if head not in heads and other not in heads.values():
            heads[head] = other
    mine = {h for h, *_ in ours.factors}
    for head, *_ in theirs.factors:
        if head not in heads and head in mine and head in heads.values():
            heads[head] = f"{head}_"
    own = set(ours.factors)
    matched = sum(
        (heads.get(head), frozenset(variables[v] for v in of), frozenset(variables[v] for v in given)) in own
        for head, of, given in theirs.factors
    )
    return heads, matched
