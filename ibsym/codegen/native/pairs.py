"""sum_ij W_ij f(z_i, x_j) in two passes over pairs that are never stored but for one matrix.

Parts of the formula that only know x_j are computed once a coordinate and column; the rest is in the inner loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy

from ibsym.codegen.native.calculus import Stable, Unfused, derivative
from ibsym.codegen.native.elements import shared
from ibsym.codegen.native.pairing import ENTRY, Pairs, Table
from ibsym.codegen.native.printing import c_text

KINDS = ("together", "apart", "own", "off", "mapped")


@dataclass(frozen=True)
class Kernel:
    """Sums that are read off one table, at most one of each kind, under one mask."""

    table: Table
    sums: tuple[Pairs, ...]

    @property
    def by_kind(self) -> dict[str, Pairs]:
        return {s.kind: s for s in self.sums}

    @property
    def mask(self) -> str:
        return next((s.mask for s in self.sums if s.mask), "")

    @property
    def total(self) -> int:
        return next((s.total for s in self.sums if s.mask), 0)


def kernels(sums: Sequence[Pairs]) -> list[Kernel]:
    """Sums grouped by table and mask; the diagonal and the mean off it need no mask of their own."""
    groups: list[list[Pairs]] = []
    for item in sorted(sums, key=lambda s: (s.kind in ("own", "off"), sums.index(s))):
        for group in groups:
            free = item.kind not in {s.kind for s in group} and "mapped" not in {item.kind, *(s.kind for s in group)}
            masks = {(s.mask, s.total) for s in group if s.kind not in ("own", "off")}
            if group[0].table == item.table and free and (item.kind in ("own", "off") or masks <= {(item.mask, item.total)}):
                group.append(item)
                break
        else:
            groups.append([item])
    return [Kernel(g[0].table, tuple(g)) for g in groups]


@dataclass(frozen=True)
class Inner:
    """C text of the inner loops: columns' own parts, the value, the derivatives by row and by column."""

    hoisted: tuple[tuple[str, str], ...]
    value: tuple[tuple[str, ...], str]
    slopes: tuple[tuple[str, ...], tuple[str, ...]]


def inner(table: Table) -> Inner:
    """The table's formula and its derivatives, what knows the column only set apart."""
    row = table.row[0]
    stable = Stable()
    formulas = [stable.formula(e) for e in (table.formula, *(derivative(table.formula, s) for s in (row, *(s for s, _ in table.columns))))]
    if stable.parts:
        formulas = [_spelled(e, stable) for e in formulas]
    known: dict[sympy.Expr, sympy.Symbol] = {}
    columns = {s for s, _ in table.columns}
    value, *slopes = (hoisted(e, row, columns, known) for e in formulas)
    of_value, (value,) = shared([value])
    of_slopes, slopes = shared(slopes)
    return Inner(
        tuple((s.name, c_text(e)) for e, s in known.items()),
        (tuple(f"const REAL {s} = {c_text(e)};" for s, e in of_value), c_text(value)),
        (tuple(f"const REAL {s} = {c_text(e)};" for s, e in of_slopes), tuple(map(c_text, slopes))),
    )


def _spelled(e: sympy.Expr, stable: Stable) -> sympy.Expr:
    """Logistic parts belong to loops over elements; a table of columns with them has them hoisted or does not fuse."""
    raise Unfused("logistic functions in a table of pairs")


def hoisted(e: sympy.Expr, row: sympy.Symbol, columns: set[sympy.Symbol], known: dict[sympy.Expr, sympy.Symbol]) -> sympy.Expr:
    """The formula with its parts that only know the column as symbols h0, h1, ...

    >>> z, m, l = sympy.symbols("z m l")
    >>> known = {}
    >>> hoisted((z - m)**2 * sympy.exp(-l) / 2, z, {m, l}, known), known
    (h0*(-m + z)**2, {exp(-l)/2: h0})
    """
    if row not in e.free_symbols:
        if e.is_Atom or not e.free_symbols & columns:
            return e
        return known.setdefault(e, sympy.Symbol(f"h{len(known)}", real=True))
    if isinstance(e, sympy.Add | sympy.Mul):
        apart = [a for a in e.args if row not in a.free_symbols]
        rest = [hoisted(a, row, columns, known) for a in e.args if row in a.free_symbols]
        return e.func(hoisted(e.func(*apart), row, columns, known), *rest)
    return e.func(*(hoisted(a, row, columns, known) for a in e.args)) if e.args else e


def outer(item: Pairs) -> tuple[str, str]:
    """The function of an entry, and its derivative."""
    assert item.outer is not None
    return c_text(item.outer), c_text(derivative(item.outer, ENTRY))
