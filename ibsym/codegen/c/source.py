"""loss = sum_t w_t term_t and its gradients as one C function: which sums, in which loops, over which arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy

from ibsym.codegen.c import class_sums, elements, pairs
from ibsym.codegen.c.text import braced, comment, laid_out, string
from ibsym.codegen.c.writing import Writing
from ibsym.codegen.runtime import VERSION
from ibsym.codegen.runtime import text as header
from ibsym.codegen.templating import Text, render
from ibsym.lowering.fusion.calculus import Unfused
from ibsym.lowering.fusion.pairing import ENTRY, SIZE, size_of
from ibsym.lowering.fusion.plan import Kernel, Loop, event_axes, fused, name
from ibsym.lowering.fusion.regions import Quantity
from ibsym.lowering.fusion.sums import Affine, Bessel, Elements, Relaxed, Sum
from ibsym.lowering.program import Input, LossProgram

HEAD = (
    "Loss and gradients of {} in one pass, written by ibsym {} from the formulas in {}.py. C11; REAL is float or double. "
    "Inputs are contiguous; where a gradient is NULL, it is not wanted. The last axes are aligned: an operand without a leading "
    "one repeats. Sums are kept in strips of fixed sizes: the number of threads changes no digit."
)


@dataclass(frozen=True)
class OnePass:
    """The C text of a program, and the places of the terms that it leaves to the tensor expression."""

    source: str
    rest: tuple[int, ...]


def one_pass(program: LossProgram) -> OnePass | None:
    """The one-pass form of a program, or None where no term fuses."""
    if not all(part.isascii() for i in program.inputs for part in (i.name, *i.shape)):
        return None
    found = fused(program)
    if not found:
        return None
    writer = _Writer(program, found)
    if all(i.integer for i in writer.inputs()):
        return None  # constants need no pass
    try:
        return writer.written()
    except Unfused:
        return None


HEADERS = {
    "unit.h": frozenset({"unit_cumulant", "unit_mean"}),
    "gamma.h": frozenset({"log_gamma", "digamma"}),
    "domains.h": frozenset({"defined", "barrier", "opened", "is_zero"}),
    "cells.h": frozenset({"log_normal_cell", "log_laplace_cell"}),
}
"""The headers beyond the prelude, by the functions of formulas that need them."""


class _Writer(Writing):
    """The plan as C."""

    def __init__(self, program: LossProgram, found: Sequence[Quantity | None]):
        super().__init__(program, found)
        self.place = self._places()
        self.tables = class_sums.Tables([item for item, _ in self.mixed], lambda load: self.names[load.key])

    def _places(self) -> dict[Sum, str]:
        """Where each sum's mean is found in C."""
        place: dict[Sum, str] = {}
        for k, loop in enumerate(self.loops):
            place |= {item: f"loop_{k}[{n}]" for n, item in enumerate(loop.sums)}
        for k, kernel in enumerate(self.kernels):
            place |= {item: f"pairs_{k}[{item.kind.upper()}]" for item in kernel.sums}
        place |= {item: f"draws_{k}" for k, (item, _) in enumerate(self.draws)}
        place |= {item: f"by_class[{k}]" for k, (item, _) in enumerate(self.mixed)}
        for k, pair in enumerate(self.codebooks):
            place |= dict.fromkeys(self.quantised(*pair), f"codebook_{k}")
        for k, pair in enumerate(self.bessel):
            place |= {Bessel(*pair, moment): f"bessel_{k}[{int(moment)}]" for moment in (False, True)}
        for k, group in enumerate(self.shares):
            place |= {item: f"shares_{k}[{n}]" for n, item in enumerate(group)}
        return place | {item: f"classes_{k}" for k, item in enumerate(self.classes)}

    def written(self) -> OnePass:
        """The whole text."""
        parts = [self._elements(k, loop) for k, loop in enumerate(self.loops)]
        parts += self._draws()
        parts += self._mixed()
        parts += [self.class_mean(k, item) for k, item in enumerate(self.classes)]
        parts += [self.codebook_mean(k, code, codebook) for k, (code, codebook) in enumerate(self.codebooks)]
        parts += [self.share_means(k, group) for k, group in enumerate(self.shares)]
        parts += [self.bessel_means(k, load, dimensions) for k, (load, dimensions) in enumerate(self.bessel)]
        parts += [self._pairs(k, kernel) for k, kernel in enumerate(self.kernels)]
        body = self._body()
        scale = self._scale()
        inputs = self.inputs()
        fields = self._fields(inputs)
        named = [name for _, names in fields for name in names]
        functions = [header("prelude.h"), *(header(name) for name, heads in HEADERS.items() if self._has(heads))]
        source = render(
            "c/source.c.j2",
            {
                "head": comment(HEAD.format(self.program.name, VERSION, self.program.module_name)),
                "functions": "\n".join(functions),
                "fields": tuple(f"{kind}{', '.join(star + n for n in names)}" for (kind, star), names in fields),
                "named": string(named, " "),
                "terms": string([t.text for t in self.program.terms], "\n"),
                "number": str(len(self.program.terms)),
                "sizes": tuple(self._limits()),
                "engines": tuple(self._engines()),
                "parts": tuple(p for p in (scale, *parts) if p),
                "body": tuple(body),
            },
        )
        return OnePass(laid_out(source).strip() + "\n", self.rest)

    def _has(self, heads: frozenset[str]) -> bool:
        """Whether any formula has one of the functions."""
        formulas = [i.formula for loop in self.every_loop for i in loop.sums] + [k.table.formula for k in self.kernels]
        return any(type(e).__name__ in heads for f in formulas for e in sympy.preorder_traversal(f))

    def _limits(self) -> list[str]:
        """The largest numbers of operands and the like: sizes of arrays in the code that all loops share."""
        found: dict[str, int] = {}
        if self.every_loop:
            bodies = [elements.body(loop) for loop in self.every_loop]
            found["OPERANDS"] = max(len(loop.operands) for loop in self.every_loop)
            found["ROWS"] = max(len(b.sums) + len(b.products) for b in bodies)
            found["SUMS"] = max(len(loop.sums) for loop in self.every_loop)
        elif self.mixed:
            found |= dict.fromkeys(("OPERANDS", "ROWS", "SUMS"), 1)
        if self.mixed:
            found |= class_sums.limits([item for item, _ in self.mixed])
        if self.kernels:
            found["COLUMNS"] = max(len(k.table.columns) for k in self.kernels)
            found["HOISTED"] = max(len(pairs.inner(k.table).hoisted) for k in self.kernels)
            if parts := [len(k.beside) for k in self.kernels if k.beside]:
                found["PARTS"] = max(parts)
        return (
            ["", f"enum {{ {', '.join(f'{n} = {v}' for n, v in found.items())} }};", *self.tables.enumerated()] if found else []
        )

    def _engines(self) -> list[str]:
        observed = [o for item, _ in self.mixed for o in item.observed]
        kinds = (
            ("elements", self.every_loop or self.mixed),
            ("element_means", self.loops),
            ("draws", self.draws),
            ("mixed", self.mixed),
            ("classes", self.classes or observed or self.shares),
            ("class_means", self.classes),
            ("relaxed", any(isinstance(item, Relaxed) for item in self.classes)),
            ("observed", observed),
            ("shares", self.shares),
            ("bessel", self.bessel),
            ("codebook", self.codebooks),
            ("pairs", self.kernels),
        )
        beside = ["points.h"] if any(k.beside for k in self.kernels) else []
        beside += ["mixture.h"] if any(k.logits is not None for k in self.kernels) else []
        return [header(name) for name in (*(f"{n}.h" for n, used in kinds if used), *beside)]

    def _scale(self) -> str:
        """What every weight is multiplied by."""
        batch = self.program.batch
        if batch is None:
            factor = "1"
        else:
            (place,) = batch.dims
            factor = f"g->sum ? {self.inside(size_of((batch.operand.axes[place],)))} : 1"
        return (
            "/* the size of the first batch, where the loss is a sum over it */\n"
            f"static double rows(const Arguments *g)\n{{\n    return {factor};\n}}\n"
            if "g->" in factor
            else ""
        )

    def _body(self) -> list[str]:
        gradients = [n for n, _ in self._shared() if self.gradients[n] > 1]
        lines = [f"if (g->d_{n}) memset(g->d_{n}, 0, sizeof(REAL) * (size_t)g->n_{n});" for n in gradients]
        lines += [f"double loop_{k}[{len(loop.sums)}];" for k, loop in enumerate(self.loops)]
        lines += [f"double draws_{k};" for k in range(len(self.draws))]
        lines += [f"double by_class[{len(self.mixed)}] = {{0}};"] if self.mixed else []
        lines += [f"double classes_{k};" for k in range(len(self.classes))]
        lines += [f"double codebook_{k};" for k in range(len(self.codebooks))]
        lines += [f"double shares_{k}[{len(group)}];" for k, group in enumerate(self.shares)]
        lines += [f"double bessel_{k}[2];" for k in range(len(self.bessel))]
        lines += [f"double pairs_{k}[KINDS];" for k in range(len(self.kernels))]
        # Tables first: those of a joint and of its marginals have large slopes that cancel, before anything small is added to them.
        calls = [f"pairs{k}(g, pairs_{k})" for k in range(len(self.kernels))]
        calls += [f"loop{k}(g, loop_{k})" for k in range(len(self.loops))]
        calls += [f"draws{k}(g, &draws_{k})" for k in range(len(self.draws))]
        calls += ["mixed(g, by_class)"] if self.mixed else []
        calls += [f"classes{k}(g, &classes_{k})" for k in range(len(self.classes))]
        calls += [f"codebook{k}(g, &codebook_{k})" for k in range(len(self.codebooks))]
        calls += [f"shares{k}(g, shares_{k})" for k in range(len(self.shares))]
        calls += [f"bessel{k}(g, bessel_{k})" for k in range(len(self.bessel))]
        if calls:
            lines.append("int status = 0;")
        lines += [f"if ((status = {call})) return status;" for call in calls]
        values = dict(self.terms)
        for k in range(len(self.program.terms)):
            text = self.value(values[k].value) if k in values else "0"
            lines.append(
                f"*g->terms[{k}] = (REAL)({text});" if k in values else f"*g->terms[{k}] = 0; /* computed elsewhere */"
            )
        loss: list[str] = []
        for k, affine in self.minimised.items():
            loss.append(self._product(self.coefficient(k), self.value(affine), len(affine.parts)))
        if self.program.rows is not None:
            size = self.inside(size_of((self.program.rows,)))
            constant = [
                f"{self.inside(self.coefficient(k) * a.constant)}" for k, a in self.minimised.items() if a.constant != 0
            ]
            if constant:
                same = " + ".join(constant).replace("+ -", "- ")
                lines.append(
                    f"for (int64_t r = 0; g->each_{self.program.rows} && r < {size}; r++) g->each_{self.program.rows}[r] += {same};"
                )
        lines.append(f"const double loss = {' + '.join(loss).replace('+ -', '- ')};")
        lines.append(f"*g->loss = (REAL)({'loss' if self.program.batch is None else 'rows(g) * loss'});")
        return lines

    def _product(self, coefficient: sympy.Expr, value: str, parts: int) -> str:
        if coefficient == 1:
            return value
        factor = self.inside(coefficient)
        factor = f"({factor})" if coefficient.is_Add else factor
        grouped = f"({value})" if parts > 1 or " + " in value or " - " in value or value.startswith("-") else value
        return f"-{grouped}" if coefficient == -1 else f"{factor} * {grouped}"

    def _shared(self) -> list[tuple[str, int]]:
        return [(i.name, self.gradients[i.name]) for i in self.program.inputs if i.name in self.gradients]

    def value(self, affine: Affine) -> str:
        """constant + sum of factors times means, in C."""
        parts = [f"{self.inside(f)} * {self.place[s]}" if f != 1 else self.place[s] for f, s in affine.parts]
        if affine.constant != 0 or not parts:
            parts.append(self.inside(affine.constant))
        return " + ".join(parts).replace("+ -", "- ")

    def _fields(self, inputs: Sequence[Input]) -> list[tuple[tuple[str, str], list[str]]]:
        """Their declarations, in groups: type, star, names."""
        used = {s.name for k, _ in self.terms for s in self.program.terms[k].coefficient.free_symbols}
        for axis in self.sizes:
            if not any(axis in i.shape for i in self.program.inputs):
                raise Unfused(f"no input has the axis {axis}")
        fields = [
            (("const REAL ", "*"), [f"in_{i.name}" for i in inputs if not i.integer]),
            (("const int64_t ", "*"), [f"in_{i.name}" for i in inputs if i.integer]),
            (("REAL ", "*"), [f"d_{i.name}" for i in inputs if i.name in self.gradients]),
            (("int64_t ", ""), [f"n_{i.name}" for i in inputs]),
            (("int64_t ", ""), [SIZE + axis for axis in self.sizes]),
            (("double ", ""), [f"parameter_{p}" for p in self.parameters if p in used]),
            (("double ", "*"), [f"each_{self.program.rows}"] if self.program.rows is not None else []),
        ]
        return [(kind, names) for kind, names in fields if names]

    def _levels(self, loop: Loop) -> dict[str, int]:
        """1 for operands that usually learn, 2 for values, which seldom do."""
        roles = {name(s): load.key.role for s, load in loop.operands.items()}
        return {n: 2 if role in ("value", "sample_reference") else 1 for n, role in roles.items()}

    def _draws(self) -> list[str]:
        """Logarithms over draws: the loops inside, and how they are put together."""
        parts, k = [], len(self.loops)
        for number, (item, inner) in enumerate(self.draws):
            factors = {s: f for f, s in item.weights.parts if isinstance(s, Elements)}
            parts += [self._elements(k + n, loop, factors) for n, loop in enumerate(inner)]
            names = {
                "k": str(number),
                "comment": comment(f"{self.texts([item])}: the logarithm over draws"),
                "loops": braced([f"inner{k + n}(g)" for n in range(len(inner))]),
                "events": braced([self.whole(size_of(event_axes(loop))) for loop in inner]),
                "count": str(len(inner)),
                "constant": self.inside(item.weights.constant),
                "rows": self.whole(size_of((item.rows,))),
                "weight": self.times(self.inside(self.weight(item))) if item in self.weighted else "0",
                "each": self.each,
            }
            parts.append(render("c/draws.c.j2", names))
            k += len(inner)
        return parts

    def _mixed(self) -> list[str]:
        """Exact sums over classes: the loops inside, how they are put together, and the tables of all."""
        parts, k = [], len(self.loops) + sum(len(inner) for _, inner in self.draws)
        most = max((len(loop.operands) for loop in self.every_loop), default=0)
        for number, (item, inner) in enumerate(self.mixed):
            factors = {s: f for f, s in item.elements}
            parts += [self._elements(k + n, loop, factors) for n, loop in enumerate(inner)]
            weight = self.times(self.inside(self.weight(item))) if item in self.weighted else "0"
            settings = self.tables.settings(item, inner, self.inside, lambda axes: self.whole(size_of(axes)))
            by = ", ".join(f"softmax({self.names[w.logits.key]})" for w in item.weights)
            places = [[class_sums.of_operand(load, loop.event) for load in loop.operands.values()] for loop in inner]
            names: dict[str, Text] = {
                "k": str(number),
                "comment": comment(f"{self.texts([item])}: the sum over classes by {by}"),
                "loops": braced([f"inner{k + n}(g)" for n in range(len(inner))]) if inner else "",
                "axes": braced([p for found in places for p in (*found, *["0"] * (most - len(found)))]),
                "events": braced([self.whole(size_of(event_axes(loop))) for loop in inner]),
                "observed": tuple(tuple(self.observation(f, o, item in self.weighted).items()) for f, o in item.observed),
                "settings": (*settings.items(), ("weight", weight)),
                "each": self.each,
            }
            parts.append(render("c/mixed.c.j2", names))
            k += len(inner)
        return [*parts, self._tables()] if parts else []

    def _tables(self) -> str:
        learn = {load.key for item, _ in self.mixed if item in self.weighted for load in item.tables}
        found = []
        for load, rows in self.tables.loads.items():
            x = self.names[load.key]
            fields = {"logits": f"g->in_{x}"}
            fields |= {"d": f"g->d_{x}", "adds": str(int(self.gradients[x] > 1))} if load.key in learn else {}
            fields |= {
                "n": f"g->n_{x}",
                "classes": self.whole(size_of(load.axes[-1:])),
                "rows": self.whole(size_of((rows,))) if rows else "1",
            }
            found.append((self.tables.number(load), tuple(fields.items())))
        return render("c/tables.c.j2", {"tables": tuple(found), "numbers": tuple(map(str, range(len(self.mixed))))})

    def _elements(self, k: int, loop: Loop, factors: Mapping[Elements, sympy.Expr] | None = None) -> str:
        """A loop; inside of a logarithm or of a sum over a class, ``factors`` are those of its sums in the weights."""
        written = elements.body(loop)
        levels = self._levels(loop)
        operands = [name(s) for s in loop.operands]
        gradients = dict(written.gradients)
        rows = [(int(n), f"row{r}[j] += {value};", "0") for r, (n, value) in enumerate(written.sums)]
        rows += [
            (int(n), f"row{r}[j] += {e} + row{r}[j] * {e};", factor)
            for r, (n, factor, e) in enumerate(written.products, len(written.sums))
        ]
        heads = [f"const REAL *restrict in_{x} = in[{p}];" for p, x in enumerate(operands)]
        heads += [f"REAL *restrict d_{x} = d[{p}];" for p, x in enumerate(operands) if x in gradients]
        heads += [f"REAL *restrict row{r} = row[{r}];" for r in range(len(rows))]
        heads += [f"const REAL s{n} = scale[{n}];" for n in loop.weighted if gradients]
        heads += [] if gradients else ["(void)want, (void)d, (void)scale;"]
        statements = [f"const REAL v_{x} = in_{x}[j];" for x in operands]
        statements += [*written.statements, *(update for _, update, _ in rows)]
        statements += [f"if (want >= {levels[x]}) d_{x}[j] = {value};" for x, value in written.gradients]
        present = sorted({0, *(levels[x] for x in gradients)})
        spans = [max(p for p in present if p <= level) for level in (0, 1, 2)]
        lists = {
            "in": [f"g->in_{x}" for x in operands],
            "n": [f"g->n_{x}" for x in operands],
            "d": [f"g->d_{x}" if x in gradients else "0" for x in operands],
            "level": [str(levels[x]) if x in gradients else "0" for x in operands],
            "shared": [str(int(self.gradients.get(x, 0) > 1)) for x in operands],
            "sum": [str(n) for n, _, _ in rows],
            "factor": [factor for _, _, factor in rows],
            "weight": [self.inside(factors[i]) for i in loop.sums]
            if factors
            else [self.times(self.inside(self.weight(i))) if i in self.weighted else "0" for i in loop.sums],
        }
        numbers = {"operands": len(operands), "rows": len(rows), "sums": len(loop.sums)}
        return render(
            "c/elements.c.j2",
            {
                "k": str(k),
                "comment": comment(
                    f"{'inside' if factors else self.texts(loop.sums)}: {', '.join(str(i.formula) for i in loop.sums)}".replace(
                        "v_", ""
                    )
                ),
                "heads": tuple(heads),
                "statements": tuple(statements),
                "levels": tuple(map(str, present)),
                "settings": (
                    *((n, str(v)) for n, v in numbers.items()),
                    ("span", braced([f"span{k}_{level}" for level in spans])),
                    *((n, braced(values)) for n, values in lists.items()),
                ),
                "each": self.each,
                "event": "" if factors else self.whole(size_of(event_axes(loop))),
            },
        )

    def _pairs(self, k: int, kernel: Kernel) -> str:
        formula = str(kernel.table.formula).replace("v_", "").replace("w_", "of column ")
        about = comment(f"{self.texts(kernel.sums)}, over pairs: {formula}")
        weights = {i.kind: self.times(self.inside(self.weight(i))) if i in self.weighted else "0" for i in kernel.sums}
        learns = self.gradients if self.weighted & set(kernel.sums) else {}
        sizes = {s.name for i in kernel.sums if i.outer is not None for s in i.outer.free_symbols - {ENTRY}}
        for size in sorted(sizes):
            self.inside(sympy.Symbol(size, positive=True))
        names = pairs.Names(lambda load: self.names[load.key], learns, lambda axes: self.whole(size_of(axes)))
        return pairs.written(k, kernel, names, weights, self.whole(kernel.table.width), about, self.each)
