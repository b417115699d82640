"""loss = sum_t w_t term_t and its gradients as one C function: which sums, in which loops, over which arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy

from ibsym.codegen.c.elements import Loop, body, event_axes, loops, name
from ibsym.codegen.c.pairs import Kernel, Names, context, kernels
from ibsym.codegen.c.printing import c_text, double
from ibsym.codegen.templating import render
from ibsym.codegen.torch.copying import header
from ibsym.lowering.fusion.calculus import Unfused, derivative, expected, weighted
from ibsym.lowering.fusion.pairing import ENTRY, Pairs, size_of
from ibsym.lowering.fusion.regions import LOG_P, Affine, Classes, Elements, Picked, Quantity, Reader, Sum, quantities
from ibsym.lowering.program import Input, LossProgram

WORTHWHILE = "262144"
"""Elements from which a second thread pays for its start."""


@dataclass(frozen=True)
class Native:
    """The C text of a program and what its caller must know.

    ``inputs`` and ``gradients`` are names of arguments of ``forward``, in the order of the C function's pointers; ``sizes``
    are axes, each with an input and the place, from the right, where it is read off; ``terms`` are the places of the terms
    that it computes.
    """

    source: str
    inputs: tuple[str, ...]
    gradients: tuple[str, ...]
    sizes: tuple[tuple[str, str, int], ...]
    terms: tuple[int, ...]
    rest: tuple[int, ...]


def native(program: LossProgram) -> Native | None:
    """The one-pass form of a program, or None where no term fuses."""
    if not all(part.isascii() for i in program.inputs for part in (i.name, *i.shape)):
        return None
    names = {i.key: i.name for i in program.inputs}
    reader = Reader(program.steps, lambda load: f"v_{names[load.key]}")
    found = quantities(program, reader)
    if not any(found):
        return None
    try:
        written = _Writer(program, found).native()
    except Unfused:
        return None
    floats = {i.name for i in program.inputs if not i.integer}
    return written if floats & set(written.inputs) else None  # constants need no pass


class _Writer:
    def __init__(self, program: LossProgram, found: Sequence[Quantity | None]):
        self.program = program
        self.terms = [(k, q) for k, q in enumerate(found) if q is not None]
        self.rest = tuple(k for k, q in enumerate(found) if q is None)
        self.minimised = {k: q.minimised for k, q in self.terms}
        self.names = {i.key: i.name for i in program.inputs}
        self.sums = list(dict.fromkeys(s for _, q in self.terms for a in (q.value, q.minimised) for _, s in a.parts))
        self.weighted = {s for a in self.minimised.values() for _, s in a.parts}
        elements = [s for s in self.sums if isinstance(s, Elements)]
        self.loops = loops(elements, [s for s in elements if s in self.weighted])
        self.classes = [s for s in self.sums if isinstance(s, Picked | Classes)]
        self.kernels = kernels([s for s in self.sums if isinstance(s, Pairs)])
        self.place = self._places()
        self.gradients = self._gradients()
        self.axes: dict[str, None] = {}

    def _places(self) -> dict[Sum, str]:
        """Where each sum's mean is found in C."""
        place: dict[Sum, str] = {}
        for k, loop in enumerate(self.loops):
            place |= {item: f"m{k}[{n}]" for n, item in enumerate(loop.sums)}
        for k, kernel in enumerate(self.kernels):
            place |= {item: f"p{k}[{n}]" for n, item in enumerate(kernel.sums)}
        return place | {item: f"c{k}" for k, item in enumerate(self.classes)}

    def _gradients(self) -> dict[str, int]:
        """Inputs with a gradient, and how many loops write it; tables of pairs always add."""
        found: dict[str, int] = {}
        for loop in self.loops:
            for symbol in loop.differentiated():
                found[name(symbol)] = found.get(name(symbol), 0) + 1
        for item in self.classes:
            if item in self.weighted:
                logits = self.names[item.logits.key]
                found[logits] = found.get(logits, 0) + 1
        for kernel in self.kernels:
            for _, load in (kernel.table.row, *kernel.table.columns) if self.weighted & set(kernel.sums) else ():
                found[self.names[load.key]] = found.get(self.names[load.key], 0) + 2
        return found

    def texts(self, sums: Sequence[Sum]) -> str:
        """The terms that some sums are for."""
        mine = set(sums)
        return ", ".join(
            self.program.terms[t].text for t, q in self.terms if mine & {s for a in (q.value, q.minimised) for _, s in a.parts}
        )

    def weight(self, item: Sum) -> str:
        """d loss / d mean of a sum."""
        total: sympy.Expr = sympy.Integer(0)
        for k, affine in self.minimised.items():
            total += sum((f for f, s in affine.parts if s == item), sympy.Integer(0)) * sympy.Symbol(f"weight{k}")
        return self.inside(total)

    def inside(self, e: sympy.Expr) -> str:
        """A formula in sizes and weights, where both are fields of the arguments."""
        for s in e.free_symbols:
            if s.name.startswith("size_"):
                self.axes[s.name.removeprefix("size_")] = None
        return double(e.xreplace({s: sympy.Symbol(f"g->{s.name}", positive=True) for s in e.free_symbols}))

    def native(self) -> Native:
        parts = [self._elements(k, loop) for k, loop in enumerate(self.loops)]
        parts += [self._classes(k, item) for k, item in enumerate(self.classes)]
        parts += [self._pairs(k, kernel) for k, kernel in enumerate(self.kernels)]
        calls = [f"double m{k}[{len(loop.sums)}];\n    {_status(f'loop{k}(g, m{k})')}" for k, loop in enumerate(self.loops)]
        calls += [f"double c{k};\n    {_status(f'classes{k}(g, &c{k})')}" for k in range(len(self.classes))]
        calls += [
            f"double p{k}[{len(kernel.sums)}];\n    {_status(f'pairs{k}(g, p{k})')}" for k, kernel in enumerate(self.kernels)
        ]
        results = []
        for place, (_, quantity) in enumerate(self.terms):
            results.append(f"terms[{place}] = (REAL)({self.value(quantity.value)});")
        loss = " + ".join(f"g->weight{k} * ({self.value(a)})" for k, a in self.minimised.items())
        inputs = self._inputs()
        fields = self._fields(inputs)
        gradients = tuple(n for n in (i.name for i in inputs) if n in self.gradients)
        clear = tuple(f"if (d_{n}) memset(d_{n}, 0, sizeof(REAL) * (size_t)n_{n});" for n in gradients if self.gradients[n] > 1)
        source = render(
            "c/source.c.j2",
            {
                "name": self.program.name,
                "prelude": "\n".join(header(f"{n}.h") for n in ("prelude", *(["unit"] if "unit_" in "".join(parts) else []))),
                "worthwhile": WORTHWHILE,
                "fields": tuple(fields),
                "parts": tuple(parts),
                "terms": comment(", ".join(self.program.terms[k].text for k, _ in self.terms)),
                "parameters": tuple(fields),
                "initial": ", ".join(f.split()[-1].lstrip("*") for f in fields),
                "clear": clear,
                "calls": tuple(calls),
                "results": tuple(results),
                "loss": loss,
            },
        )
        sizes = tuple(self._size(axis) for axis in self.axes)
        return Native(source, tuple(i.name for i in inputs), gradients, sizes, tuple(k for k, _ in self.terms), self.rest)

    def value(self, affine: Affine) -> str:
        """constant + sum of factors times means, in C."""
        parts = [f"{self.inside(f)} * {self.place[s]}" if f != 1 else self.place[s] for f, s in affine.parts]
        if affine.constant != 0 or not parts:
            parts.append(self.inside(affine.constant))
        return " + ".join(parts)

    def _inputs(self) -> list[Input]:
        loads = {load for loop in self.loops for load in loop.operands.values()}
        for item in self.classes:
            loads |= {item.logits, item.index} if isinstance(item, Picked) else {item.logits}
        for kernel in self.kernels:
            loads |= {load for _, load in (kernel.table.row, *kernel.table.columns)}
        keys = {load.key for load in loads}
        return [i for i in self.program.inputs if i.key in keys]

    def _fields(self, inputs: Sequence[Input]) -> list[str]:
        fields = [f"const {'int64_t' if i.integer else 'REAL'} *in_{i.name}" for i in inputs]
        fields += [f"REAL *d_{i.name}" for i in inputs if i.name in self.gradients]
        fields += [f"int64_t n_{i.name}" for i in inputs]
        fields += [f"int64_t size_{axis}" for axis in self.axes]
        fields += [f"double weight{k}" for k, _ in self.terms]
        fields += ["int threads"]
        return fields

    def _size(self, axis: str) -> tuple[str, str, int]:
        for i in self.program.inputs:
            if axis in i.shape:
                return axis, i.name, i.shape.index(axis) - len(i.shape)
        raise Unfused(f"no input has the axis {axis}")

    def _levels(self, loop: Loop) -> dict[str, str]:
        """1 for operands that usually learn, 2 for values, which seldom do."""
        roles = {name(s): load.key.role for s, load in loop.operands.items()}
        return {n: "2" if role in ("value", "sample_reference") else "1" for n, role in roles.items()}

    def _elements(self, k: int, loop: Loop) -> str:
        written = body(loop)
        levels = self._levels(loop)
        differentiated = [name(s) for s in loop.differentiated()]
        scales = tuple(f"s{n}" for n in loop.weighted if differentiated)
        lanes = [(f"sum{n}", "0") for n, _ in written.sums] + [
            (f"product{n}_{j}", "0") for j, (n, _, _) in enumerate(written.products)
        ]
        updates = [f"sum{n}[j] += {value};" for n, value in written.sums]
        updates += [f"product{n}_{j}[j] += {e} + product{n}_{j}[j] * {e};" for j, (n, _, e) in enumerate(written.products)]
        merged = [f"{a}[j] += last_{a}[j]{f' + {a}[j] * last_{a}[j]' if a.startswith('product') else ''};" for a, _ in lanes]
        totals = [f"sums[{n}] += total(sum{n});" for n, _ in written.sums]
        totals += [f"sums[{n}] += {factor} * log_total(product{n}_{j});" for j, (n, factor, _) in enumerate(written.products)]
        text = self.texts(loop.sums)
        present = [x for x in ("1", "2") if x in {levels[d] for d in differentiated}]
        choices = [(f"{'else ' if place else ''}if (want == {x}) ", x) for place, x in enumerate(("0", *present))]
        return render(
            "c/elements.c.j2",
            {
                "k": str(k),
                "comment": comment(f"{text}: {', '.join(str(i.formula) for i in loop.sums)}".replace("v_", "")),
                "operands": tuple(name(s) for s in loop.operands),
                "differentiated": tuple(differentiated),
                "scales": scales,
                "lanes": tuple(lanes),
                "merged": tuple(merged),
                "statements": written.statements,
                "updates": tuple(updates),
                "gradients": tuple((x, levels[x], value) for x, value in written.gradients),
                "adding": tuple((x, "1 || " if self.gradients[x] > 1 else "") for x in differentiated),
                "totals": tuple(totals),
                "event": self.inside(size_of(event_axes(loop))),
                "wanted": tuple((x, levels[x], "shared" if self.gradients[x] > 1 else "") for x in differentiated),
                "weights": tuple((s, self.weight(loop.sums[int(s[1:])])) for s in scales),
                "count": str(len(loop.sums)),
                "levels": tuple(choices),
            },
        )

    def _classes(self, k: int, item: Picked | Classes) -> str:
        x = self.names[item.logits.key]
        shared = self.gradients.get(x, 0) > 1
        value, slope, gradient = "", "", ""
        if isinstance(item, Classes):
            value, slope, gradient = (c_text(e) for e in class_formulas(item.formula))
        text = "log softmax picked by the index" if isinstance(item, Picked) else str(item.formula)
        return render(
            "c/classes.c.j2",
            {
                "k": str(k),
                "comment": comment(f"{x}: {text}"),
                "x": x,
                "index": self.names[item.index.key] if isinstance(item, Picked) else "",
                "value": value,
                "slope": slope,
                "gradient": gradient,
                "assign": "+=" if shared else "=",
                "assign_picked": "+=" if shared else "=",
                "size": self.inside(size_of(item.logits.axes[-1:])),
                "weight": self.weight(item) if item in self.weighted else "0",
                "want": f"g->d_{x} != 0" if x in self.gradients and item in self.weighted else "0",
            },
        )

    def _pairs(self, k: int, kernel: Kernel) -> str:
        names = Names(lambda load: self.names[load.key], self.gradients if self.weighted & set(kernel.sums) else ())
        for item in kernel.sums:
            if item.outer is not None:
                self.inside(item.outer.subs(ENTRY, 1))
        parts = context(k, kernel, names, lambda item: self.weight(item) if item in self.weighted else "", self.inside)
        formula = str(kernel.table.formula).replace("v_", "").replace("w_", "of column ")
        return render("c/pairs.c.j2", {**parts, "comment": comment(f"{self.texts(kernel.sums)}, over pairs: {formula}")})


