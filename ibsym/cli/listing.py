"""ibsym list, schema: what exists, read off the values that the code itself uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from ibsym.cli.common import TABLES, Command, folded, show

Row = tuple[str, ...]


@click.command("list", cls=Command)
@click.argument("what", type=click.Choice(("families", "estimators", "divergences", "rules", "spaces")))
@TABLES
def list_command(what: str, form: str) -> None:
    r"""What exists, a line of mathematics each.

    The name comes first, then what it applies to, then the mathematics; in a pipe each entry is one line.

    \b
    Examples:
      ibsym list families
      ibsym list estimators | cut -d' ' -f1
      ibsym list rules --format json
    """
    names, entries = LISTS[what]
    rows = list(entries())
    if form == "json":
        show([dict(zip(names, row, strict=True)) for row in rows])
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
        click.echo(folded(start, row[-1]))


def families() -> Iterator[Row]:
    """Name, spaces, parameters, log-density."""
    from ibsym.families.base import Law, log_density
    from ibsym.spec.families import FAMILIES, FamilyUse
    from ibsym.spec.spaces import Space

    for facts in FAMILIES.values():
        space = Space.parse(f"{facts.spaces[0]}[K]")
        if facts.evaluated:
            formula = log_density(Law(FamilyUse(facts), space)).text
            line = f"log r(v) = {formula.removeprefix('-') if formula == '-0' else formula}"
        else:
            line = "no density: samples only" if facts.sampled else "no density"
        options = [f"{name} = {option.default!r}" for name, option in facts.options.items()]
        yield facts.name, ", ".join(facts.spaces), ", ".join(facts.parameters) or "-", "; ".join([line, *options])


def estimators() -> Iterator[Row]:
    """Name, a term that it estimates, the estimate and what is known of it."""
    from ibsym.estimators import ESTIMATORS
    from ibsym.rendering.plain import plain

    for estimator in ESTIMATORS.values():
        yield estimator.name, estimator.example, f"{plain(estimator.statement)}; {estimator.known}"


def divergences() -> Iterator[Row]:
    """A term as it is written, and its definition."""
    from ibsym.lowering.divergences import GENERATORS
    from ibsym.terms.measures import CrossEntropy, JensenShannon, RelativeEntropy

    for kind, written in (
        (RelativeEntropy, "KL(q(z)||p(z))"),
        (CrossEntropy, "CE(q(x)||p(x))"),
        (JensenShannon, "JS(data(x)||p(x))"),
    ):
        yield written, " ".join((kind.__doc__ or "").split("\n")[0].rstrip(".").split())
    for name, generator in GENERATORS.items():
        yield f"F[{name}](data(x)||p(x))", f"E_Q g(p/q), g(u) = {generator}"


def rules() -> Iterator[Row]:
    """Name, the rule, an example of it in the language of specs."""
    from ibsym.rendering.plain import plain
    from ibsym.rules.catalogue import RULES

    for rule in RULES.values():
        condition = f", if {rule.condition}" if rule.condition else ""
        yield rule.name, f"{plain(rule.statement)}; {rule.example}{condition}"


def spaces() -> Iterator[Row]:
    """Name with its dimension, the set of values."""
    from ibsym.spec.spaces import KINDS, SETS

    for kind, discrete in KINDS.items():
        dimension = "K" if kind in ("categorical", "simplex") else "D"
        yield f"{kind}[{dimension}]", "discrete" if discrete else "continuous", SETS[kind]


LISTS: dict[str, tuple[Row, Callable[[], Iterator[Row]]]] = {
    "families": (("name", "spaces", "parameters", "mathematics"), families),
    "estimators": (("name", "term", "mathematics"), estimators),
    "divergences": (("name", "mathematics"), divergences),
    "rules": (("name", "mathematics"), rules),
    "spaces": (("name", "kind", "mathematics"), spaces),
}
"""What each list's columns are called, and its rows."""


@click.command("schema", cls=Command)
def schema_command() -> None:
    r"""Print the JSON Schema of a spec.

    Editors complete and check TOML files by it: the keys, the names of families and estimators, their options.

    \b
    Examples:
      ibsym schema > spec.schema.json
    """
    from ibsym.spec.schema import json_schema

    show(json_schema())
