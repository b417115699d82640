"""sum_ij W_ij f(z_i, x_j) by tiles of a table: its entries, what is read off its rows, and the gradients by rows and by columns.

Sums and maxima over a loop are kept for every place of a tile, and put together after it: no lane waits for another inside.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy

from ibsym.codegen.templating import Text, render
from ibsym.codegen.triton.printing import block
from ibsym.codegen.triton.text import shared, signature
from ibsym.lowering.fusion.calculus import Stable, Unfused, derivative
from ibsym.lowering.fusion.pairing import ENTRY, Table, parts_of
from ibsym.lowering.fusion.plan import Kernel, hoisted, ordered
from ibsym.lowering.program import Load

TILE = ("BI: tl.constexpr", "BJ: tl.constexpr", "BL: tl.constexpr", "EVEN: tl.constexpr")
MASK = ("own", "following", "others")
SIDES = {"row": ("i[:, None, None]", "rows"), "column": ("j[None, :, None]", "columns")}
"""The index of either side in a tile, and how many there are."""


def column_names(table: Table, of: Callable[[Load], str]) -> list[str]:
    """The columns' values: names of parameters of the kernels."""
    return ["_".join(map(of, parts_of(value))) for _, value in table.columns]


class Writer:
    """The kernels of one table, the ``k``-th."""

    def __init__(self, k: int, kernel: Kernel, of: Callable[[Load], str]):
        table = kernel.table
        self.weighted = kernel.logits is not None
        self.k, self.kinds, self.mask = k, kernel.by_kind, ("log_weights",) if self.weighted else MASK if kernel.mask else ()
        if self.weighted and self.kinds.keys() != {"together"}:
            raise Unfused("weights of components apart")
        self.excluded = kernel.mask == "exclude"
        self.names = column_names(table, of)
        row, columns = table.row[0], [s for s, _ in table.columns]
        self.row = row.name
        stable = Stable()
        known: dict[sympy.Expr, sympy.Symbol] = {}
        value, *slopes = (
            hoisted(stable.formula(e), row, set(columns), known)
            for e in (table.formula, *(derivative(table.formula, s) for s in (row, *columns)))
        )
        assert not stable.parts
        renamed = {s: sympy.Symbol(f"at_{s.name}", real=True) for s in known.values()}
        at = {s: sympy.Symbol(f"at_{n}", real=True) for s, n in zip(columns, self.names, strict=True)}
        self.known = {s.name: e.xreplace(at) for e, s in known.items()}
        self.value = value.xreplace(at | renamed)
        self.slopes = [ordered(e, {row, *columns}).xreplace(at | renamed) for e in slopes]

    @property
    def read(self) -> list[str]:
        """What is read off whole rows."""
        return [kind for kind in self.kinds if kind != "apart"]

    def names_of_kernels(self, *, learns: bool) -> list[str]:
        """The kernels that there are, in the order in which they run."""
        found = ["planes"] + ["table", "rows"] * bool(self.read) + ["apart"] * ("apart" in self.kinds)
        return found + ["by_row", "by_column"] * learns

    def written(self, comment: str, *, learns: bool) -> str:
        """Their text."""
        planes = [f"p_{n}" for n in (*self.names, *self.known)]
        places = ["row", *planes]
        sizes = ["rows", "columns", "width", *TILE]
        steps, (value,) = shared([self.value])
        weighed = f"{value} + {self._log_weight()}" if self.mask and not self.weighted else value
        rows_statements, numbers = self._rows()
        rows_parameters = ["matrix", *(f"sums_{n}" for n in self.read), "up", "rows", "columns", *self.mask, *numbers]
        rows_parameters += [*(f"scale_{n}" for n in self.read), "WANTS: tl.constexpr", "WIDTH: tl.constexpr"]
        hoists = [f"at_{n} = tl.load(w_{n} + place, here, 0.0).to(tl.float32)" for n in self.names]
        hoists += [f"tl.store(p_{n} + at, at_{n}, here)" for n in self.names]
        hoists += [f"tl.store(p_{n} + at, {block(e)}, here)" for n, e in self.known.items()]
        context: dict[str, Text] = {
            "k": str(self.k),
            "comment": comment,
            "columns": ", ".join(f"w_{n}" for n in self.names),
            "planes": ", ".join(planes),
            "hoisted": tuple(hoists),
            "tabled": "yes" if self.read else "",
            "apart": "yes" if "apart" in self.kinds else "",
            "table_signature": signature(f"table_{self.k}", [*places, "matrix", *sizes]),
            "rows_signature": signature(f"rows_{self.k}", rows_parameters),
            "apart_signature": signature(f"apart_{self.k}", [*places, "lse", "sums", *self.mask, *sizes]),
            "row_loads": tuple(self._loads("row")),
            "column_loads": tuple(self._loads("column")),
            "value_statements": tuple(steps),
            "value": value,
            "weighed": weighed,
            "rows_statements": tuple(rows_statements),
            "slopes": tuple(self._slopes(side, places, [*steps, f"a = {weighed}"]) for side in SIDES) if learns else (),
        }
        return render("triton/pairs.py.j2", context)

    def _log_weight(self) -> str:
        return "log_weight(i[:, None, None], j[None, :, None], columns, own, following, others)"

    def _loads(self, side: str) -> list[str]:
        index, bound = SIDES[side]
        real = [f"in_{side} = ({index} < {bound}) & (l[None, None, :] < width) | EVEN"]
        if side == "row":
            place = f"row + {index} * width + l[None, None, :]"
            return [*real, f"{self.row} = tl.load({place}, in_row, 0.0).to(tl.float32)"]
        place = f"l[None, None, :] * columns + {index}"
        return [*real, *(f"at_{n} = tl.load(p_{n} + {place}, in_column, 0.0)" for n in (*self.names, *self.known))]

    def _slopes(self, side: str, places: list[str], entry: list[str]) -> tuple[Text, ...]:
        """The gradient by the rows, or by all values of the columns."""
        targets = ["row"] if side == "row" else self.names
        own, other, block_of, axis, head = (
            ("i", "j", "BI", 1, "columns, BJ") if side == "row" else ("j", "i", "BJ", 0, "rows, BI")
        )
        steps, results = shared(self.slopes[:1] if side == "row" else self.slopes[1:])
        number = 0 if side == "row" else 1
        before = [
            f"{own}, l = tl.program_id(1) * {block_of} + tl.arange(0, {block_of}), tl.program_id(0) * BL + tl.arange(0, BL)",
            *self._loads(side),
            *(f"sum_{n} = tl.zeros((BI, BJ, BL), tl.float32)" for n in targets),
        ]
        inside = [f"{other} = start + tl.arange(0, {head[-2:]})", *self._loads("column" if side == "row" else "row")]
        inside.append("real = in_row & in_column")
        if self.read:
            inside.append("place = matrix + i[:, None, None].to(tl.int64) * columns + j[None, :, None]")
            inside.append("weight = tl.load(place, (i[:, None, None] < rows) & (j[None, :, None] < columns) | EVEN, 0.0)")
        if "apart" in self.kinds:
            before.append("scale = scale_apart * tl.load(up).to(tl.float32)")
            tops = [
                "top = tl.load(lse + i[:, None, None] * width + l[None, None, :], in_row, 0.0)",
                'top = tl.where(top == float("-inf"), float("inf"), top)  # no density, no share',
            ]
            if side == "row":
                before += tops
            else:
                inside += tops
            inside += [*entry, "share = scale * tl.exp(a - top)"]
            inside.append("weight += share" if self.read else "weight = share")
        inside += [
            *steps,
            *(
                line
                for n, e in zip(targets, results, strict=True)
                for line in (f"slope = {e}", f"sum_{n} += slope if EVEN else tl.where(real, slope, 0.0)")
            ),
        ]
        after = [
            f"place = {own}[:, None] * width + l[None, :]",
            f"keep = ({own}[:, None] < {SIDES[side][1]}) & (l[None, :] < width)",
        ]
        for n in targets:
            line = f"written(d_{n} + place, tl.sum(sum_{n}, {axis}), keep, ADDS{f'_{n}' * number})"
            after += [f"if WANTS_{n}:", f"    {line}"] if number else [line]
        flags = ["ADDS"] if side == "row" else [f"{flag}_{n}" for n in targets for flag in ("WANTS", "ADDS")]
        parameters = [
            *places,
            *["matrix"] * bool(self.read),
            *(["lse", "scale_apart", *self.mask] if "apart" in self.kinds else []),
        ]
        parameters += [
            "up",
            *(f"d_{n}" for n in targets),
            "rows",
            "columns",
            "width",
            *(f"{f}: tl.constexpr" for f in flags),
            *TILE,
        ]
        says = f"The gradient by each {side}, over blocks of the others."
        return signature(f"by_{side}_{self.k}", parameters), says, head, tuple(before), tuple(inside), tuple(after)

    def _rows(self) -> tuple[list[str], list[str]]:
        """The statements of a row, and the numbers that they use."""
        lines: list[str] = []
        numbers: list[str] = []
        if "own" in self.kinds:
            lines.append("tl.store(sums_own + i, tl.sum(tl.where(own_column, a, 0.0), 0))")
        if "off" in self.kinds:  # an infinite entry makes NaN
            lines.append("tl.store(sums_off + i, tl.sum(tl.where(own_column, 0 * a, a), 0))")
        if "together" in self.kinds:
            weight = " + log_weight(i, j, columns, own, following, others)" if self.mask else ""
            weight = " + tl.load(log_weights + j, real, 0.0)" if self.weighted else weight
            lines += [
                f'b = tl.where(real, a{weight}, float("-inf"))',
                "top = tl.max(b, 0)",
                'top = tl.where(top == float("-inf"), 0.0, top)',
                "e = tl.exp(b - top)",
                "norm = tl.sum(e, 0)",
                "tl.store(sums_together + i, top + tl.log(norm))",
                "d += e * tl.where((norm > 0) | (norm != norm), scale_together / norm, 0.0)",
            ]
        if "mapped" in self.kinds:
            outer = self.kinds["mapped"].outer
            assert outer is not None
            numbers = sorted(s.name for s in outer.free_symbols - {ENTRY})
            steps, (value, slope) = shared([outer, derivative(outer, ENTRY)])
            value, slope = (
                f"tl.where(own_column, 0 * a, {text})" if self.excluded else text
                for text in (value, f"scale_mapped * ({slope})")
            )
            lines += [
                "entry = a",
                *steps,
                f"tl.store(sums_mapped + i, tl.sum(tl.where(real, {value}, 0.0), 0))",
                f"d += {slope}",
            ]
        if "off" in self.kinds:
            lines.append("d += tl.where(own_column, 0.0, scale_off)")
        if "own" in self.kinds:
            lines.append("d += tl.where(own_column, scale_own, 0.0)")
        return lines, numbers
