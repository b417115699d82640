"""Several systems as the same terms under different treatments: a row a system, a column a term, in a cell weight and treatment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import sympy

from ibsym.derivation.model import Derivation
from ibsym.rendering import notation
from ibsym.rendering.tex import tex, words
from ibsym.terms.measures import Term

WIDTH = 100
DROPPED, CONSTANT = "dropped", "constant"


@dataclass(frozen=True, slots=True)
class Cell:
    """What a system does with a term: its weight, and an estimator's name, ``dropped`` or ``constant``."""

    coefficient: sympy.Expr
    treatment: str


@dataclass(frozen=True, slots=True)
class Table:
    """``cells[i][j]`` is what system i does with term j; empty where the term does not occur."""

    systems: tuple[str, ...]
    terms: tuple[Term, ...]
    cells: tuple[tuple[tuple[Cell, ...], ...], ...]


def compare(derivations: Iterable[Derivation]) -> Table:
    """The table of several derivations; columns by first appearance, kept terms before dropped ones before constants."""
    systems: dict[str, dict[Term, tuple[Cell, ...]]] = {}
    columns: tuple[dict[Term, None], ...] = ({}, {}, {})
    for derivation in derivations:
        row: dict[Term, tuple[Cell, ...]] = {}
        for rank, term, cell in uses(derivation):
            row[term] = (*row.get(term, ()), cell)
            columns[rank].setdefault(term)
        systems[derivation.spec.name] = row
    terms = tuple(dict.fromkeys(t for column in columns for t in column))
    return Table(tuple(systems), terms, tuple(tuple(row.get(t, ()) for t in terms) for row in systems.values()))


def uses(derivation: Derivation) -> Iterator[tuple[int, Term, Cell]]:
    """Every term with what is done to it: kept ones (0), dropped ones (1), constants (2)."""
    for b in derivation.bound:
        yield 0, b.quantity, Cell(b.coefficient, b.estimator)
    for g in derivation.gap:
        yield 1, g.term, Cell(g.coefficient, DROPPED)
    for w in derivation.constants:
        yield 2, w.term, Cell(w.coefficient, CONSTANT)


def decomposition(derivations: Table | Iterable[Derivation], width: int = WIDTH) -> str:
    """The table as text: weight above treatment, a dot where a term does not occur, in as many blocks of columns as fit the width."""
    table = derivations if isinstance(derivations, Table) else compare(derivations)
    first = max((len(s) for s in table.systems), default=0)
    columns = [_column(table, j) for j in range(len(table.terms))]
    blocks: list[list[list[str]]] = []
    room = 0
    for column in columns:
        size = max(map(len, column)) + 2
        if not blocks or size > room:
            blocks.append([])
            room = width - first
        blocks[-1].append(column)
        room -= size
    return "\n".join("".join(_block(table.systems, first, block)) for block in blocks)


def _column(table: Table, j: int) -> list[str]:
    """A heading, then two lines a system."""
    lines = [str(table.terms[j])]
    for row in table.cells:
        cells = row[j]
        lines += ["; ".join(str(c.coefficient) for c in cells) or ".", "; ".join(c.treatment for c in cells)]
    return lines


def _block(systems: Sequence[str], first: int, columns: Sequence[Sequence[str]]) -> Iterator[str]:
    heads = ["", *(line for s in systems for line in (s, ""))]
    for i, head in enumerate(heads):
        cells = "".join(f"  {column[i]:<{max(map(len, column))}}" for column in columns)
        yield f"{head:<{first}}{cells}".rstrip() + "\n"
        if i == 0:
            yield "─" * (first + sum(max(map(len, column)) + 2 for column in columns)) + "\n"


def decomposition_latex(derivations: Table | Iterable[Derivation]) -> str:
    r"""The table as a ``tabular`` with one letter a column, and under it what the letters stand for."""
    table = derivations if isinstance(derivations, Table) else compare(derivations)
    letters = [f"T_{{{j}}}" for j in range(1, len(table.terms) + 1)]
    lines = [
        r"{\footnotesize\setlength{\tabcolsep}{3pt}\noindent",
        rf"\begin{{tabular}}{{l{'c' * len(letters)}}}",
        r"\hline\rule{0pt}{2.5ex}",
        " & ".join(["", *(f"${x}$" for x in letters)]) + r" \\",
        "\\hline",
    ]
    for system, row in zip(table.systems, table.cells, strict=True):
        weights = ["; ".join(f"${tex(notation.coefficient(c.coefficient)).strip()}$" for c in cells) for cells in row]
        treatments = ["; ".join(rf"\scriptsize {words(c.treatment)}" for c in cells) for cells in row]
        lines += [" & ".join([words(system), *weights]) + r" \\*", " & ".join(["", *treatments]) + r" \\"]
    lines += ["\\hline", "\\end{tabular}\\par}", "", r"\smallskip\noindent"]
    legend = [rf"${x} = {tex(notation.term(t)).strip()}$" for x, t in zip(letters, table.terms, strict=True)]
    return "\n".join(lines) + "\n" + ",\n".join(legend) + ".\n"
