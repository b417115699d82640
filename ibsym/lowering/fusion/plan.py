"""loss = sum_t w_t term_t as passes over inputs: which sums share one, what each weighs in the loss, which inputs get gradients.

A target writes the passes; formulas that read the same inputs share one, and what is read off one table of pairs is one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import sympy

from ibsym.lowering.fusion.calculus import derivative, expected, times, weighted
from ibsym.lowering.fusion.pairing import Beside, Pairs, Table, size_of
from ibsym.lowering.fusion.regions import Quantity, Reader, quantities
from ibsym.lowering.fusion.sums import (
    LOG_P,
    Bessel,
    Classes,
    Draws,
    Elements,
    LogMean,
    Matched,
    MeanLog,
    Mixed,
    Picked,
    Quantised,
    Relaxed,
    Shares,
    Sum,
)
from ibsym.lowering.program import Axes, Input, Load, LossProgram, broadcast

WEIGHT = sympy.Symbol("weight", real=True)
"""The derivative of the loss by an entry of the table."""


@dataclass(frozen=True)
class Loop:
    """Sums over the same elements; ``weighted`` are the places, among them, of those with a gradient."""

    sums: tuple[Elements, ...]
    weighted: tuple[int, ...]

    @property
    def operands(self) -> dict[sympy.Symbol, Load]:
        """The tensors that the loop reads, by their symbols in alphabetical order."""
        found = {s: load for item in self.sums for s, load in item.operands}
        return {s: found[s] for s in sorted(found, key=str)}

    @property
    def event(self) -> int:
        """How many of the last axes are those of one event."""
        return self.sums[0].event

    def differentiated(self) -> list[sympy.Symbol]:
        """The operands that get a gradient here."""
        return [s for s in self.operands if any(s in self.sums[k].formula.free_symbols for k in self.weighted)]


def loops(sums: Sequence[Elements], weighted: Iterable[Elements]) -> list[Loop]:
    """Sums over the same axes that share an input, in one loop each; the order is that of the first."""
    groups: list[list[Elements]] = []
    for item in sums:
        mine = {load for _, load in item.operands}
        for group in groups:
            same = group[0].axes == item.axes and group[0].event == item.event
            if same and mine & {load for other in group for _, load in other.operands}:
                group.append(item)
                break
        else:
            groups.append([item])
    heavy = set(weighted)
    return [Loop(tuple(g), tuple(k for k, item in enumerate(g) if item in heavy)) for g in groups]


@dataclass(frozen=True)
class Kernel:
    """Sums that are read off one table, at most one of each kind, under one mask."""

    table: Table
    sums: tuple[Pairs, ...]

    @property
    def beside(self) -> tuple[tuple[Load, Axes], ...]:
        """The values that stand side by side in a row; none where a row is one value."""
        value = self.table.row[1]
        return value.parts if isinstance(value, Beside) else ()

    @property
    def loads(self) -> tuple[Load, ...]:
        """What the table and the weights of its columns read."""
        return (*self.table.loads, *([] if self.logits is None else [self.logits]))

    @property
    def by_kind(self) -> dict[str, Pairs]:
        """The sums over pairs, by what they reduce with."""
        return {s.kind: s for s in self.sums}

    @property
    def mask(self) -> str:
        """Which pairs are left out; empty where none are."""
        return next((s.mask for s in self.sums if s.mask), "")

    @property
    def logits(self) -> Load | None:
        """Those of the weights of columns, where these have any."""
        return next((s.logits for s in self.sums if s.logits is not None), None)

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
            masks = {(s.mask, s.total, s.logits) for s in group if s.kind not in ("own", "off")}
            if (
                group[0].table == item.table
                and free
                and (item.kind in ("own", "off") or masks <= {(item.mask, item.total, item.logits)})
            ):
                group.append(item)
                break
        else:
            groups.append([item])
    return [Kernel(g[0].table, tuple(g)) for g in groups]


def name(symbol: sympy.Symbol) -> str:
    """The input's C name: its symbol without the prefix of values."""
    return symbol.name.removeprefix("v_")


def event_axes(loop: Loop) -> tuple[str, ...]:
    """The axes of one row's event."""
    axes = broadcast(load.axes for load in loop.operands.values())
    return axes[len(axes) - loop.event :]


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
        nested = (f.args if isinstance(f, times) and any(isinstance(b, times) for b in f.args) else (f,) for f in whole)
        factors = [a for args in nested for a in args]
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


