"""sum_ij W_ij f(z_i, x_j) in two passes over pairs that are never stored but for one matrix.

Parts of the formula that only know x_j are computed once a coordinate and column; the rest is in the inner loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import sympy

from ibsym.codegen.c.class_sums import rows
from ibsym.codegen.c.elements import shared
from ibsym.codegen.c.printing import c_text, symbols
from ibsym.codegen.c.text import comment
from ibsym.codegen.templating import Text, render
from ibsym.lowering.fusion.calculus import Stable, derivative
from ibsym.lowering.fusion.pairing import ENTRY, Beside, Pairs, Table, parts_of
from ibsym.lowering.fusion.plan import Kernel, hoisted, ordered
from ibsym.lowering.program import Axes, Load


class Names(NamedTuple):
    """Inputs by name, which of them get gradients, and numbers of elements along axes."""

    of: Callable[[Load], str]
    gradients: Collection[str]
    size: Callable[[Axes], str]


class Body(NamedTuple):
    """Statements of an inner loop, its results, and the names that both use."""

    statements: tuple[str, ...]
    results: tuple[str, ...]
    used: set[str]


class Inner(NamedTuple):
    """C text of the inner loops: columns' own parts, the value, the derivatives by row and by column."""

    hoisted: tuple[tuple[str, str], ...]
    hoisted_used: set[str]
    value: Body
    slopes: Body


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
    return Inner(
        tuple((s.name, c_text(e)) for e, s in known.items()),
        symbols(known),
        _body([value]),
        _body([ordered(e, columns | {row}) for e in slopes]),
    )


def _body(formulas: Sequence[sympy.Expr]) -> Body:
    temporary, results = shared(formulas)
    return Body(
        tuple(f"const REAL {s} = {c_text(e)};" for s, e in temporary),
        tuple(map(c_text, results)),
        symbols([*(e for _, e in temporary), *results]),
    )


def outer(item: Pairs) -> tuple[str, str]:
    """The function of an entry, and its derivative."""
    assert item.outer is not None
    return c_text(item.outer), c_text(derivative(item.outer, ENTRY))


