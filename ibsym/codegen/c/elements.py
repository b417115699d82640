"""sum_i e_k(x_i) and sum_k s_k de_k/dx_i in one pass: the body of a loop over the elements of several inputs.

Value and derivatives are written over common subexpressions, logistic parts
as :mod:`.calculus` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sympy

from ibsym.codegen.c.printing import c_text, double_number
from ibsym.lowering.fusion.calculus import Stable, derivative, weighted
from ibsym.lowering.fusion.plan import Loop, name


class Body(NamedTuple):
    """What happens to one element: statements, what is added to sums and products, gradients by operand."""

    statements: tuple[str, ...]
    sums: tuple[tuple[str, str], ...]
    products: tuple[tuple[str, str, str], ...]
    gradients: tuple[tuple[str, str], ...]


def body(loop: Loop) -> Body:
    """The element's statements. Sums are pairs (number, value); products (number, factor of the logarithm, e)."""
    stable = Stable()
    values: list[tuple[int, sympy.Expr]] = []
    products: list[tuple[int, sympy.Expr, sympy.Expr]] = []
    for k, item in enumerate(loop.sums):
        rest, found = stable.value(item.formula)
        if rest != 0:
            values.append((k, rest))
        products += [(k, factor, argument) for argument, factor in found.items()]
    gradients: list[tuple[sympy.Symbol, sympy.Expr]] = []
    for symbol in loop.differentiated():
        parts = [(k, stable.formula(derivative(loop.sums[k].formula, symbol))) for k in loop.weighted]
        gradients.append((symbol, sympy.Add(*(sympy.Symbol(f"s{k}", real=True) * g for k, g in parts if g != 0))))
    temporary, written = shared([*(e for _, e in values), *(e for _, e in gradients)])
    used = set().union(*(e.free_symbols for e in [*written, *(e for _, e in temporary)]), *[set()])
    zero = any(e.has(weighted) for e in (*written, *(e for _, e in temporary)))
    statements = logistic(stable, used, {argument for _, _, argument in products}, zero=zero)
    statements += [f"const REAL {s} = {c_text(e)};" for s, e in temporary]
    numbers = {argument: place for place, argument in enumerate(arguments(stable))}
    return Body(
        tuple(statements),
        tuple((str(k), c_text(e)) for (k, _), e in zip(values, written, strict=False)),
        tuple((str(k), double_number(factor), f"e{numbers[argument]}") for k, factor, argument in products),
        tuple((name(s), c_text(e)) for (s, _), e in zip(gradients, written[len(values) :], strict=True)),
    )


def shared(formulas: Sequence[sympy.Expr]) -> tuple[list[tuple[sympy.Symbol, sympy.Expr]], list[sympy.Expr]]:
    """Common subexpressions, and the formulas over them."""
    names = sympy.numbered_symbols("t", cls=sympy.Symbol, real=True)
    temporary, written = sympy.cse(list(formulas), symbols=names, optimizations=None, order="canonical")
    return temporary, written


def arguments(stable: Stable) -> list[sympy.Expr]:
    """The logistic arguments, each once."""
    return list(dict.fromkeys(t for _, t in stable.parts.values()))


def logistic(stable: Stable, used: set[sympy.Symbol], in_products: set[sympy.Expr], *, zero: bool) -> list[str]:
    """e = exp(-|t|), 1/q and e/q by sign, log q where it is used one by one. ``zero``: e is 0 where it is no normal number."""
    lines: list[str] = []
    exponential = "exponential_of_difference" if zero else "exponential_of_negative"
    for place, t in enumerate(arguments(stable)):
        mine = {kind: s for s, (kind, argument) in stable.parts.items() if argument == t and s in used}
        if not mine and t not in in_products:
            continue
        lines.append(f"const REAL a{place} = {c_text(t)}, e{place} = {exponential}(-absolute(a{place}));")
        if {"toward", "away"} & mine.keys():
            lines.append(f"const REAL r{place} = 1 / (1 + e{place}), er{place} = e{place} * r{place};")
        if "toward" in mine:
            lines.append(f"const REAL {mine['toward']} = a{place} >= 0 ? r{place} : er{place};")
        if "away" in mine:
            lines.append(f"const REAL {mine['away']} = a{place} >= 0 ? er{place} : r{place};")
        if "logq" in mine:
            lines.append(f"const REAL {mine['logq']} = log_one_plus(e{place});")
    return lines