class Plan:
    """What a pass over a program computes. ``rest`` are the places of the terms that it leaves to the tensor expression."""

    def __init__(self, program: LossProgram, found: Sequence[Quantity | None]):
        self.program = program
        self.terms = [(k, q) for k, q in enumerate(found) if q is not None]
        self.rest = tuple(k for k, q in enumerate(found) if q is None)
        self.minimised = {k: q.minimised for k, q in self.terms}
        self.names = {i.key: i.name for i in program.inputs}
        self.sums = list(dict.fromkeys(s for _, q in self.terms for a in (q.value, q.minimised) for _, s in a.parts))
        self.weighted = {s for a in self.minimised.values() for _, s in a.parts}
        found_elements = [s for s in self.sums if isinstance(s, Elements)]
        self.loops = loops(found_elements, [s for s in found_elements if s in self.weighted])
        self.classes = [s for s in self.sums if isinstance(s, Picked | Classes | Relaxed | Matched | LogMean)]
        self.shares = self._by_shares()
        self.bessel = list(dict.fromkeys((s.load, s.dimensions) for s in self.sums if isinstance(s, Bessel)))
        self.codebooks = list(dict.fromkeys((s.code, s.codebook) for s in self.sums if isinstance(s, Quantised)))
        self.kernels = kernels([s for s in self.sums if isinstance(s, Pairs)])
        self.draws = [(s, loops(s.sums, s.sums if s in self.weighted else ())) for s in self.sums if isinstance(s, Draws)]
        self.mixed = [(s, loops(s.sums, s.sums if s in self.weighted else ())) for s in self.sums if isinstance(s, Mixed)]
        self.gradients = self._gradients()

    def _by_shares(self) -> list[list[MeanLog]]:
        """Means of logarithms under the same shares."""
        found: dict[Shares | None, list[MeanLog]] = {}
        for item in self.sums:
            if isinstance(item, MeanLog):
                found.setdefault(item.own, []).append(item)
        return list(found.values())

    def counted_classes(self, group: Sequence[MeanLog]) -> sympy.Expr:
        """How many classes the shares of a group have: as many as the logits of a law among them."""
        laws = [law for item in group for law in (item.others, item.own) if law is not None]
        return size_of(next(law.load for law in laws if not law.counted).axes[-1:])

    def quantised(self, code: Load, codebook: Load) -> list[Quantised]:
        """The sums over some codes and their nearest vectors."""
        return [s for s in self.sums if isinstance(s, Quantised) and (s.code, s.codebook) == (code, codebook)]

    @property
    def every_loop(self) -> list[Loop]:
        """The loops of means, then those inside of logarithms over draws and of sums over a class."""
        return [*self.loops, *(loop for _, inner in (*self.draws, *self.mixed) for loop in inner)]

    def _gradients(self) -> dict[str, int]:
        """Inputs with a gradient, and how many loops write it; tables of pairs always add."""
        found: dict[str, int] = {}
        for loop in self.every_loop:
            for symbol in loop.differentiated():
                found[name(symbol)] = found.get(name(symbol), 0) + 1
        tables = dict.fromkeys(load.key for item, _ in self.mixed if item in self.weighted for load in item.tables)
        observed = [o.logits.key for item, _ in self.mixed if item in self.weighted for _, o in item.observed]
        for key in (*(item.logits.key for item in self.classes if item in self.weighted), *tables, *observed):
            found[self.names[key]] = found.get(self.names[key], 0) + 1
        for item in self.weighted:
            if isinstance(item, Relaxed):
                found[self.names[item.weights.key]] = found.get(self.names[item.weights.key], 0) + 1
            if isinstance(item, MeanLog):
                for key in {s.load.key for s in (item.own, item.others) if s is not None and not s.counted}:
                    found[self.names[key]] = found.get(self.names[key], 0) + 2
            if isinstance(item, Quantised):
                x, writes = (item.code, 1) if item.moves_code else (item.codebook, 2)
                found[self.names[x.key]] = found.get(self.names[x.key], 0) + writes
        for key in (load.key for load, n in self.bessel if {Bessel(load, n, True), Bessel(load, n, False)} & self.weighted):
            found[self.names[key]] = found.get(self.names[key], 0) + 1
        for kernel in self.kernels:
            for load in kernel.loads if self.weighted & set(kernel.sums) else ():
                found[self.names[load.key]] = found.get(self.names[load.key], 0) + 2
        return found

    def texts(self, sums: Sequence[Sum]) -> str:
        """The terms that some sums are for."""
        mine = set(sums)
        return ", ".join(
            self.program.terms[t].text for t, q in self.terms if mine & {s for a in (q.value, q.minimised) for _, s in a.parts}
        )

    def weight(self, item: Sum) -> sympy.Expr:
        """d loss / d mean of a sum, before the factor of a sum over rows."""
        total: sympy.Expr = sympy.Integer(0)
        for k, affine in self.minimised.items():
            factor: sympy.Expr = sum((f for f, s in affine.parts if s == item), sympy.Integer(0))
            total += factor * self.coefficient(k)
        return total

    def coefficient(self, term: int) -> sympy.Expr:
        """A term's weight in the loss, over symbols ``parameter_NAME``."""
        e = self.program.terms[term].coefficient
        return e.xreplace({s: sympy.Symbol(f"parameter_{s.name}", real=True) for s in e.free_symbols})

    def inputs(self) -> list[Input]:
        """What the pass reads."""
        loads = {load for loop in self.every_loop for load in loop.operands.values()}
        loads |= {load for item, _ in self.mixed for load in item.tables}
        loads |= {load for item, _ in self.mixed for _, o in item.observed for load in (o.logits, o.index)}
        for item in self.classes:
            loads |= {item.logits, item.index} if isinstance(item, Picked) else {item.logits}
            loads |= {item.weights} if isinstance(item, Relaxed) else set()
        loads |= {load for pair in self.codebooks for load in pair} | {load for load, _ in self.bessel}
        loads |= {s.load for group in self.shares for item in group for s in (item.own, item.others) if s is not None}
        for kernel in self.kernels:
            loads |= set(kernel.loads)
        keys = {load.key for load in loads}
        return [i for i in self.program.inputs if i.key in keys]


def every(_: Sum) -> bool:
    """Whether a target that computes all sums computes one."""
    return True


def fused(program: LossProgram, can: Callable[[Sum], bool] = every) -> list[Quantity | None]:
    """For each term of a program what a pass computes of it, its inputs by symbols ``v_NAME``; none where no term fuses.

    ``can`` says which sums a target computes.
    """
    names = {i.key: i.name for i in program.inputs}
    found = quantities(program, Reader(program.steps, lambda load: f"v_{names[load.key]}"), can)
    return list(found) if any(found) else []