def class_formulas(formula: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr, sympy.Expr]:
    """f, s = df/dlog p up to a multiple of p, and the gradient by a logit, s - p sum s, where probabilities add up to 1.

    >>> class_formulas(expected(LOG_P, LOG_P))
    (weighted(p, log_p), weighted(p, log_p), weighted(p, log_p - slopes))
    """
    p, slopes = sympy.Symbol("p", positive=True), sympy.Symbol("slopes", real=True)
    slope = derivative(formula, LOG_P)
    slope -= sum((t for t in sympy.Add.make_args(slope) if t.as_coeff_Mul()[1] == sympy.exp(LOG_P)), sympy.Integer(0))
    number, rest = slope.as_coeff_Mul()
    gradient = slope - sympy.exp(LOG_P) * slopes
    if isinstance(rest, expected) and rest.args[0] == LOG_P:
        gradient = number * expected(LOG_P, rest.args[1] - slopes / number)  # one difference, of numbers that are alike
    found = (formula, slope, gradient)
    value, slope, gradient = (
        e.replace(expected, lambda a, t: weighted(sympy.exp(a), t)).subs(sympy.exp(LOG_P), p) for e in found
    )
    return value, slope, gradient


def _status(call: str) -> str:
    return f"{{\n        const int status = {call};\n        if (status) return status;\n    }}"


def comment(text: str) -> str:
    """Text that a C comment may hold."""
    return text.replace("*/", "* /").replace("/*", "/ *")
