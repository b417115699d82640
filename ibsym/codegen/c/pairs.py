"""sum_ij W_ij f(z_i, x_j) in two passes over pairs that are never stored but for one matrix.

Parts of the formula that only know x_j are computed once a coordinate and column; the rest is in the inner loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sympy

from ibsym.codegen.c.elements import shared
from ibsym.codegen.c.printing import c_text
from ibsym.codegen.templating import Context
from ibsym.lowering.fusion.calculus import Stable, derivative, times
from ibsym.lowering.fusion.pairing import ENTRY, Pairs, Table, size_of
from ibsym.lowering.program import Load

WEIGHT = sympy.Symbol("weight", real=True)
"""The derivative of the loss by an entry of the table."""


class Names(NamedTuple):
    """Inputs by name, and which of them get gradients."""

    of: Callable[[Load], str]
    gradients: Collection[str]


@dataclass(frozen=True)
class Kernel:
    """Sums that are read off one table, at most one of each kind, under one mask."""

    table: Table
    sums: tuple[Pairs, ...]

    @property
    def by_kind(self) -> dict[str, Pairs]:
        """The sums over pairs, by what they reduce with."""
        return {s.kind: s for s in self.sums}

    @property
    def mask(self) -> str:
        """Which pairs are left out; empty where none are."""
        return next((s.mask for s in self.sums if s.mask), "")

    @property
    def total(self) -> int:
        """The number of pairs that are left; 0 where none are left out."""
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
    formulas = [
        stable.formula(e)
        for e in (table.formula, *(derivative(table.formula, s) for s in (row, *(s for s, _ in table.columns))))
    ]
    assert not stable.parts
    known: dict[sympy.Expr, sympy.Symbol] = {}
    columns = {s for s, _ in table.columns}
    value, *slopes = (hoisted(e, row, columns, known) for e in formulas)
    of_value, (value,) = shared([value])
    of_slopes, slopes = shared([ordered(e, columns | {row}) for e in slopes])
    return Inner(
        tuple((s.name, c_text(e)) for e, s in known.items()),
        (tuple(f"const REAL {s} = {c_text(e)};" for s, e in of_value), c_text(value)),
        (tuple(f"const REAL {s} = {c_text(e)};" for s, e in of_slopes), tuple(map(c_text, slopes))),
    )


def ordered(e: sympy.Expr, inputs: set[sympy.Symbol]) -> sympy.Expr:
    """weight * e, the weight first in every product: a share of 0 times what overflows by itself is 0, as step by step in torch.

    >>> t, h = sympy.symbols("t h", real=True)
    >>> ordered(t**2 / 2 - t * h, {t, h})
    -times(times(weight, h), t) + times(times(weight, t), t)/2
    """
    terms = []
    for term in sympy.Add.make_args(e):
        number, rest = term.as_coeff_Mul()
        product: sympy.Expr = WEIGHT
        whole = sympy.Mul.make_args(rest) if rest != 1 else ()
        factors = [
            a for f in whole for a in (f.args if isinstance(f, times) and any(isinstance(b, times) for b in f.args) else (f,))
        ]
        for factor in sorted(factors, key=lambda f: (not f.free_symbols & inputs, not f.has(times), str(f))):
            power = factor.is_Pow and factor.exp.is_Integer and factor.exp > 0 and not isinstance(factor, sympy.exp)
            for _ in range(int(factor.exp) if power else 1):
                product = times(product, factor.base if power else factor)
        terms.append(number * product)
    return sympy.Add(*terms)


def hoisted(e: sympy.Expr, row: sympy.Symbol, columns: set[sympy.Symbol], known: dict[sympy.Expr, sympy.Symbol]) -> sympy.Expr:
    """The formula with its parts that only know the column as symbols h0, h1, ...

    >>> z, m, l = sympy.symbols("z m l")
    >>> known = {}
    >>> hoisted((z - m)**2 * sympy.exp(-l) / 2, z, {m, l}, known), known
    (h0*(-m + z)**2/2, {exp(-l): h0})
    """
    if row not in e.free_symbols:
        if e.is_Atom or e.as_coeff_Mul()[1].is_Atom or not e.free_symbols & columns:
            return e
        return known.setdefault(e, sympy.Symbol(f"h{len(known)}", real=True))
    number, inside = e.as_coeff_Mul()
    if number != 1:
        return number * hoisted(inside, row, columns, known)
    if isinstance(e, sympy.Add | sympy.Mul):
        apart = [a for a in e.args if row not in a.free_symbols]
        rest = [hoisted(a, row, columns, known) for a in e.args if row in a.free_symbols]
        return e.func(hoisted(e.func(*apart), row, columns, known), *rest)
    return e.func(*(hoisted(a, row, columns, known) for a in e.args)) if e.args else e


def outer(item: Pairs) -> tuple[str, str]:
    """The function of an entry, and its derivative."""
    assert item.outer is not None
    return c_text(item.outer), c_text(derivative(item.outer, ENTRY))


def context(
    k: int, kernel: Kernel, names: Names, weight: Callable[[Pairs], str], inside: Callable[[sympy.Expr], str]
) -> Context:
    """What ``pairs.c.j2`` lays out. ``weight`` is the derivative of the loss by a mean, "" where it has none."""
    table, kinds = kernel.table, kernel.by_kind
    text = inner(table)
    row, columns = names.of(table.row[1]), [names.of(load) for _, load in table.columns]
    gradients = [n for n in (row, *columns) if n in names.gradients]
    sizes = sorted({s.name for item in kernel.sums if item.outer is not None for s in item.outer.free_symbols - {ENTRY}})
    scales = {kind: weight(item) for kind, item in kinds.items()}
    counts = {kind: _count(item) for kind, item in kinds.items()}
    matrix = bool(kinds.keys() - {"apart"})
    mapped, slope = outer(kinds["mapped"]) if "mapped" in kinds else ("", "")
    pair_weight = " + ".join([*(["a[j]"] if matrix else []), *(["e[j]"] if "apart" in kinds else [])])
    return {
        "k": str(k),
        "row": row,
        "columns": tuple(columns),
        "column_count": str(len(columns)),
        "hoisted": text.hoisted,
        "hoisted_count": str(len(text.hoisted)),
        "value_statements": text.value[0],
        "value": text.value[1],
        "slope_statements": text.slopes[0],
        "row_slope": text.slopes[1][0],
        "column_slopes": tuple(zip(columns, text.slopes[1][1:], strict=True)),
        "mask": kernel.mask,
        "total": str(kernel.total),
        "width": inside(size_of(table.event)),
        "pooled": _flag(table.pooled),
        "want": " || ".join(f"g->d_{n} != 0" for n in dict.fromkeys(gradients)) or "0",
        "needs_two": _flag(bool(kernel.mask) or "off" in kinds),
        "scales": tuple((f"s_{kind}", f"({w or 0}) / ((double)all * {counts[kind]})") for kind, w in scales.items()),
        "sizes": tuple(sizes),
        "matrix": _flag(matrix),
        **{kind: _flag(kind in kinds) for kind in ("together", "apart", "own", "off")},
        "mapped": mapped,
        "mapped_slope": slope,
        "pair_weight": pair_weight,
        "d_row": _flag(row in names.gradients),
        "d_columns": tuple(c for c in columns if c in names.gradients),
        "results": tuple((str(n), INDEX[item.kind], counts[item.kind]) for n, item in enumerate(kernel.sums)),
    }


INDEX = {"together": "0", "own": "1", "off": "2", "mapped": "3", "apart": "4"}


def _count(item: Pairs) -> str:
    """How many entries of a row its mean is over."""
    if item.kind == "off" or (item.kind == "mapped" and item.mask):
        return "(double)(columns - 1)"
    return "(double)columns" if item.kind == "mapped" else "1"


def _flag(yes: bool) -> str:
    return "yes" if yes else ""