def written(k: int, kernel: Kernel, names: Names, weights: Mapping[str, str], width: str, about: str, each: str) -> str:
    """The functions of one table. ``weights`` are the derivatives of the loss by what is read off it, "0" where there is none."""
    table, kinds = kernel.table, kernel.by_kind
    text = inner(table)
    sides = (table.row, *table.columns)
    row, *columns = ("_".join(map(names.of, parts_of(value))) for _, value in sides)
    known = [f"w_{c}" for c in columns] + [h for h, _ in text.hoisted]

    def heads(used: set[str], among: Sequence[str]) -> tuple[list[str], list[str]]:
        """Pointers to the columns' parts that are used, and their values at j."""
        mine = [(p, n) for p, n in enumerate(among) if n in used]
        return [f"const REAL *restrict at_{n} = at[{p}];" for p, n in mine], [f"const REAL {n} = at_{n}[j];" for _, n in mine]

    value_heads, value_loads = heads(text.value.used, known)
    slope_heads, slope_loads = heads(text.slopes.used, known)
    slope_heads += [f"REAL *restrict d_{c} = d[{p}];" for p, c in enumerate(columns)]
    v = f"v_{row}"
    slope_heads += [] if v in text.slopes.used else [f"(void){v};"]
    slope_heads += [] if slope_loads else ["(void)at;"]
    by_row, *by_column = text.slopes.results
    slopes = [f"slope += {by_row};", *(f"d_{c}[j] += {e};" for c, e in zip(columns, by_column, strict=True))]
    hoist = ""
    if text.hoisted:
        hoist_heads, hoist_loads = heads(text.hoisted_used, known[: len(columns)])
        hoist_heads += [f"REAL *restrict at_{h} = at[{p}];" for p, (h, _) in enumerate(text.hoisted, len(columns))]
        statements = [*hoist_loads, *(f"at_{h}[j] = {e};" for h, e in text.hoisted)]
        hoist = (
            render("c/hoist.c.j2", {"k": str(k), "heads": tuple(hoist_heads), "statements": tuple(statements)}).rstrip() + "\n"
        )
    mapped = _mapped(k, kinds["mapped"]) if "mapped" in kinds else ""
    learns = [c if c in names.gradients else "" for c in columns]
    places = {
        "row": f"g->in_{row}",
        "in": _braced(f"g->in_{c}" for c in columns),
        "n_row": f"g->n_{row}",
        "n": f"g->n_{columns[0]}",
        **({"d_row": f"g->d_{row}"} if row in names.gradients else {}),
        "d": _braced(f"g->d_{c}" if c else "0" for c in learns),
        "width": width,
    }
    settings = {
        "g": "g",
        "kind": _braced(f"[{kind.upper()}] = 1" for kind in kinds),
        "weight": _braced(f"[{kind.upper()}] = {weights[kind]}" for kind in kinds),
        "values": f"values{k}",
        "slopes": f"slopes{k}",
        **({"hoist": f"hoist{k}"} if hoist else {}),
        **({"map": f"map{k}"} if mapped else {}),
        "columns": str(len(columns)),
        "hoisted": str(len(text.hoisted)),
        **({} if kernel.beside else places),
        "pooled": str(int(table.pooled)),
        "mask": (kernel.mask or "every").upper(),
        "total": str(kernel.total),
    }
    parts: dict[str, Text] = {
        "k": str(k),
        "comment": about,
        "v": v,
        "value_heads": tuple(value_heads),
        "value_statements": (*value_loads, *text.value.statements),
        "value": text.value.results[0],
        "slope_heads": tuple(slope_heads),
        "slope_statements": (*slope_loads, *text.slopes.statements, *slopes),
        "hoist": hoist,
        "settings": tuple(settings.items()),
        "each": each,
        "beside": (),
        "call": "pairs(&p",
    }
    if kernel.beside:
        points = [_points(value, names) for _, value in sides]
        parts["beside"] = (f"const Points row = {points[0]};", f"const Points column[] = {rows(points[1:])};")
        parts["call"] = "pairs_of_points(p, &row, column"
    if kernel.logits is not None:
        parts["beside"] = (_weights(names.of(kernel.logits), names),)
        parts["call"] = "pairs_weighted(p, &mixture"
    return mapped + render("c/pairs.c.j2", parts)


def _points(value: Load | Beside, names: Names) -> str:
    """The values that stand side by side in a row or in a column."""
    assert isinstance(value, Beside)
    inputs = [names.of(load) for load, _ in value.parts]
    fields = {
        "parts": str(len(inputs)),
        "in": _braced(f"g->in_{x}" for x in inputs),
        "d": _braced(f"g->d_{x}" if x in names.gradients else "0" for x in inputs),
        "n": _braced(f"g->n_{x}" for x in inputs),
        "width": _braced(names.size(axes) for _, axes in value.parts),
    }
    return _braced(f".{field} = {text}" for field, text in fields.items())


def _weights(logits: str, names: Names) -> str:
    """The logits of the weights of a mixture's components."""
    fields = {
        "logits": f"g->in_{logits}",
        **({"d": f"g->d_{logits}"} if logits in names.gradients else {}),
        "n": f"g->n_{logits}",
    }
    return f"const Mixture mixture = {_braced(f'.{field} = {text}' for field, text in fields.items())};"


def _mapped(k: int, item: Pairs) -> str:
    value, slope = outer(item)
    assert item.outer is not None
    sizes = sorted(s.name for s in item.outer.free_symbols - {ENTRY})
    return render(
        "c/map.c.j2",
        {
            "k": str(k),
            "formula": comment(f"of an entry: {item.outer}"),
            "sizes": tuple(f"const REAL {s} = (REAL)g->{s};" for s in sizes),
            "value": value,
            "slope": slope,
        },
    )


def _braced(values: Iterable[str]) -> str:
    return f"{{{', '.join(values)}}}"
