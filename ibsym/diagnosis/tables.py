"""Systems against each other: which terms each keeps, drops, estimates and weighs, in the first one's names, and what separates them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ibsym.diagnosis.coefficients import ascii_text
from ibsym.diagnosis.identifying import best, named
from ibsym.diagnosis.naming import Naming, Shape, correspondences
from ibsym.diagnosis.systems import bare
from ibsym.rendering.table import CONSTANT, DROPPED, Cell, Table, decomposition, decomposition_latex, uses
from ibsym.shown import Told
from ibsym.terms.measures import Term
from ibsym.terms.premises import Discrete
from ibsym.terms.vectors import Span

if TYPE_CHECKING:
    from ibsym.derivation.model import Derivation

RANKS = 3


@dataclass(frozen=True)
class System:
    """A derivation in the first system's names."""

    label: str
    derivation: Derivation
    naming: Naming

    def variables(self) -> dict[str, str]:
        """Space by variable."""
        return {self.naming.variable(v): str(space) for v, space in self.derivation.spec.variables.items()}

    def families(self) -> dict[str, str]:
        """Family by factor."""
        factors = self.derivation.spec.factors.items()
        return {self.naming.factor(t): f.family.name for t, f in factors if f.family is not None}

    def discrete(self) -> tuple[str, ...]:
        """The variables that the derivation needs discrete."""
        premises = (p for step in self.derivation.steps for p in step.premises)
        return tuple(dict.fromkeys(self.naming.variable(v) for p in premises if isinstance(p, Discrete) for v in _named_in(p)))


def _named_in(premise: Discrete) -> tuple[str, ...]:
    variable = getattr(premise, "variable", ())
    return (variable,) if isinstance(variable, str) else tuple(variable)


@dataclass(frozen=True, repr=False)
class Comparison(Told):
    """``table`` has a row a system and a column a term; terms are one where their vectors are."""

    systems: tuple[System, ...]
    table: Table

    @property
    def shared(self) -> list[str]:
        """The terms that all keep."""
        return [str(t) for j, t in enumerate(self.table.terms) if all(_kept(row[j]) for row in self.table.cells)]

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(s.label for s in self.systems)}>"

    def __str__(self) -> str:
        return "\n".join([decomposition(self.table).rstrip("\n"), "", *self.sentences()]) + "\n"

    def to_text(self, width: int = 100) -> str:
        """The table and what separates the systems, as text of a width."""
        said = (
            textwrap.wrap(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            for line in self.sentences()
        )
        return (
            "\n".join([decomposition(self.table, width).rstrip("\n"), "", *(line for lines in said for line in lines)]) + "\n"
        )

    def to_latex(self) -> str:
        r"""The table as a ``tabular``, with its legend."""
        return decomposition_latex(self.table)

    def sentences(self) -> Iterator[str]:
        """What is shared and what is not, term by term; then spaces, families, needs and names."""
        yield "All keep " + ", ".join(self.shared) + "." if self.shared else "No term is kept by all."
        for j, term in enumerate(self.table.terms):
            cells = [row[j] for row in self.table.cells]
            said = [_treated(c) for c in cells]
            if len(set(said)) > 1:
                yield f"{term}: " + "; ".join(f"{s.label} {text}" for s, text in zip(self.systems, said, strict=True)) + "."
        yield from self._facts()

    def _facts(self) -> Iterator[str]:
        for label, of in (("spaces", System.variables), ("families", System.families)):
            tables = [of(s) for s in self.systems]
            for key in dict.fromkeys(k for t in tables for k in t):
                said = [t.get(key, "absent") for t in tables]
                if len(set(said)) > 1:
                    yield (
                        f"{label}: {key} is "
                        + "; ".join(f"{v} in {s.label}" for s, v in zip(self.systems, said, strict=True))
                        + "."
                    )
        for system in self.systems:
            needs = system.discrete()
            if needs:
                yield f"{system.label} needs {', '.join(needs)} discrete."
        relations = [str(s.derivation.relation) for s in self.systems]
        if len(set(relations)) > 1:
            yield (
                "objective to bound: "
                + "; ".join(f"{r} in {s.label}" for s, r in zip(self.systems, relations, strict=True))
                + "."
            )
        for system in self.systems:
            names = named(system.naming)
            if names:
                yield f"names of {system.label}: {names}."

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "systems": [
                {
                    "name": s.label,
                    "objective": s.derivation.spec.objective_text,
                    "relation": str(s.derivation.relation),
                    "variables": s.variables(),
                    "families": s.families(),
                    "discrete": list(s.discrete()),
                    "names": {"variables": dict(s.naming.variables), "joints": dict(s.naming.heads)},
                }
                for s in self.systems
            ],
            "terms": [
                {
                    "term": str(term),
                    "cells": [
                        [{"coefficient": ascii_text(bare(c.coefficient)), "treatment": c.treatment} for c in row[j]]
                        for row in self.table.cells
                    ],
                }
                for j, term in enumerate(self.table.terms)
            ],
            "shared": self.shared,
        }

    def to_json(self) -> str:
        """The same for machines."""
        return json.dumps(self.record(), indent=2, ensure_ascii=True)


