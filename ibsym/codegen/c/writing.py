"""How a plan's sizes, weights, and what it reads off classes and codebooks are written in C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sympy

from ibsym.codegen.c.printing import c_text, double, symbols
from ibsym.codegen.c.text import comment
from ibsym.codegen.templating import Text, render
from ibsym.lowering.fusion.pairing import SIZE, size_of
from ibsym.lowering.fusion.plan import Plan, class_formulas
from ibsym.lowering.fusion.regions import Quantity
from ibsym.lowering.fusion.sums import (
    Bessel,
    Classes,
    LogMean,
    Matched,
    MeanLog,
    Observed,
    Picked,
    Relaxed,
    Shares,
)
from ibsym.lowering.program import Load, LossProgram


class Writing(Plan):
    """A plan, and how its sizes, parameters and weights are written."""

    def __init__(self, program: LossProgram, found: Sequence[Quantity | None]):
        super().__init__(program, found)
        self.sizes: dict[str, None] = {}
        self.parameters = [p.name for p in program.parameters]
        self.each = "(Each){0}"
        if program.rows is not None:
            self.each = f"(Each){{g->each_{program.rows}, {self.inside(size_of((program.rows,)))}}}"

    def inside(self, e: sympy.Expr) -> str:
        """A formula in sizes and parameters, where both are fields of the arguments."""
        for s in sorted(e.free_symbols, key=str):
            if s.name.startswith(SIZE):
                self.sizes[s.name.removeprefix(SIZE)] = None
        return double(e.xreplace({s: sympy.Symbol(f"g->{s.name}", **s.assumptions0) for s in e.free_symbols}))

    def times(self, weight: str) -> str:
        """A weight of the loss, a sum over rows or their mean."""
        if weight == "0" or self.program.batch is None:
            return weight
        return "rows(g)" if weight in ("1", "1.0") else f"rows(g) * ({weight})"

    def whole(self, e: sympy.Expr) -> str:
        """A number of elements."""
        return f"(int64_t)({self.inside(e)})" if not (e.is_Symbol or e.is_Integer) else self.inside(e).removesuffix(".0")

    def class_mean(self, k: int, item: Picked | Classes | Relaxed | Matched | LogMean) -> str:
        """The mean of a formula in log softmax(logits), of an entry, or of all with weights; or log mean e^t of everything."""
        x = self.names[item.logits.key]
        text, row, function = "log softmax picked by the index", "picked", ""
        if isinstance(item, Matched):
            text, row = "log softmax of a row's own entry among its pairs", "matched"
        if isinstance(item, LogMean):
            text, row = "log of the mean e^t over all rows and draws", "whole"
        if isinstance(item, Relaxed):
            text, row = f"log softmax with weights {self.names[item.weights.key]}", "relaxed"
        if isinstance(item, Classes):
            text, row = str(item.formula), f"class_row{k}"
            formulas = class_formulas(item.formula)
            used = symbols(formulas)
            known = {
                "log_p": "const REAL log_p = (logit[k] - soft.top) - soft.log_norm;",
                "p": "const REAL p = e[k] * soft.r;",
            }
            function = render(
                "c/classes.c.j2",
                {
                    "k": str(k),
                    "comment": comment(f"{x}: {text}"),
                    "shared": tuple(line for symbol, line in known.items() if symbol in used),
                    "value": c_text(formulas[0]),
                    "slope": c_text(formulas[1]),
                    "gradient": c_text(formulas[2]),
                },
            )
        index = self.names[item.index.key] if isinstance(item, Picked) else ""
        learns = x in self.gradients and item in self.weighted
        settings = {
            "row": row,
            "logits": f"g->in_{x}",
            "n": f"g->n_{x}",
            "classes": f"g->n_{x}" if isinstance(item, LogMean) else self.whole(size_of(item.logits.axes[-1:])),
            **({"index": f"g->in_{index}", "indices": f"g->n_{index}"} if index else {}),
            **(
                {"event": self.whole(size_of(item.logits.axes[-1 - item.event : -1]))}
                if not isinstance(item, Matched | LogMean) and item.event
                else {}
            ),
            **({"d": f"g->d_{x}", "adds": str(int(self.gradients[x] > 1))} if learns else {}),
            "weight": self.times(self.inside(self.weight(item))) if item in self.weighted else "0",
        }
        about = comment(f"{self.texts([item])}: {x}: {text}")
        fields, kind, classes = tuple(settings.items()), "Classes", "&c"
        if isinstance(item, Relaxed):
            fields, kind, classes = (*((f"of.{n}", v) for n, v in fields), *self._shares(item)), "Relaxed", "&c.of"
        parts: dict[str, Text] = {
            "k": str(k),
            "comment": about,
            "settings": fields,
            "each": self.each,
            "kind": kind,
            "classes": classes,
        }
        return function + render("c/softmax.c.j2", parts)

    def _shares(self, item: Relaxed) -> Iterator[tuple[str, str]]:
        """The fields of weights that learn."""
        a = self.names[item.weights.key]
        yield from (("share", f"g->in_{a}"), ("shares", f"g->n_{a}"))
        if a in self.gradients and item in self.weighted:
            yield from (("d_share", f"g->d_{a}"), ("adds", str(int(self.gradients[a] > 1))))

    def share_means(self, k: int, group: Sequence[MeanLog]) -> str:
        """The means of some logarithms under the same shares."""
        own = group[0].own
        about = comment(f"{self.texts(group)}: sum of r log m over classes, r the shares of {self._of(own)}")
        weights = [self.times(self.inside(self.weight(s))) if s in self.weighted else "0" for s in group]
        return render(
            "c/shares.c.j2",
            {
                "k": str(k),
                "comment": about,
                "own": self._law(own),
                "others": tuple(self._law(item.others) for item in group),
                "same": ", ".join(str(int(item.others == own)) for item in group),
                "weights": ", ".join(weights),
                "count": str(len(group)),
                "classes": self.whole(self.counted_classes(group)),
                "each": self.each,
            },
        )

    def _of(self, shares: Shares | None) -> str:
        return "no law, equal ones" if shares is None else self.names[shares.load.key]

    def _law(self, shares: Shares | None) -> str:
        """The fields of the shares of classes."""
        if shares is None:
            return "{0}"
        x = self.names[shares.load.key]
        if shares.counted:
            return f"{{.index = g->in_{x}, .n = g->n_{x}}}"
        d = f", .d = g->d_{x}" if x in self.gradients else ""
        return f"{{.logits = g->in_{x}, .n = g->n_{x}{d}}}"

    def bessel_means(self, k: int, load: Load, dimensions: sympy.Expr) -> str:
        """The means of the logarithm of a Bessel function and of its moment."""
        x = self.names[load.key]
        items = [Bessel(load, dimensions, moment) for moment in (False, True)]
        weights = [self.times(self.inside(self.weight(s))) if s in self.weighted else "0" for s in items]
        learns = x in self.gradients and self.weighted & set(items)
        settings = {
            "t": f"g->in_{x}",
            "n": f"g->n_{x}",
            "dimensions": self.inside(dimensions),
            **({"d": f"g->d_{x}", "adds": str(int(self.gradients[x] > 1))} if learns else {}),
            "log_weight": weights[0],
            "moment_weight": weights[1],
        }
        about = comment(f"{self.texts(items)}: Bessel functions of {x}")
        return render("c/bessel.c.j2", {"k": str(k), "comment": about, "settings": tuple(settings.items()), "each": self.each})

    def codebook_mean(self, k: int, code: Load, codebook: Load) -> str:
        """Codes and a codebook, whichever of the two is moved."""
        x, y = self.names[code.key], self.names[codebook.key]
        terms = self.quantised(code, codebook)
        moved = {s.moves_code: s for s in terms if s in self.weighted}
        weights = {side: self.times(self.inside(self.weight(s))) for side, s in moved.items()}
        settings = {
            "code": f"g->in_{x}",
            "codebook": f"g->in_{y}",
            **(
                {"d_code": f"g->d_{x}", "adds": str(int(self.gradients[x] > 1)), "code_weight": weights[True]}
                if True in moved
                else {}
            ),
            **({"d_codebook": f"g->d_{y}", "codebook_weight": weights[False]} if False in moved else {}),
            "n": f"g->n_{x}",
            "classes": self.whole(size_of(codebook.axes[:1])),
            "width": self.whole(size_of(codebook.axes[1:])),
            "event": self.whole(size_of(code.axes[1:])),
        }
        about = comment(f"{self.texts(terms)}: {x} and its nearest vectors of {y}")
        return render(
            "c/codebook.c.j2", {"k": str(k), "comment": about, "settings": tuple(settings.items()), "each": self.each}
        )

    def observation(self, factor: sympy.Expr, item: Observed, weighs: bool) -> dict[str, str]:
        """The fields of an observed class."""
        x, index = self.names[item.logits.key], self.names[item.index.key]
        return {
            "of.row": "at_observed",
            "of.logits": f"g->in_{x}",
            "of.n": f"g->n_{x}",
            "of.classes": self.whole(size_of(item.logits.axes[-1:])),
            "of.index": f"g->in_{index}",
            "of.indices": f"g->n_{index}",
            **({"of.d": f"g->d_{x}", "of.adds": str(int(self.gradients[x] > 1))} if weighs else {}),
            "event": self.whole(size_of(item.logits.axes[-1 - item.event : -1])),
            "factor": self.inside(factor),
        }
