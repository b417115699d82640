"""Names that mean something in what a target writes, so that no parameter of a spec can have them.

Each target says its own, in ``reserved.toml`` of its folder: data, since nothing that emits code is imported to read a spec.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ibsym.errors import SpecError
from ibsym.spec.graphs import Factor


@dataclass(frozen=True)
class Reserved:
    """What no parameter is called, and what no input or step is called."""

    parameters: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def __or__(self, other: Reserved) -> Reserved:
        return Reserved(self.parameters | other.parameters, self.names | other.names)


@cache
def by_target() -> dict[str, Reserved]:
    """The words of every target that has some, by the name of its folder."""
    found = {}
    for folder in (resources.files("ibsym") / "codegen").iterdir():
        page = folder / "reserved.toml"
        if page.is_file():
            words = tomllib.loads(page.read_text(encoding="utf-8"))
            found[folder.name] = Reserved(*(frozenset(" ".join(words[kind]).split()) for kind in ("parameters", "names")))
    return dict(sorted(found.items()))


@cache
def reserved() -> Reserved:
    """The words of all targets: a spec that can be read can be written for each."""
    found = Reserved()
    for words in by_target().values():
        found |= words
    return found


def check_parameters(parameters: Iterable[str], variables: Iterable[str], factors: Iterable[Factor]) -> None:
    """A parameter is an attribute and an argument of its loss: it shares its name with nothing else there, inputs included."""
    taken = {*reserved().parameters, *variables}
    for factor in factors:
        taken |= {f"{'_'.join(factor.of)}_{role}" for role in (factor.family.parameters if factor.family else ())}
    for name in parameters:
        if name in taken:
            raise SpecError(
                f"{name!r} is taken in the emitted module", key=f"parameters.{name}", remedy=f"{name}_ or another name"
            )