def _kept(cells: Sequence[Cell]) -> bool:
    return any(c.treatment not in (DROPPED, CONSTANT) for c in cells)


def _treated(cells: Sequence[Cell]) -> str:
    """What a system does with a term, in words."""
    if not cells:
        return "does not have it"
    said = []
    for cell in cells:
        weight = ascii_text(bare(cell.coefficient))
        match cell.treatment:
            case "dropped":
                said.append(f"drops it (weight {weight})")
            case "constant":
                said.append(f"leaves it out as a constant (weight {weight})")
            case "closed-form" | "sampled":
                said.append(f"keeps it, {cell.treatment}, weight {weight}")
            case estimator:
                said.append(f"estimates it by {estimator}, weight {weight}")
    return " and ".join(said)


def compared(derivations: Sequence[Derivation]) -> Comparison:
    """The comparison, in the names of the first."""
    first = derivations[0]
    shape = Shape.of(first.spec)
    labels: list[str] = []
    systems = []
    for derivation in derivations:
        same = derivation is first
        namings = [Naming()] if same else [n for _, n in correspondences(shape, Shape.of(derivation.spec))]
        naming = best(first, derivation, namings or [Naming()]).naming
        label = derivation.spec.name
        label = label if label not in labels else f"{label} ({1 + sum(x.split(' (')[0] == label for x in labels)})"
        labels.append(label)
        systems.append(System(label, derivation, naming))
    return Comparison(tuple(systems), _table(systems))


def _table(systems: Sequence[System]) -> Table:
    """Rows by system, columns by term: kept ones before dropped ones before constants."""
    columns: list[tuple[int, Term, dict[Any, Fraction]]] = []
    rows: list[dict[int, tuple[Cell, ...]]] = []
    for system in systems:
        row: dict[int, tuple[Cell, ...]] = {}
        span = _span(system.derivation)
        for rank, term, cell in uses(system.derivation):
            j = _column(columns, rank, system.naming.node(term), _vector(system, span, term))
            row[j] = (*row.get(j, ()), cell)
        rows.append(row)
    order = sorted(range(len(columns)), key=lambda j: columns[j][0])
    cells = tuple(tuple(row.get(j, ()) for j in order) for row in rows)
    return Table(tuple(s.label for s in systems), tuple(columns[j][1] for j in order), cells)


def _span(derivation: Derivation) -> Span:
    coordinates = derivation.coordinates
    return Span(e.vector for e in coordinates.equations(coordinates.spec.joints))


def _vector(system: System, span: Span, term: Term) -> dict[Any, Fraction]:
    found: dict[Any, Fraction] = {}
    for key, value in span.reduce(system.derivation.coordinates.vector(term)).items():
        name = system.naming.coordinate(key)
        found[name] = found.get(name, Fraction(0)) + Fraction(value)
    return found


def _column(columns: list[tuple[int, Term, dict[Any, Fraction]]], rank: int, term: Term, vector: dict[Any, Fraction]) -> int:
    """The column of a term: that of its text, or of its vector; a new one else."""
    for j, (other, known, vectors) in enumerate(columns):
        if str(known) == str(term) or (vector and vector == vectors):
            columns[j] = (min(rank, other), known, vectors)
            return j
    columns.append((rank, term, vector))
    return len(columns) - 1
