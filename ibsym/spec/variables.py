"""Variables: their spaces, the order of their declaration, and what a name in a term or density means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ibsym.errors import Edit, Remedy, SpecError, nearest, shown
from ibsym.spec.schema import check_name
from ibsym.spec.spaces import Space


def capitalised(variable: str) -> str:
    """The random variable's name: ``z1`` to ``Z1``."""
    return variable[:1].upper() + variable[1:]


def read_variables(entries: Mapping[str, str]) -> dict[str, Space]:
    """Every variable's space; names are those of values, and differ by more than case."""
    variables: dict[str, Space] = {}
    folded: dict[str, str] = {}
    for name, text in entries.items():
        key = f"variables.{name}"
        check_name(name, key, "variable")
        if name[0].isupper():
            raise SpecError(
                f"variables are declared by their values' name, not {name!r}", key=key, remedy=name[0].lower() + name[1:]
            )
        if name.casefold() in folded:
            raise SpecError(f"{name!r} and {folded[name.casefold()]!r} differ only by case", key=key, remedy="another name")
        folded[name.casefold()] = name
        variables[name] = Space.parse(text, key)
    return variables


def ordered(variables: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of their declaration; one that a mixture's component has for itself, ``x'``, behind its namesake."""
    place = {v: i for i, v in enumerate(variables)}
    return tuple(sorted(names, key=lambda v: (place[v.rstrip("'")], v)))


def resolve(
    variables: Iterable[str], name: str, key: str, column: int | None = None, *, capital: bool, space: str = "real[D]"
) -> str:
    """The variable that ``name`` means: ``Z`` means z in a term, ``z`` means z in a density; ``space`` is what an unknown one may have."""
    folded = {v.casefold(): v for v in variables}
    found = folded.get(name.casefold())
    if found is None:
        close = nearest(name, folded.values())
        remedy = f"{close!r}, or declare it" if close else "declare it"
        raise SpecError(
            f"unknown variable {shown(name, 80)!r}" + (f", did you mean {close!r}?" if close else ""),
            key=key,
            remedy=Remedy(f'{remedy}: variables.{name.lower()} = "{space}"', (Edit(("variables", name.lower()), space),)),
            column=column,
        )
    if capital and name[0].islower():
        raise SpecError(
            f"information terms take random variables, not {name!r}", key=key, remedy=capitalised(found), column=column
        )
    if not capital and name != found:
        raise SpecError(f"densities take values, not {name!r}", key=key, remedy=found, column=column)
    return found
